//! A run and its steps, as the contract shows them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{ClaimRequest, Outcome};
use crate::schedule::Window;
use twinkey_core::code::{Code, Problem};
use twinkey_stores::VersionId;

/// One attempt to rotate one secret, as the contract shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Run {
    pub id: Uuid,
    pub rotation: String,
    pub trigger: Trigger,
    pub reason: Option<String>,
    pub window: Option<Window>,
    pub state: RunState,
    pub worker: String,
    pub version_id: VersionId,
    pub from_user: Option<String>,
    pub to_user: Option<String>,
    pub started: DateTime<Utc>,
    pub finished: Option<DateTime<Utc>>,
    /// 1 for the first try in a window.
    pub attempt: u32,
    pub steps: Vec<Step>,
    pub error: Option<Problem>,
}

/// The fencing token of a claim: a later claim of the same run has a higher `attempt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    pub run: Uuid,
    pub attempt: u32,
}

impl Run {
    /// The claim that this run was given with.
    #[must_use]
    pub const fn hold(&self) -> Hold {
        Hold {
            run: self.id,
            attempt: self.attempt,
        }
    }

    /// A new run, as it is claimed.
    pub(super) fn new(request: &ClaimRequest) -> Self {
        Self {
            id: Uuid::new_v4(),
            rotation: request.rotation.clone(),
            trigger: request.trigger,
            reason: request.reason.clone(),
            window: request.window,
            state: RunState::Running,
            worker: request.worker.clone(),
            version_id: request.version_id.clone(),
            from_user: None,
            to_user: None,
            started: request.now,
            finished: None,
            attempt: 1,
            steps: Vec::new(),
            error: None,
        }
    }

    /// Its next attempt, as it is claimed.
    pub(super) fn again(self, request: &ClaimRequest, trigger: Trigger) -> Self {
        Self {
            state: RunState::Running,
            attempt: self.attempt + 1,
            worker: request.worker.clone(),
            trigger,
            finished: None,
            steps: Vec::new(),
            error: None,
            ..self
        }
    }

    /// How it ends, now that nobody works on it any more and its time is over.
    #[must_use]
    pub(super) fn abandoned(&self, now: DateTime<Utc>) -> Outcome {
        let Some(window) = self.window else {
            return self.worker_gone(now);
        };
        let closed = || Problem {
            code: Code::WindowClosed,
            message: format!(
                "its worker is gone ({}), and the window closed at {}; AWSCURRENT is as it was",
                self.worker, window.closes
            ),
            hint: "the next window goes on from here; `twinkey rotate` does it at once".into(),
        };
        Outcome {
            state: RunState::Missed,
            error: Some(self.error.clone().unwrap_or_else(closed)),
            now,
        }
    }

    /// How it ends that its worker did not end.
    #[must_use]
    pub(super) fn worker_gone(&self, now: DateTime<Utc>) -> Outcome {
        Outcome {
            state: RunState::Failed,
            error: Some(Problem {
                code: Code::Internal,
                message: format!("its worker is gone: {}", self.worker),
                hint:
                    "nothing is lost: the next run starts from what the store and the database hold"
                        .into(),
            }),
            now,
        }
    }
}

/// What started a run.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    Schedule,
    Manual,
    /// A run that another process, now gone, had begun.
    Recovery,
}

impl Trigger {
    /// As the contract writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Manual => "manual",
            Self::Recovery => "recovery",
        }
    }
}

/// Where a run stands.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    Running,
    Succeeded,
    Failed,
    /// Its window went by.
    Missed,
    /// Waiting for another try inside the window.
    Deferred,
}

impl RunState {
    /// As the contract writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Missed => "missed",
            Self::Deferred => "deferred",
        }
    }
}

/// One of AWS's four steps in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Step {
    pub name: StepName,
    pub state: StepState,
    pub started: DateTime<Utc>,
    pub finished: Option<DateTime<Utc>>,
    pub detail: Option<String>,
}

/// The steps, as AWS names them.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    sqlx::Type,
    utoipa::ToSchema,
)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum StepName {
    Create,
    Set,
    Test,
    Finish,
}

impl StepName {
    /// As the contract writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Set => "set",
            Self::Test => "test",
            Self::Finish => "finish",
        }
    }
}

/// Where a step stands.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    Running,
    Succeeded,
    Failed,
}

impl StepState {
    /// As the contract writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}
