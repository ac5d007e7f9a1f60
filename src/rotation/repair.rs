//! What is stuck about a secret, and how it is put right: the same observation as a run's, and a pure
//! function from it.
//!
//! What can go wrong, and what prevents it:
//! - a pending password that the standby may have by now is forgotten, and a late promotion by the worker
//!   that wrote it locks everybody out: AWSPENDING for the standby is never taken off, but carried on by a
//!   run, as always;
//! - a label is taken off that somebody has just moved: it is taken off the version that was observed,
//!   or not at all;
//! - another rotator's work in progress is taken for rubbish: where one is switched on, or a run is on,
//!   nothing is touched.

use serde::Serialize;

use crate::rotation::decide::{Content, Elsewhere, Refusal};
use crate::rotation::error::RotationError;
use crate::rotation::explain::{explain, free_of};
use crate::rotation::observe::observe;
use crate::rotation::scene::{Scene, Task};
use crate::rotation::site::Site;
use twinkey_stores::{StoreError, VersionId, stage};

/// Where AWSPENDING is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pending {
    Nowhere,
    OnCurrent,
    OnPrevious,
    /// On a version that holds nothing.
    Empty,
    /// On the standby's new document.
    Standbys,
    /// On a document of the standby's, and the secret was edited since.
    Outdated,
    /// On somebody else's document, or on none.
    Foreign,
}

/// How the standby is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StandbyState {
    Missing,
    Equal,
    Differs,
    /// The master does not sign in.
    Unknown,
}

/// What puts it right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    Nothing,
    /// AWSPENDING is taken off. The version stays readable by its id for a while.
    DropPending,
    /// A run carries the pending password on, and finishes.
    Rotate,
}

/// What was found, and what would put it right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    pub rotation: String,
    pub pending: Pending,
    /// The version that AWSPENDING is on.
    pub pending_version: Option<VersionId>,
    pub standby: StandbyState,
    /// One sentence each.
    pub explanation: Vec<String>,
    pub remedy: Remedy,
}

/// What puts a state right: pure, and what `docs/operations.md` has as a table.
#[must_use]
pub const fn remedy(pending: Pending) -> Remedy {
    match pending {
        Pending::Nowhere | Pending::OnCurrent => Remedy::Nothing,
        Pending::OnPrevious | Pending::Empty | Pending::Foreign => Remedy::DropPending,
        Pending::Standbys | Pending::Outdated => Remedy::Rotate,
    }
}

/// Looks, and says what is stuck. Changes nothing.
///
/// # Errors
/// What cannot be observed, another rotator that is switched on, or a run that is on.
pub async fn diagnose(site: &Site, task: &Task<'_>) -> Result<Diagnosis, RotationError> {
    let mut scene = observe(site, task).await?;
    let result = look(task, &scene);
    scene.close().await;
    result
}

/// Looks, and takes a label off that is stuck; what takes a run is left to one.
///
/// # Errors
/// As [`diagnose`], or the store's: `lost_race` where the label was moved meanwhile.
pub async fn take_off(site: &Site, task: &Task<'_>) -> Result<Diagnosis, RotationError> {
    let mut scene = observe(site, task).await?;
    let result = look_and_take_off(site, task, &scene).await;
    scene.close().await;
    result
}

async fn look_and_take_off(
    site: &Site,
    task: &Task<'_>,
    scene: &Scene,
) -> Result<Diagnosis, RotationError> {
    let found = look(task, scene)?;
    if found.remedy == Remedy::DropPending {
        let secret = &task.rotation.secret;
        let from = found.pending_version.as_ref();
        let moved = site.store.move_stage(secret, stage::PENDING, from, None);
        moved.await.map_err(|source| match source {
            StoreError::StageMoved { .. } => explain(Refusal::LostRace, task, scene),
            source => task.store_error(source),
        })?;
    }
    Ok(found)
}

