//! View of a rotation for `status` and `GET /v1/rotations`.
//!
//! It uses the config and the journal only, so it is fast for thousands of rotations.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::config::settings::Rotation;
use crate::journal::{Pause, RotationRecord, Run};
use crate::rotation::context::endpoint_states::{EndpointStates, EndpointStatus};
use crate::schedule::Window;
pub use crate::worker::rotation_state::RotationState;
use crate::worker::rotation_state::derive;
use twinkey_core::code::Problem;
use twinkey_engines::Session;

/// State of a rotation, with its users, last run and next window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RotationView {
    pub name: String,
    pub secret: String,
    pub engine: Option<String>,
    pub host: Option<String>,
    pub active_user: Option<String>,
    pub standby_user: Option<String>,
    pub state: RotationState,
    /// When the state began, if the journal has that.
    pub since: Option<DateTime<Utc>>,
    /// Why it is waiting, failed, missed or locked out.
    pub problem: Option<Problem>,
    /// While it lasts, no scheduled run starts, whatever the state is.
    pub paused: Option<Pause>,
    /// The secret's host, the readers and the poolers, with their answers to the last sign-in of a run, a
    /// check or a heartbeat.
    #[serde(default)]
    pub endpoints: Vec<EndpointStatus>,
    pub last_success: Option<DateTime<Utc>>,
    pub last_run: Option<Run>,
    pub next_window: Option<Window>,
    /// Always `null`: `check` reads the sessions from the database.
    pub standby_sessions: Option<Vec<Session>>,
}

/// The time from which `rate` counts. Times after `now` are ignored: a wrong clock recorded them,
/// and no window would be due before them.
#[must_use]
pub fn anchor(memory: &RotationRecord, now: DateTime<Utc>) -> DateTime<Utc> {
    [memory.last_success, memory.first_seen]
        .into_iter()
        .flatten()
        .find(|at| *at <= now)
        .unwrap_or(now)
}

/// The view of a rotation.
#[must_use]
pub fn view(
    rotation: &Rotation,
    memory: RotationRecord,
    endpoints: &EndpointStates,
    now: DateTime<Utc>,
) -> RotationView {
    let from = anchor(&memory, now);
    let seen = memory.seen.as_ref();
    let derived = derive(rotation, &memory, now);
    let pause = memory.pause(now).cloned();
    // The windows that open during a pause are skipped.
    let pause_ends = match &pause {
        Some(pause) => pause.until,
        None => Some(now),
    };
    RotationView {
        name: rotation.name.clone(),
        secret: rotation.secret.clone(),
        engine: seen
            .map(|s| s.engine.clone())
            .or_else(|| rotation.engine.map(|e| e.to_string())),
        host: seen.and_then(|s| s.host.clone()),
        active_user: seen.map(|s| s.active_user.clone()),
        standby_user: seen.map(|s| s.standby_user.clone()),
        state: derived.state,
        since: derived.since,
        problem: derived.problem,
        paused: pause,
        endpoints: endpoints.of(rotation, seen.and_then(|s| s.host.as_deref())),
        last_success: memory.last_success,
        last_run: memory.last_run,
        next_window: rotation
            .windows
            .as_ref()
            .and_then(|w| w.next_window(pause_ends?, from)),
        standby_sessions: None,
    }
}
