//! Routes `/v1/runs`.

#![expect(
    clippy::missing_errors_doc,
    reason = "these docs appear in the OpenAPI document, which lists the responses by status"
)]

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::Uri;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::request::{HasLimit, default_limit, list_filter};
use crate::admin::auth::Authenticated;
use crate::admin::problem::ApiError;
use crate::journal::{Run, RunQuery, RunState};
use crate::rotation::error::RotationError;
use crate::worker::state::WorkerState;

/// The filter of the runs.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Only runs of this rotation.
    #[param(example = "orders")]
    rotation: Option<String>,
    /// Only runs in this state.
    state: Option<RunState>,
    /// The largest number of runs.
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: u32,
    /// Only runs that started before the run with this id: the last one of the previous page.
    before: Option<Uuid>,
}

impl HasLimit for Filter {
    fn limit(&self) -> Option<u32> {
        Some(self.limit)
    }
}

/// The runs, newest first.
#[utoipa::path(get, path = "/v1/runs", tag = "runs", params(Filter),
    responses((status = 200, body = Vec<Run>), (status = 400)))]
pub async fn runs(
    State(state): State<WorkerState>,
    Authenticated(principal): Authenticated,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Json<Vec<Run>>, ApiError> {
    let filter = list_filter(filter, "rotation, state, before (a run's id)")?;
    let query = RunQuery {
        rotation: filter.rotation,
        rotations: None,
        patterns: principal.patterns(),
        state: filter.state,
        before: filter.before,
        limit: filter.limit,
    };
    let runs = state.runner.rotator.journal.runs(&query).await;
    Ok(Json(runs.map_err(RotationError::from)?))
}

/// One run with its steps.
#[utoipa::path(get, path = "/v1/runs/{id}", tag = "runs",
    params(("id" = Uuid, description = "The run's id")),
    responses((status = 200, body = Run), (status = 404)))]
pub async fn run(
    State(state): State<WorkerState>,
    Authenticated(principal): Authenticated,
    uri: Uri,
    id: Result<Path<Uuid>, PathRejection>,
) -> Result<Json<Run>, ApiError> {
    let not_found = || ApiError::not_found("run", uri.path());
    let Path(uuid) = id.map_err(|_| not_found())?;
    let journal = &state.runner.rotator.journal;
    let run = journal.run(uuid).await.map_err(RotationError::from)?;
    let run = run.filter(|run| principal.sees(&run.rotation));
    Ok(Json(run.ok_or_else(not_found)?))
}
