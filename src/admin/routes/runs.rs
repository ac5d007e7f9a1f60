//! `/v1/runs`

#![expect(
    clippy::missing_errors_doc,
    reason = "these docs are those of the OpenAPI document, which tells every answer by its status"
)]

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, Uri};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::admin::problem::Answer;
use crate::journal::{Run, RunQuery, RunState};
use crate::rotation::error::RotationError;
use crate::worker::fleet::Fleet;

/// The most runs in one answer.
const MOST: u32 = 500;

/// Which runs.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Of this rotation.
    #[param(example = "orders")]
    rotation: Option<String>,
    /// In this state.
    state: Option<RunState>,
    /// So many at the most.
    #[serde(default = "few")]
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: u32,
    /// That started before the run with this id: the last one of the page before.
    before: Option<Uuid>,
}

const fn few() -> u32 {
    50
}

/// The runs, newest first.
#[utoipa::path(get, path = "/v1/runs", tag = "runs", params(Filter),
    responses((status = 200, body = Vec<Run>), (status = 400)))]
pub async fn runs(
    State(fleet): State<Fleet>,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Json<Vec<Run>>, Answer> {
    let wrong = |detail: String| {
        let hint =
            format!("rotation, state, before (a run's id) and limit (1 to {MOST}) are known");
        Answer::new(StatusCode::BAD_REQUEST, detail, hint)
    };
    let Query(filter) = filter.map_err(|refused| wrong(refused.body_text()))?;
    if !(1..=MOST).contains(&filter.limit) {
        return Err(wrong(format!(
            "limit is {}, and not from 1 to {MOST}",
            filter.limit
        )));
    }
    let query = RunQuery {
        rotation: filter.rotation,
        state: filter.state,
        before: filter.before,
        limit: filter.limit,
    };
    let runs = fleet.crew.rotator.journal.runs(&query).await;
    Ok(Json(runs.map_err(RotationError::from)?))
}

/// One run with its steps.
#[utoipa::path(get, path = "/v1/runs/{id}", tag = "runs",
    params(("id" = Uuid, description = "The run's id")),
    responses((status = 200, body = Run), (status = 404)))]
pub async fn run(
    State(fleet): State<Fleet>,
    uri: Uri,
    id: Result<Path<Uuid>, PathRejection>,
) -> Result<Json<Run>, Answer> {
    let nothing = || Answer::nothing_called("run", uri.path());
    let Path(uuid) = id.map_err(|_| nothing())?;
    let journal = &fleet.crew.rotator.journal;
    let run = journal.run(uuid).await.map_err(RotationError::from)?;
    Ok(Json(run.ok_or_else(nothing)?))
}
