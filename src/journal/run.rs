//! A run and its steps, as the contract shows them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::code::Problem;
use crate::schedule::Window;
use crate::store::VersionId;

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
