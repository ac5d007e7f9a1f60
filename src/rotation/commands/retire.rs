//! Retirement of AWSPREVIOUS: its user is locked some time after a flip (`retire_after`).
//!
//! # Failure modes
//! - A rollback is impossible when it is needed. No user is locked while AWSCURRENT does not sign
//!   in, and a rollback restores the user's password (`rollback.rs`).
//! - A consumer still uses the user. A user with open sessions is not locked, and is reported.
//! - A run is changing that user. The pair's lock is taken, and nothing changes while AWSPENDING is
//!   on another version than AWSCURRENT, because a run was interrupted there.
//! - Another program moved AWSCURRENT, and the journal has no record of it. The store's own time of
//!   AWSCURRENT counts too.
//! - The applications of a replica that is behind still use the user. A reader must accept AWSCURRENT.
//! - The one user of `strategy = "single"` is locked. Its retirement discards the secondary password,
//!   and only while the primary one is AWSCURRENT's.
//! - The wrong user is locked. It must be the one in AWSPREVIOUS and the pair's standby.

use chrono::{DateTime, TimeDelta, Utc};

use crate::config::settings::{InUse, Rotation};
use crate::rotation::context::RunContext;
use crate::rotation::decide::{Elsewhere, Refusal};
use crate::rotation::error::{CredentialRole, RotationError};
use crate::rotation::observe::guards::last_flip;
use crate::rotation::observe::observation::{Observation, RunRequest};
use crate::rotation::observe::observe;
use crate::rotation::observe::resolve::read_document;
use crate::rotation::refusal::reject_if;
use twinkey_engines::{Session, render_changes};
use twinkey_stores::{Selector, stage};

/// Result of a retirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retirement {
    /// The user is locked. With `strategy = "single"`: its secondary password is discarded.
    Done { user: String },
    /// The user has open sessions.
    InUse {
        user: String,
        sessions: Vec<Session>,
    },
    /// The user is not locked now, with the reason.
    NotNow(&'static str),
}

/// The due time of a retirement: `retire_after` after the last flip.
#[must_use]
pub fn due(rotation: &Rotation, last_flip: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    let after = TimeDelta::from_std(rotation.retire_after?).ok()?;
    last_flip?.checked_add_signed(after)
}

/// Whether a retirement is due `now`.
#[must_use]
pub fn is_due(rotation: &Rotation, last_flip: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    due(rotation, last_flip).is_some_and(|at| at <= now)
}

/// Locks the user of AWSPREVIOUS, unless a guard forbids it.
///
/// # Errors
/// What prevents an observation, the first refusing guard, or errors of the database.
pub async fn retire(
    context: &RunContext,
    request: &RunRequest<'_>,
) -> Result<Retirement, RotationError> {
    let mut observation = observe(context, request).await?;
    let result = lock(context, request, &mut observation).await;
    observation.close().await;
    result
}

async fn lock(
    context: &RunContext,
    request: &RunRequest<'_>,
    observation: &mut Observation,
) -> Result<Retirement, RotationError> {
    let guards = [
        Refusal::Replaced,
        Refusal::ManagedElsewhere,
        Refusal::CurrentRefused,
        Refusal::MasterRefused,
        Refusal::OtherServer,
        Refusal::Locked,
        Refusal::PairShared,
        Refusal::Unfit,
    ];
    reject_if(&guards, request, observation)?;
    let now = context.clock.now();
    let known = [observation.resolved.created, request.last_flip];
    let moved = last_flip(request.rotation, known, now);
    if !is_due(request.rotation, moved, now) {
        return Ok(Retirement::NotNow("AWSCURRENT moved again"));
    }
    if observation.observed.elsewhere != Elsewhere::Nothing {
        return Ok(Retirement::NotNow(
            "a run was interrupted and left AWSPENDING",
        ));
    }
    let guards = observation.observed.guards;
    if guards.reader_behind || guards.reader_unreachable {
        return Ok(Retirement::NotNow(
            "a reader does not accept AWSCURRENT, so that its applications may use AWSPREVIOUS",
        ));
    }
    let Some(id) = observation.description.labelled(stage::PREVIOUS).cloned() else {
        return Ok(Retirement::NotNow("there is no AWSPREVIOUS"));
    };
    let secret = &request.rotation.secret;
    let by_id = Selector::Version(&id);
    let (_, previous) =
        read_document(&*context.store, "AWSPREVIOUS of secret", secret, by_id).await?;
    let user = observation.resolved.pair.standby_user().to_owned();
    if previous.fields().username != user {
        return Ok(Retirement::NotNow("AWSPREVIOUS belongs to another user"));
    }
    let sessions = observation.sessions.clone().unwrap_or_default();
    if !sessions.is_empty() && request.rotation.in_use != InUse::Ignore {
        return Ok(Retirement::InUse { user, sessions });
    }
    let changes = (observation.inspection.as_ref()).map_or_else(Vec::new, |i| i.retire.clone());
    if observation.resolved.has_one_user() && changes.is_empty() {
        return Ok(Retirement::NotNow("the user has no secondary password"));
    }
    if let Some(session) = &mut observation.admin {
        let failed = CredentialRole::Previous.error();
        let changes = render_changes(&changes, previous.password()).map_err(&failed)?;
        session.admin.apply(&changes).await.map_err(failed)?;
    }
    Ok(Retirement::Done { user })
}
