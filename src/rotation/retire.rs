//! The end of AWSPREVIOUS: its user is locked once nobody can live on it any more (`retire_after`).
//!
//! What can go wrong, and what prevents it:
//! - the way back is barred although it may be needed: nothing is locked while AWSCURRENT does not sign in,
//!   and a rollback gives the user its password back (`rollback.rs`);
//! - a consumer still lives on it: whoever has sessions as that user is left alone, and told of;
//! - a run is at work with that user: the pair's lock is taken, and while AWSPENDING is on another version than
//!   AWSCURRENT nothing is touched, for a run was cut off there;
//! - AWSCURRENT was moved a moment ago by somebody whom the journal does not know: the store's own time of
//!   AWSCURRENT counts too;
//! - it is the wrong user: it must be the one that AWSPREVIOUS names, and the pair's standby.

use chrono::{DateTime, TimeDelta, Utc};

use crate::config::settings::{InUse, Rotation};
use crate::rotation::decide::{Elsewhere, Refusal};
use crate::rotation::error::{Role, RotationError};
use crate::rotation::explain::free_of;
use crate::rotation::locate::read;
use crate::rotation::observe::observe;
use crate::rotation::scene::{Scene, Task};
use crate::rotation::site::Site;
use twinkey_engines::{Session, fill};
use twinkey_stores::{Selector, stage};

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retirement {
    /// This user no longer signs in.
    Done { user: String },
    /// These sessions are signed in as the user.
    InUse {
        user: String,
        sessions: Vec<Session>,
    },
    /// Not now, and why.
    NotNow(&'static str),
}

/// When the user of AWSPREVIOUS is to be locked, if it is at all: `retire_after` after the last flip.
#[must_use]
pub fn due(rotation: &Rotation, last_flip: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    let after = TimeDelta::from_std(rotation.retire_after?).ok()?;
    last_flip?.checked_add_signed(after)
}

/// Whether it is to be locked by `now`.
#[must_use]
pub fn is_due(rotation: &Rotation, last_flip: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    due(rotation, last_flip).is_some_and(|at| at <= now)
}

/// Locks the user of AWSPREVIOUS, if nothing speaks against it.
///
/// # Errors
/// What cannot be observed, what stands in the way of any run, or what the database refused.
pub async fn retire(site: &Site, task: &Task<'_>) -> Result<Retirement, RotationError> {
    let mut scene = observe(site, task).await?;
    let result = lock(site, task, &mut scene).await;
    scene.close().await;
    result
}

async fn lock(
    site: &Site,
    task: &Task<'_>,
    scene: &mut Scene,
) -> Result<Retirement, RotationError> {
    let in_the_way = [
        Refusal::ManagedElsewhere,
        Refusal::CurrentRefused,
        Refusal::MasterRefused,
        Refusal::OtherServer,
        Refusal::Locked,
        Refusal::Unfit,
    ];
    free_of(&in_the_way, task, scene)?;
    let moved = scene.located.created.max(task.last_flip);
    if !is_due(task.rotation, moved, site.clock.now()) {
        return Ok(Retirement::NotNow("AWSCURRENT moved since"));
    }
    if scene.observed.elsewhere != Elsewhere::Nothing {
        return Ok(Retirement::NotNow(
            "a run was cut off, and AWSPENDING is still there",
        ));
    }
    let Some(id) = scene.description.labelled(stage::PREVIOUS).cloned() else {
        return Ok(Retirement::NotNow("there is no AWSPREVIOUS"));
    };
    let secret = &task.rotation.secret;
    let by_id = Selector::Version(&id);
    let (_, previous) = read(&*site.store, "AWSPREVIOUS of secret", secret, by_id).await?;
    let user = scene.located.pair.standby_user().to_owned();
    if previous.fields().username != user {
        return Ok(Retirement::NotNow("AWSPREVIOUS is not for the standby"));
    }
    let sessions = scene.sessions.clone().unwrap_or_default();
    if !sessions.is_empty() && task.rotation.in_use != InUse::Ignore {
        return Ok(Retirement::InUse { user, sessions });
    }
    let changes = (scene.inspection.as_ref()).map_or_else(Vec::new, |i| i.retire.clone());
    if let Some(admin) = &mut scene.admin {
        let failed = Role::Previous.error();
        let changes = fill(&changes, previous.password()).map_err(&failed)?;
        admin.apply(&changes).await.map_err(failed)?;
    }
    Ok(Retirement::Done { user })
}
