//! What `status` and `GET /v1/rotations` show of a rotation: from the config and the journal alone, so
//! that it is quick for thousands and needs no database.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::config::settings::Rotation;
use crate::journal::{RotationMemory, Run, RunState};
use crate::schedule::Window;
use twinkey_engines::Session;

/// A rotation as the contract shows it.
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
    /// `null` here: only a look at the database can tell, see `check`.
    pub standby_sessions: Option<Vec<Session>>,
}

/// Where a rotation stands.
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
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Idle,
        Self::Running,
        Self::Waiting,
        Self::Failed,
        Self::Missed,
        Self::Paused,
    ];

    /// As the contract writes it.
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

/// Where `rate` counts from. What a clock that was ahead has left in the journal does not count: nothing
/// would be due until then.
#[must_use]
pub fn anchor(memory: &RotationMemory, now: DateTime<Utc>) -> DateTime<Utc> {
    [memory.last_success, memory.first_seen]
        .into_iter()
        .flatten()
        .find(|at| *at <= now)
        .unwrap_or(now)
}

/// What is to be shown of a rotation.
#[must_use]
pub fn view(rotation: &Rotation, memory: RotationMemory, now: DateTime<Utc>) -> RotationView {
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
