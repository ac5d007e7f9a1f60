//! Pages that pause or resume all rotations which match the filter of the list: `GET` shows them, `POST` does it.
//!
//! # Failure modes
//! - Between the page and its form, other rotations begin to match: the form has a fingerprint of the names
//!   that the page counted. With another one nothing is done, and the page is shown again.
//! - One of many is refused: those before it are done, and the page shows the error and what is left.
//! - The config pauses a rotation, and a resume of it is reported that did not happen. It is not among those
//!   that the action changes, and the page counts it as one that stays paused.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use uuid::Uuid;

use super::action::BulkAction;
use super::filter::{FilterForm, RotationFilter};
use super::form::{parse_form, parse_query};
use super::session_context::SessionContext;
use super::view::bulk_confirm::BulkPage;
use super::{ErrorPage, view};
use crate::admin::auth::Principal;
use crate::admin::problem::ApiError;
use crate::admin::routes::actions;
use crate::admin::routes::request::{Caller, audit, check_reason};
use crate::config::settings::Rotation;
use crate::worker::state::WorkerState;
use crate::worker::view_filter::Filterable;

/// The matching rotations of an action.
struct Selected {
    /// Those that it changes, in the order of the config.
    changed: Vec<Arc<Rotation>>,
    /// The number of those that the config prevents it from changing.
    prevented: usize,
}

/// The fields of the form, besides its CSRF token.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct BulkForm {
    reason: String,
    fingerprint: Uuid,
}

/// `GET`: the page that counts and names the rotations.
pub(super) async fn confirm(
    action: BulkAction,
    State(state): State<WorkerState>,
    Extension(context): Extension<SessionContext>,
    query: Result<Query<FilterForm>, QueryRejection>,
) -> Result<Response, ErrorPage> {
    context.session.principal().require_operator()?;
    let filter = RotationFilter::try_from(parse_query(query)?)?;
    let selected = selected(action, &state, context.session.principal(), &filter).await?;
    let page = page(action, &state, &context, &filter, &selected, None, "");
    Ok(view::page(StatusCode::OK, page))
}

/// `POST`: executes the action on each, or shows the same page with the error.
pub(super) async fn execute(
    action: BulkAction,
    State(state): State<WorkerState>,
    Extension(context): Extension<SessionContext>,
    caller: Caller,
    query: Result<Query<FilterForm>, QueryRejection>,
    form: Result<Form<BulkForm>, FormRejection>,
) -> Result<Response, ErrorPage> {
    let filter = RotationFilter::try_from(parse_query(query)?)?;
    let form = parse_form(form)?;
    let principal = context.session.principal();
    let matching = selected(action, &state, principal, &filter).await?;
    let done = if fingerprint(&matching.changed) == form.fingerprint {
        act(
            action,
            &state,
            &caller,
            &matching.changed,
            form.reason.trim(),
        )
        .await
    } else {
        Err(ApiError::new(
            StatusCode::CONFLICT,
            "other rotations match now than when this page was opened; nothing was done",
            "look at them again, and submit the form",
        ))
    };
    let Err(refused) = done else {
        let address = filter.address_when_done(&context.session, action, matching.changed.len());
        return Ok(Redirect::to(&address).into_response());
    };
    let left = selected(action, &state, principal, &filter).await?;
    let reason = form.reason.trim();
    let page = page(
        action,
        &state,
        &context,
        &filter,
        &left,
        Some(&refused),
        reason,
    );
    Ok(view::page(refused.status(), page))
}

/// The matching rotations.
async fn selected(
    action: BulkAction,
    state: &WorkerState,
    principal: &Principal,
    filter: &RotationFilter,
) -> Result<Selected, ApiError> {
    let summaries = state.summaries().await?;
    let rows = summaries.rows(state.now());
    let rows = rows.filter(|row| principal.sees(row.name()) && filter.view.matches(row));
    let (mut changed, mut prevented) = (Vec::new(), 0);
    for row in rows {
        if action.changes(&row) {
            changed.push(Arc::clone(row.rotation));
        }
        prevented += usize::from(action.is_prevented(&row));
    }
    Ok(Selected { changed, prevented })
}

/// Identifies these rotations.
fn fingerprint(rotations: &[Arc<Rotation>]) -> Uuid {
    let names: Vec<&str> = rotations.iter().map(|r| r.name.as_str()).collect();
    // No name has a line break.
    Uuid::new_v5(&Uuid::NAMESPACE_OID, names.join("\n").as_bytes())
}

async fn act(
    action: BulkAction,
    state: &WorkerState,
    caller: &Caller,
    rotations: &[Arc<Rotation>],
    reason: &str,
) -> Result<(), ApiError> {
    let reason = Some(reason).filter(|reason| !reason.is_empty());
    check_reason(reason)?;
    let cause = caller.cause(reason.map(str::to_owned));
    for rotation in rotations {
        let cause = cause.clone();
        let done = match action {
            BulkAction::Pause => actions::pause(state, rotation, cause, None, None).await,
            BulkAction::Resume => actions::resume(state, rotation, cause, None).await,
        };
        audit(caller, action.action().as_str(), rotation, reason, &done);
        done?;
    }
    Ok(())
}

fn page(
    action: BulkAction,
    state: &WorkerState,
    context: &SessionContext,
    filter: &RotationFilter,
    selected: &Selected,
    refused: Option<&ApiError>,
    reason: &str,
) -> maud::Markup {
    view::bulk_confirm::page(&BulkPage {
        context,
        worker: &state.runner.rotator.worker,
        action,
        filter,
        names: selected.changed.iter().map(|r| r.name.as_str()).collect(),
        prevented: selected.prevented,
        fingerprint: &fingerprint(&selected.changed).to_string(),
        refused,
        reason,
    })
}
