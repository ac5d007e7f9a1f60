//! View of a rotation for `status` and `GET /v1/rotations`.
//!
//! It uses the config and the journal only, so it is fast for thousands of rotations.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::config::settings::Rotation;
use crate::journal::{RotationRecord, Run, RunState};
use crate::schedule::Window;
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
    pub last_success: Option<DateTime<Utc>>,
    pub last_run: Option<Run>,
    pub next_window: Option<Window>,
    /// Always `null`: `check` reads the sessions from the database.
    pub standby_sessions: Option<Vec<Session>>,
}

/// State of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RotationState {
    Idle,
    Running,
    Waiting,
    Failed,
    Missed,
    Paused,
}

impl RotationState {
    /// All states.
    pub const ALL: [Self; 6] = [
        Self::Idle,
        Self::Running,
        Self::Waiting,
        Self::Failed,
        Self::Missed,
        Self::Paused,
    ];

    /// The name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
            Self::Missed => "missed",
            Self::Paused => "paused",
        }
    }
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
pub fn view(rotation: &Rotation, memory: RotationRecord, now: DateTime<Utc>) -> RotationView {
    let from = anchor(&memory, now);
    let seen = memory.seen.as_ref();
    let state = match memory.last_run.as_ref().map(|r| r.state) {
        Some(RunState::Running) => RotationState::Running,
        _ if memory.paused => RotationState::Paused,
        Some(RunState::Deferred) => RotationState::Waiting,
        Some(RunState::Failed) => RotationState::Failed,
        Some(RunState::Missed) => RotationState::Missed,
        Some(RunState::Succeeded) | None => RotationState::Idle,
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
        state,
        last_success: memory.last_success,
        last_run: memory.last_run,
        next_window: rotation
            .windows
            .as_ref()
            .filter(|_| !memory.paused)
            .and_then(|w| w.next_window(now, from)),
        standby_sessions: None,
    }
}
