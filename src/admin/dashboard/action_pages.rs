//! Pages of the actions: `GET` shows what an action will do, `POST` does it.
//!
//! An action calls the same functions, and writes the same audit line, as the API.

use axum::Extension;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use uuid::Uuid;

use super::action::Action;
use super::form::parse_form;
use super::session_context::SessionContext;
use super::view::confirm::ConfirmPage;
use super::{ErrorPage, view};
use crate::admin::problem::ApiError;
use crate::admin::routes::actions;
use crate::admin::routes::request::{Caller, RotationPath, audit, check_reason};
use crate::rotation::commands::rollback::RollbackOrder;
use crate::worker::state::{RotateOptions, WorkerState};

/// The fields of the form, besides its CSRF token.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ActionForm {
    reason: String,
    force: Option<String>,
    key: Option<Uuid>,
}

/// `GET`: the page that describes the action.
pub(super) async fn confirm(
    action: Action,
    State(state): State<WorkerState>,
    Extension(context): Extension<SessionContext>,
    named: Result<RotationPath, ApiError>,
) -> Result<Response, ErrorPage> {
    context.session.principal().require_operator()?;
    let named = named?;
    let page = confirm_page(action, &state, &context, &named, None, "").await?;
    Ok(view::page(StatusCode::OK, page))
}

async fn confirm_page(
    action: Action,
    state: &WorkerState,
    context: &SessionContext,
    RotationPath(rotation): &RotationPath,
    refused: Option<&ApiError>,
    reason: &str,
) -> Result<maud::Markup, ErrorPage> {
    let view = state.view(rotation).await?;
    Ok(view::confirm::page(&ConfirmPage {
        context,
        worker: &state.runner.rotator.worker,
        now: state.now(),
        action,
        rotation,
        view: &view,
        key: &Uuid::new_v4().to_string(),
        refused,
        reason,
    }))
}

/// `POST`: executes the action, or shows the same page with the error.
pub(super) async fn execute(
    action: Action,
    State(state): State<WorkerState>,
    Extension(context): Extension<SessionContext>,
    caller: Caller,
    named: Result<RotationPath, ApiError>,
    form: Result<Form<ActionForm>, FormRejection>,
) -> Result<Response, ErrorPage> {
    let named = named?;
    let form = parse_form(form)?;
    let RotationPath(rotation) = &named;
    let result = run_action(action, &state, &caller, &named, &form).await;
    let logged_action = match action {
        Action::Rotate if form.force.is_some() => "rotate, by force",
        _ => action.as_str(),
    };
    let reason = form.reason.trim();
    audit(&caller, logged_action, rotation, Some(reason), &result);
    match result {
        Ok(()) => {
            let receipt = context.session.receipt(&action.of_rotation(&rotation.name));
            let done = action.as_str();
            let target = format!("/rotations/{}?done={done}&receipt={receipt}", rotation.name);
            Ok(Redirect::to(&target).into_response())
        }
        Err(refused) => {
            let page =
                confirm_page(action, &state, &context, &named, Some(&refused), reason).await?;
            Ok(view::page(refused.status(), page))
        }
    }
}

async fn run_action(
    action: Action,
    state: &WorkerState,
    caller: &Caller,
    RotationPath(rotation): &RotationPath,
    form: &ActionForm,
) -> Result<(), ApiError> {
    let reason = Some(form.reason.trim()).filter(|r| !r.is_empty());
    check_reason(reason)?;
    let cause = caller.cause(reason.map(str::to_owned));
    let key = form.key.map(|key| key.to_string());
    let key = key.as_deref();
    match action {
        Action::Rotate => {
            let options = RotateOptions {
                force: form.force.is_some(),
                end_sessions: false,
            };
            actions::rotate(state, rotation, options, cause, key).await?;
        }
        Action::Rollback => {
            let order = RollbackOrder {
                cause,
                again: false,
                to: None,
            };
            actions::roll_back(state, rotation, order, key).await?;
        }
        Action::Pause => {
            actions::pause(state, rotation, cause, None, key).await?;
        }
        Action::Resume => {
            actions::resume(state, rotation, cause, key).await?;
        }
    }
    Ok(())
}
