//! Route `/v1/discovered`.

#![expect(
    clippy::missing_errors_doc,
    reason = "these docs appear in the OpenAPI document, which lists the responses by status"
)]

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::request::{HasLimit, list_filter};
use crate::admin::auth::{Authenticated, Principal};
use crate::admin::problem::ApiError;
use crate::discovery::{DiscoveredSecret, DiscoveryState};
use crate::worker::state::WorkerState;

/// The filter of the discovered secrets.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Only secrets in this state.
    state: Option<DiscoveryState>,
    /// The largest number of secrets; all without it.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

impl HasLimit for Filter {
    fn limit(&self) -> Option<u32> {
        self.limit
    }
}

/// The secrets that `[[discover]]` concerns, as `twinkey discover --json`.
///
/// They are those of the last listing. A token for some rotations sees the secrets of these rotations only.
#[utoipa::path(get, path = "/v1/discovered", tag = "rotations", params(Filter),
    responses((status = 200, body = Vec<DiscoveredSecret>), (status = 400)))]
pub async fn discovered(
    State(state): State<WorkerState>,
    Authenticated(principal): Authenticated,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Json<Vec<DiscoveredSecret>>, ApiError> {
    let filter = list_filter(filter, "state")?;
    let mut secrets = visible(&state, &principal, filter.state);
    if let Some(limit) = filter.limit {
        secrets.truncate(limit as usize);
    }
    Ok(Json(secrets))
}

/// The discovered secrets that a caller sees, also by the former name of a rotation. Only a caller who sees all rotations sees those without one.
pub fn visible(
    state: &WorkerState,
    principal: &Principal,
    wanted: Option<DiscoveryState>,
) -> Vec<DiscoveredSecret> {
    let found = state.found_secrets();
    let wanted = found
        .iter()
        .filter(|one| wanted.is_none_or(|state| state == one.state()));
    let visible = wanted.filter(|one| match one.rotation_name() {
        Some(name) => principal.sees(name),
        None => !principal.is_scoped(),
    });
    visible.map(DiscoveredSecret::from).collect()
}
