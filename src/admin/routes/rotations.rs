//! Routes `/v1/rotations` and below.
//!
//! # Failure modes
//! - A client disconnects before the response: runs and rollbacks are tasks of the worker and continue.
//! - Many clients request database checks at once: checks have permits of their own, so that runs start.

#![expect(
    clippy::missing_errors_doc,
    reason = "these docs appear in the OpenAPI document, which lists the responses by status"
)]

use super::actions::{self, Paused};
use super::request::{
    Body, Caller, HasLimit, PauseRequest, ResumeRequest, RollbackRequest, RotateRequest,
    RotationPath, audit, idempotency_key, list_filter, parse_body,
};
use crate::admin::address::with_query;
use crate::admin::auth::Authenticated;
use crate::admin::problem::ApiError;
use crate::journal::Run;
use crate::rotation::commands::check::Report;
use crate::rotation::commands::plan::Plan;
use crate::rotation::commands::rollback::{RollbackOrder, RollbackResult};
use crate::worker::state::{RotateOptions, WorkerState};
use crate::worker::view_filter::{ViewFilter, ViewQuery};
use crate::worker::views::{RotationState, RotationView};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::{LINK, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use twinkey_core::code::Code;
use utoipa::IntoParams;

/// The filter of the rotations.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Only rotations with this text in the name, the secret or the host.
    #[param(example = "orders")]
    q: Option<String>,
    /// Only rotations in this state.
    state: Option<RotationState>,
    /// Only rotations of this engine.
    #[param(example = "postgres")]
    engine: Option<String>,
    /// Only rotations of this `[[store]]`; `secrets` for those of `[secrets]`.
    #[param(example = "prod-eu")]
    store: Option<String>,
    /// Only rotations whose problem has this code.
    code: Option<Code>,
    /// The largest number of rotations of a page; all without it.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// Only rotations whose name follows this one: the last one of the previous page.
    #[param(example = "orders")]
    after: Option<String>,
}

impl HasLimit for Filter {
    fn limit(&self) -> Option<u32> {
        self.limit
    }
}

impl Filter {
    /// The address of the page after `last`.
    fn next_page(&self, last: &str) -> String {
        let limit = self.limit.map(|limit| limit.to_string());
        with_query(
            "/v1/rotations",
            [
                ("q", self.q.as_deref()),
                ("state", self.state.map(RotationState::as_str)),
                ("engine", self.engine.as_deref()),
                ("store", self.store.as_deref()),
                ("code", self.code.map(Code::as_str)),
                ("limit", limit.as_deref()),
                ("after", Some(last)),
            ],
        )
    }
}

/// The rotations that the token sees, as `twinkey status --json`.
///
/// Without `limit` and `after` they are in the order of the config, otherwise in that of their names. The header
/// `Link` has the next page.
#[utoipa::path(get, path = "/v1/rotations", tag = "rotations", params(Filter),
    responses((status = 200, body = Vec<RotationView>,
        headers(("Link" = String, description = "The next page, as `<address>; rel=\"next\"`; absent on the last one"))),
        (status = 400)))]
pub async fn rotations(
    State(state): State<WorkerState>,
    Authenticated(principal): Authenticated,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Response, ApiError> {
    let request = list_filter(filter, "q, state, engine, store, code, after (a name)")?;
    let filter = ViewFilter {
        text: request.q.as_deref().unwrap_or_default().to_lowercase(),
        states: request.state.into_iter().collect(),
        engine: request.engine.clone(),
        store: request.store.clone(),
        code: request.code,
    };
    let sees = |name: &str| principal.sees(name);
    if request.limit.is_none() && request.after.is_none() {
        let views = state.matching(&filter, sees).await?;
        return Ok(Json(views).into_response());
    }
    let query = ViewQuery {
        filter,
        limit: request.limit.map_or(usize::MAX, |limit| limit as usize),
        after: request.after.clone(),
    };
    let (views, last) = state.page(&query, sees).await?;
    let link = last.map(|last| format!("<{}>; rel=\"next\"", request.next_page(&last)));
    let link = link.map(|link| [(LINK, link)]);
    Ok((link, Json(views)).into_response())
}

/// One rotation, as `twinkey status --json`.
#[utoipa::path(get, path = "/v1/rotations/{name}", tag = "rotations",
    params(("name" = String, Path, description = "The rotation's name", example = "orders")),
    responses((status = 200, body = RotationView), (status = 404)))]
pub async fn rotation(
    State(state): State<WorkerState>,
    RotationPath(rotation): RotationPath,
) -> Result<Json<RotationView>, ApiError> {
    Ok(Json(state.view(&rotation).await?))
}

/// Start a run now.
///
/// The run continues in the worker; read it at `Location`. The same `Idempotency-Key` returns the same run.
#[utoipa::path(post, path = "/v1/rotations/{name}/rotate", tag = "rotations",
    params(
        ("name" = String, Path, description = "The rotation's name", example = "orders"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters; the same request with the same key is executed once", min_length = 1, max_length = 255, example = "deploy-4711"),
    ),
    request_body = RotateRequest,
    responses(
        (status = 202, description = "The run that was started, or that this key had started", body = Run,
            headers(("Location" = String, description = "The path of the run"))),
        (status = 400), (status = 404), (status = 413),
        (status = 409, description = "`already_running` or `too_soon`, or the key belongs to another request"),
    ))]
