//! Record of actions: who did what to which rotation, why, and with which outcome.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use twinkey_core::code::Code;

/// An action on a rotation or on the worker. Records are only added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = Record)]
pub struct AuditRecord {
    pub id: Uuid,
    pub at: DateTime<Utc>,
    pub actor: Actor,
    pub action: AuditAction,
    /// `null` for an action on the worker (`reload`).
    #[schema(example = "orders")]
    pub rotation: Option<String>,
    pub reason: Option<String>,
    /// The run that the action was, or that it started.
    pub run: Option<Uuid>,
    pub outcome: AuditOutcome,
    /// Why it was refused or failed.
    pub code: Option<Code>,
}

impl AuditRecord {
    /// The record of an action that was done.
    #[must_use]
    pub fn done(action: AuditAction, rotation: &str, cause: Cause, at: DateTime<Utc>) -> Self {
        Self {
            id: Uuid::new_v4(),
            at,
            actor: cause.actor,
            action,
            rotation: Some(rotation.to_owned()),
            reason: cause.reason,
            run: None,
            outcome: AuditOutcome::Done,
            code: None,
        }
    }

    /// The record of a reload of a worker's config.
    #[must_use]
    pub fn reload(worker: &str, at: DateTime<Utc>) -> Self {
        Self {
            rotation: None,
            ..Self::done(AuditAction::Reload, "", Actor::worker(worker).into(), at)
        }
    }

    /// The actor for a list of actions: that of a change is not known.
    #[must_use]
    pub fn shown_actor(&self) -> String {
        match self.action {
            AuditAction::Change => format!("another party, noticed by {}", self.actor),
            _ => self.actor.to_string(),
        }
    }

    /// The pause that this record tells of.
    #[must_use]
    pub fn as_pause(&self, until: Option<DateTime<Utc>>) -> Pause {
        Pause {
            by: Some(self.actor.name.clone()),
            at: Some(self.at),
            reason: self.reason.clone(),
            until,
        }
    }

    /// The record of an action that changed nothing.
    #[must_use]
    pub fn refused(self, code: Code) -> Self {
        Self {
            outcome: AuditOutcome::Refused,
            code: Some(code),
            ..self
        }
    }
}

/// Actor of an action, and its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    pub actor: Actor,
    pub reason: Option<String>,
}

impl From<Actor> for Cause {
    /// Without a reason.
    fn from(actor: Actor) -> Self {
        Self {
            actor,
            reason: None,
        }
    }
}

/// Actor of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Actor {
    pub kind: ActorKind,
    /// Of the token, of the user of the operating system, or of the worker.
    #[schema(example = "grafana")]
    pub name: String,
    /// Address of the client of a token, or host of a user.
    #[schema(example = "10.0.3.7:51442")]
    pub address: Option<String>,
}

impl Actor {
    /// The worker itself.
    #[must_use]
    pub fn worker(name: &str) -> Self {
        Self {
            kind: ActorKind::Worker,
            name: name.to_owned(),
            address: None,
        }
    }

    /// The schedule of a rotation, in a worker.
    #[must_use]
    pub fn schedule(worker: &str) -> Self {
        Self {
            kind: ActorKind::Schedule,
            ..Self::worker(worker)
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)?;
        match &self.address {
            Some(address) => write!(f, " at {address}"),
            None => Ok(()),
        }
    }
}

/// Kind of an [`Actor`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ActorKind {
    /// A token of the admin endpoint.
    Token,
    /// A user of the operating system, with a command.
    User,
    Schedule,
    Worker,
}

impl ActorKind {
    /// The text form in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::User => "user",
            Self::Schedule => "schedule",
            Self::Worker => "worker",
        }
    }
}

/// Action of a record.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum AuditAction {
    Rotate,
    Rollback,
    Pause,
    Resume,
    Repair,
    Retire,
    Reload,
    /// A rotation that `[[discover]]` armed, disarmed or refused.
    Discover,
    /// A move of a staging label by another party, as this actor noticed it.
    Change,
}

impl AuditAction {
    /// Every action.
    pub const ALL: [Self; 9] = [
        Self::Rotate,
        Self::Rollback,
        Self::Pause,
        Self::Resume,
        Self::Repair,
        Self::Retire,
        Self::Reload,
        Self::Discover,
        Self::Change,
    ];

    /// The text form in JSON and in the journal.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rotate => "rotate",
            Self::Rollback => "rollback",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Repair => "repair",
            Self::Retire => "retire",
            Self::Reload => "reload",
            Self::Discover => "discover",
            Self::Change => "change",
        }
    }
}

/// Outcome of an action.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum AuditOutcome {
    Done,
    /// Nothing was changed.
    Refused,
    /// It was begun and not completed.
    Failed,
}

impl AuditOutcome {
    /// Every outcome.
    pub const ALL: [Self; 3] = [Self::Done, Self::Refused, Self::Failed];

    /// The text form in JSON and in the journal.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// Filter of the records, which are sorted newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditQuery {
    pub rotation: Option<String>,
    /// Only records of these rotations, and none of the worker.
    pub rotations: Option<Vec<String>>,
    /// Only records of rotations that match one of these patterns, and none of the worker. `*` is any text
    /// and `?` one character.
    pub patterns: Option<Vec<String>>,
    /// The name of the actor.
    pub actor: Option<String>,
    pub action: Option<AuditAction>,
    pub outcome: Option<AuditOutcome>,
    /// Without the records of runs, which [`Run`](super::Run) tells with more.
    pub without_runs: bool,
    /// Only records older than this one.
    pub before: Option<Uuid>,
    pub limit: u32,
}

/// Pause of a rotation's schedule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Pause {
    /// The name of the actor. `null` if a version before the records paused it.
    pub by: Option<String>,
    pub at: Option<DateTime<Utc>>,
    pub reason: Option<String>,
    /// When it ends by itself.
    pub until: Option<DateTime<Utc>>,
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minute = |at: &DateTime<Utc>| at.format("%Y-%m-%d %H:%M UTC").to_string();
        f.write_str("paused")?;
        if let Some(by) = &self.by {
            write!(f, " by {by}")?;
        }
        if let Some(at) = &self.at {
            write!(f, " since {}", minute(at))?;
        }
        if let Some(until) = &self.until {
            write!(f, " until {}", minute(until))?;
        }
        match self.reason.as_deref().filter(|reason| !reason.is_empty()) {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

impl Pause {
    /// [`Self::by`] of a pause of the config.
    pub(crate) const BY_CONFIG: &str = "the config";

    /// Whether only the config can end it.
    #[must_use]
    pub fn is_by_config(&self) -> bool {
        self.by.as_deref() == Some(Self::BY_CONFIG)
    }

    /// Whether it lasts at `now`.
    #[must_use]
    pub fn lasts(&self, now: DateTime<Utc>) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_actions_has_every_action() {
        let position = |action| match action {
            AuditAction::Rotate => 0,
            AuditAction::Rollback => 1,
            AuditAction::Pause => 2,
            AuditAction::Resume => 3,
            AuditAction::Repair => 4,
            AuditAction::Retire => 5,
            AuditAction::Reload => 6,
            AuditAction::Discover => 7,
            AuditAction::Change => 8,
        };
        assert_eq!(AuditAction::ALL.map(position), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        for action in AuditAction::ALL {
            assert_eq!(serde_json::to_value(action).unwrap(), action.as_str());
        }
    }
}