fn look(task: &Task<'_>, scene: &Scene) -> Result<Diagnosis, RotationError> {
    free_of(&[Refusal::ManagedElsewhere, Refusal::Locked], task, scene)?;
    let pending = pending(scene);
    let standby = match &scene.inspection {
        None => StandbyState::Unknown,
        Some(found) if !found.standby_exists => StandbyState::Missing,
        Some(_) if scene.observed.standby.equal => StandbyState::Equal,
        Some(_) => StandbyState::Differs,
    };
    let pair = &scene.located.pair;
    Ok(Diagnosis {
        rotation: task.rotation.name.clone(),
        pending,
        pending_version: scene.description.labelled(stage::PENDING).cloned(),
        standby,
        explanation: vec![
            of_pending(pending, pair.standby_user()),
            of_standby(standby, pair.standby_user(), pair.active_user()),
        ],
        remedy: remedy(pending),
    })
}

fn pending(scene: &Scene) -> Pending {
    let on = |label| scene.description.labelled(label);
    match (on(stage::PENDING), scene.observed.elsewhere) {
        (None, _) => Pending::Nowhere,
        (here, Elsewhere::Nothing) if here == on(stage::CURRENT) => Pending::OnCurrent,
        (_, Elsewhere::Nothing) => Pending::OnPrevious,
        (_, Elsewhere::Pending { content, .. }) => match content {
            Content::Fits => Pending::Standbys,
            Content::Outdated => Pending::Outdated,
            Content::Empty => Pending::Empty,
            Content::Foreign => Pending::Foreign,
        },
    }
}

fn of_pending(pending: Pending, standby: &str) -> String {
    match pending {
        Pending::Nowhere => "AWSPENDING is nowhere: no run was cut off".into(),
        Pending::OnCurrent => "AWSPENDING is still on AWSCURRENT, as a finished run leaves it: it means nothing, and the next run moves it".into(),
        Pending::OnPrevious => "AWSPENDING is on AWSPREVIOUS, left from the run that made it: it means nothing, but AWS's own rotation refuses to begin while it is there".into(),
        Pending::Empty => "AWSPENDING is on a version without a value: a placeholder that AWS's rotation made and never filled".into(),
        Pending::Standbys => format!("AWSPENDING holds a new password of {standby:?}: a run was cut off before it finished, and {standby:?} may have that password by now; the next run carries it on"),
        Pending::Outdated => format!("AWSPENDING holds a new password of {standby:?}, and the secret was edited since: the next run carries the password on in a new version"),
        Pending::Foreign => format!("AWSPENDING is on a version that is not for {standby:?}: somebody else wrote it, and every run is refused (pending_conflict) until it is gone"),
    }
}

fn of_standby(state: StandbyState, standby: &str, active: &str) -> String {
    match state {
        StandbyState::Missing => format!("{standby:?} is not there: the next run makes it"),
        StandbyState::Equal => format!("{standby:?} has all that {active:?} has, and nothing more"),
        StandbyState::Differs => format!(
            "{standby:?} differs from {active:?} or is half made, and so is not promoted: the next run makes it equal (`twinkey plan` shows how)"
        ),
        StandbyState::Unknown => {
            format!("how {standby:?} is cannot be known: the master does not sign in")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_the_standby_may_have_is_never_forgotten() {
        for pending in [Pending::Standbys, Pending::Outdated] {
            assert_eq!(remedy(pending), Remedy::Rotate, "{pending:?}");
        }
    }

    #[test]
    fn what_means_nothing_and_stands_in_the_way_is_taken_off_and_the_rest_left() {
        for pending in [Pending::OnPrevious, Pending::Empty, Pending::Foreign] {
            assert_eq!(remedy(pending), Remedy::DropPending, "{pending:?}");
        }
        for pending in [Pending::Nowhere, Pending::OnCurrent] {
            assert_eq!(remedy(pending), Remedy::Nothing, "{pending:?}");
        }
    }
}
