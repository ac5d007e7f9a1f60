//! Actions of the API and the dashboard, with their idempotency keys.

use std::sync::Arc;

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::admin::idempotency::Keyed;
use crate::admin::problem::ApiError;
use crate::config::settings::Rotation;
use crate::journal::{Cause, Run};
use crate::rotation::commands::rollback::{RollbackOrder, RollbackResult};
use crate::rotation::run::version_id;
use crate::worker::state::{RotateOptions, WorkerState};

/// The result of a pause or resume.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Paused {
    #[schema(example = "orders")]
    rotation: String,
    paused: bool,
}

/// Starts a run. The version id of a keyed run is that of its key, so that it is started once.
///
/// # Errors
/// Why no run started.
pub async fn rotate(
    state: &WorkerState,
    rotation: &Arc<Rotation>,
    options: RotateOptions,
    cause: Cause,
    key: Option<&str>,
) -> Result<Run, ApiError> {
    let RotateOptions {
        force,
        end_sessions,
    } = options;
    let request = format!("rotate, force {force}, end_sessions {end_sessions}");
    let keyed = keyed(state, rotation, key, request);
    let (state, rotation) = (state.clone(), Arc::clone(rotation));
    let version = key.map(|key| version_id::keyed(&rotation.name, key));
    let started = async move { Ok(state.rotate(rotation, options, cause, version).await?) };
    keyed.each_time(started).await
}

/// Rolls back.
///
/// # Errors
/// Why nothing changed; after `journal_unavailable` AWSCURRENT may have moved.
pub async fn roll_back(
    state: &WorkerState,
    rotation: &Arc<Rotation>,
    order: RollbackOrder,
    key: Option<&str>,
) -> Result<RollbackResult, ApiError> {
    let to = order.to.as_deref().unwrap_or("AWSPREVIOUS");
    let request = format!("rollback to {to}, again {}", order.again);
    let keyed = Keyed {
        // A second one that is not `again`, or that names its user, is refused.
        is_repeatable: !order.again || order.to.is_some(),
        ..keyed(state, rotation, key, request)
    };
    let (state, rotation) = (state.clone(), Arc::clone(rotation));
    let done = async move { Ok(state.roll_back(rotation, order).await?) };
    keyed.once(done).await
}

/// Pauses the schedule.
///
/// # Errors
/// 409 if `until` is not in the future; `journal_unavailable`.
pub async fn pause(
    state: &WorkerState,
    rotation: &Arc<Rotation>,
    cause: Cause,
    until: Option<DateTime<Utc>>,
    key: Option<&str>,
) -> Result<Paused, ApiError> {
    let request = match until {
        Some(until) => format!("pause, until {}", until.to_rfc3339()),
        None => "pause".into(),
    };
    let keyed = keyed(state, rotation, key, request);
    let (state, rotation) = (state.clone(), Arc::clone(rotation));
    let paused = async move {
        if until.is_some_and(|until| until <= state.now()) {
            return Err(ApiError::new(
                StatusCode::CONFLICT,
                "`until` is not in the future",
                "give a later time, or none for a pause until it is resumed",
            ));
        }
        state.runner.rotator.pause(&rotation, cause, until).await?;
        Ok(Paused {
            rotation: rotation.name.clone(),
            paused: true,
        })
    };
    keyed.once(paused).await
}

/// Resumes the schedule. A pause of the config lasts, and the result has it.
///
/// # Errors
/// `journal_unavailable`
pub async fn resume(
    state: &WorkerState,
    rotation: &Arc<Rotation>,
    cause: Cause,
    key: Option<&str>,
) -> Result<Paused, ApiError> {
    let keyed = keyed(state, rotation, key, "resume".into());
    let (state, rotation) = (state.clone(), Arc::clone(rotation));
    let resumed = async move {
        state.runner.rotator.resume(&rotation, cause).await?;
        Ok(Paused {
            rotation: rotation.name.clone(),
            paused: rotation.paused,
        })
    };
    keyed.once(resumed).await
}

fn keyed(
    state: &WorkerState,
    rotation: &Arc<Rotation>,
    key: Option<&str>,
    request: String,
) -> Keyed {
    Keyed {
        state: state.clone(),
        rotation: Arc::clone(rotation),
        key: key.map(str::to_owned),
        request,
        is_repeatable: true,
    }
}