pub async fn rotate(
    State(state): State<WorkerState>,
    caller: Caller,
    RotationPath(rotation): RotationPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let request: RotateRequest = parse_body(body)?;
    let key = idempotency_key(&headers)?;
    let options = RotateOptions {
        force: request.force,
        end_sessions: request.end_sessions,
    };
    let cause = caller.cause(request.reason.clone());
    let started = actions::rotate(&state, &rotation, options, cause, key).await;
    let action = match (request.force, request.end_sessions) {
        (false, false) => "rotate",
        (true, false) => "rotate, by force",
        (false, true) => "rotate, ending sessions",
        (true, true) => "rotate, by force, ending sessions",
    };
    audit(
        &caller,
        action,
        &rotation,
        request.reason.as_deref(),
        &started,
    );
    let run = started?;
    let location = format!("/v1/runs/{}", run.id);
    Ok((StatusCode::ACCEPTED, [(LOCATION, location)], Json(run)).into_response())
}

/// Move AWSCURRENT back to AWSPREVIOUS, after a test that it still signs in.
#[utoipa::path(post, path = "/v1/rotations/{name}/rollback", tag = "rotations",
    params(
        ("name" = String, Path, description = "The rotation's name", example = "orders"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters; the same request with the same key is executed once", min_length = 1, max_length = 255, example = "deploy-4711-rollback"),
    ),
    request_body = RollbackRequest,
    responses(
        (status = 200, description = "The user of AWSCURRENT before and after", body = RollbackResult),
        (status = 400), (status = 404), (status = 413),
        (status = 409, description = "`already_running`, `already_rolled_back`, `lost_race` or `pending_conflict`, or the key belongs to another request"),
        (status = 422, description = "AWSPREVIOUS cannot sign in or lacks privileges; nothing was changed"),
    ))]
pub async fn rollback(
    State(state): State<WorkerState>,
    caller: Caller,
    RotationPath(rotation): RotationPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<RollbackResult>, ApiError> {
    let request: RollbackRequest = parse_body(body)?;
    let order = RollbackOrder {
        cause: caller.cause(request.reason.clone()),
        again: request.again,
        to: request.to,
    };
    let result = actions::roll_back(&state, &rotation, order, idempotency_key(&headers)?).await;
    audit(
        &caller,
        "rollback",
        &rotation,
        request.reason.as_deref(),
        &result,
    );
    Ok(Json(result?))
}

/// Pause the schedule of a rotation.
#[utoipa::path(post, path = "/v1/rotations/{name}/pause", tag = "rotations",
    params(
        ("name" = String, Path, description = "The rotation's name", example = "orders"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters; the same request with the same key is executed once", min_length = 1, max_length = 255, example = "deploy-4711-pause"),
    ),
    request_body = PauseRequest,
    responses((status = 200, body = Paused), (status = 400), (status = 404), (status = 413),
        (status = 409, description = "`until` is not in the future, or the key belongs to another request")))]
pub async fn pause(
    State(state): State<WorkerState>,
    caller: Caller,
    RotationPath(rotation): RotationPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Paused>, ApiError> {
    let request: PauseRequest = parse_body(body)?;
    let (reason, key) = (request.reason, idempotency_key(&headers)?);
    let cause = caller.cause(reason.clone());
    let result = actions::pause(&state, &rotation, cause, request.until, key).await;
    audit(&caller, "pause", &rotation, reason.as_deref(), &result);
    Ok(Json(result?))
}

/// Resume the schedule of a rotation.
#[utoipa::path(post, path = "/v1/rotations/{name}/resume", tag = "rotations",
    params(
        ("name" = String, Path, description = "The rotation's name", example = "orders"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters; the same request with the same key is executed once", min_length = 1, max_length = 255, example = "deploy-4711-resume"),
    ),
    request_body = ResumeRequest,
    responses((status = 200, body = Paused), (status = 400), (status = 404), (status = 413),
        (status = 409, description = "The key belongs to another request, or the answer of its first request is not known")))]
pub async fn resume(
    State(state): State<WorkerState>,
    caller: Caller,
    RotationPath(rotation): RotationPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Paused>, ApiError> {
    let reason = parse_body::<ResumeRequest>(body)?.reason;
    let (cause, key) = (caller.cause(reason.clone()), idempotency_key(&headers)?);
    let result = actions::resume(&state, &rotation, cause, key).await;
    audit(&caller, "resume", &rotation, reason.as_deref(), &result);
    Ok(Json(result?))
}

/// The exact statements that the step `set` would execute now, with passwords as `***`. Read-only.
#[utoipa::path(get, path = "/v1/rotations/{name}/plan", tag = "rotations",
    params(("name" = String, Path, description = "The rotation's name", example = "orders")),
    responses((status = 200, body = Plan), (status = 404), (status = 409),
        (status = 422, description = "The current state cannot be observed")))]
pub async fn plan(
    State(state): State<WorkerState>,
    RotationPath(rotation): RotationPath,
) -> Result<Json<Plan>, ApiError> {
    let _permit = state.observation_permit().await?;
    Ok(Json(state.runner.rotator.plan(&rotation).await?))
}

/// Check that a rotation would succeed. Read-only; a failed observation is a finding.
#[utoipa::path(get, path = "/v1/rotations/{name}/check", tag = "rotations",
    params(("name" = String, Path, description = "The rotation's name", example = "orders")),
    responses((status = 200, body = Report), (status = 404)))]
pub async fn check(
    State(state): State<WorkerState>,
    RotationPath(rotation): RotationPath,
) -> Result<Json<Report>, ApiError> {
    let _permit = state.observation_permit().await?;
    Ok(Json(state.runner.rotator.check(&rotation).await?))
}
