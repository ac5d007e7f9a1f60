//! Route `/v1/audit`.

#![expect(
    clippy::missing_errors_doc,
    reason = "these docs appear in the OpenAPI document, which lists the responses by status"
)]

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::request::{HasLimit, default_limit, list_filter};
use crate::admin::auth::Authenticated;
use crate::admin::problem::ApiError;
use crate::journal::{AuditAction, AuditOutcome, AuditQuery, AuditRecord};
use crate::rotation::error::RotationError;
use crate::worker::state::WorkerState;

/// The filter of the records.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Only records of this rotation.
    #[param(example = "orders")]
    rotation: Option<String>,
    /// Only records of the actor with this name.
    #[param(example = "admin")]
    actor: Option<String>,
    /// Only records of this action.
    action: Option<AuditAction>,
    /// Only records with this outcome.
    outcome: Option<AuditOutcome>,
    /// The largest number of records.
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: u32,
    /// Only records older than the one with this id: the last one of the previous page.
    before: Option<Uuid>,
}

impl HasLimit for Filter {
    fn limit(&self) -> Option<u32> {
        Some(self.limit)
    }
}

/// The records of actions, newest first.
///
/// A run has a record when it has ended. A token for some rotations sees their records only.
#[utoipa::path(get, path = "/v1/audit", tag = "audit", params(Filter),
    responses((status = 200, body = Vec<AuditRecord>), (status = 400)))]
pub async fn records(
    State(state): State<WorkerState>,
    Authenticated(principal): Authenticated,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Json<Vec<AuditRecord>>, ApiError> {
    let filter = list_filter(
        filter,
        "rotation, actor, action, outcome, before (a record's id)",
    )?;
    let query = AuditQuery {
        rotation: filter.rotation,
        rotations: None,
        patterns: principal.patterns(),
        actor: filter.actor,
        action: filter.action,
        outcome: filter.outcome,
        without_runs: false,
        before: filter.before,
        limit: filter.limit,
    };
    let records = state.runner.rotator.journal.audit(&query).await;
    Ok(Json(records.map_err(RotationError::from)?))
}
