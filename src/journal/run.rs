//! Runs and their steps, as users see them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Actor, ActorKind, AuditOutcome, ClaimRequest, Outcome};
use crate::schedule::Window;
use twinkey_core::code::{Code, Problem};
use twinkey_stores::VersionId;

/// Rotation of one secret, with its current attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Run {
    pub id: Uuid,
    pub rotation: String,
    pub trigger: Trigger,
    /// The actor that requested it. A run that another process continues keeps it. `null`: a version
    /// before the records began the run.
    pub actor: Option<Actor>,
    pub reason: Option<String>,
    pub window: Option<Window>,
    pub state: RunState,
    pub worker: String,
    pub version_id: VersionId,
    pub from_user: Option<String>,
    pub to_user: Option<String>,
    pub started: DateTime<Utc>,
    pub finished: Option<DateTime<Utc>>,
    /// 1 for the first attempt in a window.
    pub attempt: u32,
    pub steps: Vec<Step>,
    pub error: Option<Problem>,
}

/// The fencing token of a claim: a later claim of the same run has a higher `attempt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimToken {
    pub run: Uuid,
    pub attempt: u32,
}

impl Run {
    /// The token of the claim that returned this run.
    #[must_use]
    pub const fn claim_token(&self) -> ClaimToken {
        ClaimToken {
            run: self.id,
            attempt: self.attempt,
        }
    }

    /// A new run.
    pub(super) fn new(request: &ClaimRequest) -> Self {
        Self {
            id: Uuid::new_v4(),
            rotation: request.rotation.clone(),
            trigger: request.trigger,
            actor: Some(request.cause.actor.clone()),
            reason: request.cause.reason.clone(),
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

    /// The next attempt of this run.
    pub(super) fn next_attempt(self, request: &ClaimRequest, trigger: Trigger) -> Self {
        Self {
            state: RunState::Running,
            attempt: self.attempt + 1,
            version_id: request.version_id.clone(),
            worker: request.worker.clone(),
            trigger,
            finished: None,
            steps: Vec::new(),
            error: None,
            ..self
        }
    }

    /// The actor for a list of runs; only the trigger if no actor is known.
    #[must_use]
    pub fn shown_actor(&self) -> String {
        let Some(actor) = &self.actor else {
            return self.trigger.as_str().to_owned();
        };
        let shown = match actor.kind {
            // The worker is no part of the cause: any of them starts the run of a window.
            ActorKind::Schedule => actor.kind.as_str().to_owned(),
            ActorKind::Token | ActorKind::User | ActorKind::Worker => actor.to_string(),
        };
        match self.trigger {
            Trigger::Schedule | Trigger::Manual => shown,
            Trigger::Recovery => format!("{shown}, continued after a crash"),
        }
    }

    /// The end of an abandoned run whose time is over.
    #[must_use]
    pub(crate) fn abandoned(&self, now: DateTime<Utc>) -> Outcome {
        let Some(window) = self.window else {
            return self.worker_gone(now);
        };
        let closed = || Problem {
            code: Code::WindowClosed,
            message: format!(
                "its worker is gone ({}), and the window closed at {}; AWSCURRENT is unchanged",
                self.worker, window.closes
            ),
            hint: "wait for the next window, which continues the run, or run `twinkey rotate` now"
                .into(),
        };
        Outcome {
            state: RunState::Missed,
            error: Some(self.error.clone().unwrap_or_else(closed)),
            now,
        }
    }

    /// The end of a run whose worker is gone.
    #[must_use]
    pub(super) fn worker_gone(&self, now: DateTime<Utc>) -> Outcome {
        Outcome {
            state: RunState::Failed,
            error: Some(Problem {
                code: Code::Internal,
                message: format!("its worker is gone: {}", self.worker),
                hint:
                    "run `twinkey rotate`, or wait: the next run continues from the state of store and database"
                        .into(),
            }),
            now,
        }
    }
}

/// Cause of a run.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    Schedule,
    Manual,
    /// Continuation of a run whose process is gone.
    Recovery,
}

impl Trigger {
    /// The text form in JSON and in the journal.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Manual => "manual",
            Self::Recovery => "recovery",
        }
    }
}

/// State of a run.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    Running,
    Succeeded,
    Failed,
    /// Its window closed before it succeeded.
    Missed,
    /// Waiting for another attempt in the window.
    Deferred,
}

impl RunState {
    /// The outcome of a run that ended in this state, in its record.
    #[must_use]
    pub const fn audited(self) -> AuditOutcome {
        match self {
            Self::Succeeded => AuditOutcome::Done,
            Self::Running | Self::Failed | Self::Missed | Self::Deferred => AuditOutcome::Failed,
        }
    }

    /// The text form in JSON and in the journal.
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

/// One of the four steps of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Step {
    pub name: StepName,
    pub state: StepState,
    pub started: DateTime<Utc>,
    pub finished: Option<DateTime<Utc>>,
    pub detail: Option<String>,
}

/// Names of the steps, as in AWS.
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
    /// The text form in JSON and in the journal.
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

/// State of a step.
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
    /// The text form in JSON and in the journal.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::tests::fixture::request;

    #[test]
    fn a_run_is_shown_with_its_actor_and_its_continuation() {
        let by_user = Run::new(&request("orders", 1));
        assert_eq!(by_user.shown_actor(), "user ann at laptop");
        let by_schedule = Run {
            actor: Some(Actor::schedule("w")),
            ..by_user.clone()
        };
        assert_eq!(by_schedule.shown_actor(), "schedule");
        let continued = Run {
            trigger: Trigger::Recovery,
            ..by_schedule
        };
        assert_eq!(continued.shown_actor(), "schedule, continued after a crash");
        let from_before = Run {
            actor: None,
            trigger: Trigger::Manual,
            ..by_user
        };
        assert_eq!(from_before.shown_actor(), "manual");
    }
}
