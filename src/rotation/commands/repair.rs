//! Diagnosis and repair of a stuck AWSPENDING: a run's observation and a pure function of it.
//!
//! # Failure modes
//! - Repair removes a pending password that the standby may have, and a late promotion of it locks
//!   applications out. AWSPENDING of the standby is never removed; a run reuses its password.
//! - Repair removes a label that was just moved. It is removed only from the observed version.
//! - Repair removes the unfinished work of another rotator. If one is enabled, or a run is in
//!   progress, nothing changes.

use serde::Serialize;

use crate::rotation::context::RunContext;
use crate::rotation::decide::{Content, Elsewhere, Observed, Refusal, Users};
use crate::rotation::error::RotationError;
use crate::rotation::observe::observation::{Observation, RunRequest};
use crate::rotation::observe::observe;
use crate::rotation::refusal::{refusal_error, reject_if};
use twinkey_stores::{StoreError, VersionId, stage};

/// Position of AWSPENDING.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PendingState {
    Nowhere,
    OnCurrent,
    OnPrevious,
    /// On a version without a value.
    Empty,
    /// On the new document of the standby.
    Standbys,
    /// On a document of the standby that is older than an edit of the secret.
    Outdated,
    /// On the document of another user, or on a value that is no document.
    Foreign,
}

/// State of the standby.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StandbyState {
    Missing,
    Equal,
    Differs,
    /// The master's sign-in was refused.
    Unknown,
}

/// Remedy for a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    Nothing,
    /// Remove AWSPENDING. The version stays readable by its id for some time.
    DropPending,
    /// Start a run, which reuses the pending password.
    Rotate,
}

/// State of a secret, with its remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    pub rotation: String,
    pub pending: PendingState,
    /// The version that AWSPENDING is on.
    pub pending_version: Option<VersionId>,
    pub standby: StandbyState,
    /// One sentence each.
    pub explanation: Vec<String>,
    pub remedy: Remedy,
}

/// The remedy for a position of AWSPENDING; `docs/operations.md` has it as a table.
#[must_use]
pub const fn remedy(pending: PendingState) -> Remedy {
    match pending {
        PendingState::Nowhere | PendingState::OnCurrent => Remedy::Nothing,
        PendingState::OnPrevious | PendingState::Empty | PendingState::Foreign => {
            Remedy::DropPending
        }
        PendingState::Standbys | PendingState::Outdated => Remedy::Rotate,
    }
}

/// The remedy for a position of AWSPENDING, which one user keeps while AWSCURRENT does not sign in.
fn remedy_now(observed: &Observed, pending: PendingState) -> Remedy {
    match observed.users {
        Users::One(user) if observed.guards.current_refused => {
            if user.own_signs_in || user.elsewhere_signs_in {
                Remedy::Rotate
            } else {
                Remedy::Nothing
            }
        }
        _ => remedy(pending),
    }
}

/// Diagnoses a secret without any change.
///
/// # Errors
/// What prevents an observation; another enabled rotator; a run in progress.
pub async fn diagnose(
    context: &RunContext,
    request: &RunRequest<'_>,
) -> Result<Diagnosis, RotationError> {
    let mut observation = observe(context, request).await?;
    let result = diagnosis(request, &observation);
    observation.close().await;
    result
}

/// Diagnoses a secret and removes a stuck AWSPENDING. [`Remedy::Rotate`] is left to a run.
///
/// # Errors
/// Errors of [`diagnose`] and the store; `lost_race` if the label moved meanwhile.
pub async fn apply_remedy(
    context: &RunContext,
    request: &RunRequest<'_>,
) -> Result<Diagnosis, RotationError> {
    let mut observation = observe(context, request).await?;
    let result = diagnose_and_repair(context, request, &observation).await;
    observation.close().await;
    result
}

async fn diagnose_and_repair(
    context: &RunContext,
    request: &RunRequest<'_>,
    observation: &Observation,
) -> Result<Diagnosis, RotationError> {
    let found = diagnosis(request, observation)?;
    if found.remedy == Remedy::DropPending {
        let secret = &request.rotation.secret;
        let from = found.pending_version.as_ref();
        let moved = context.store.move_stage(secret, stage::PENDING, from, None);
        moved.await.map_err(|source| match source {
            StoreError::StageMoved { .. } => refusal_error(Refusal::LostRace, request, observation),
            source => request.store_error(source),
        })?;
    }
    Ok(found)
}

fn diagnosis(
    request: &RunRequest<'_>,
    observation: &Observation,
) -> Result<Diagnosis, RotationError> {
    reject_if(
        &[
            Refusal::Replaced,
            Refusal::ManagedElsewhere,
            Refusal::Locked,
        ],
        request,
        observation,
    )?;
    let pending = pending(observation);
    let standby = match &observation.inspection {
        None => StandbyState::Unknown,
        Some(found) if !found.standby_exists => StandbyState::Missing,
        Some(_) if observation.observed.standby.equal => StandbyState::Equal,
        Some(_) => StandbyState::Differs,
    };
    let pair = &observation.resolved.pair;
    Ok(Diagnosis {
        rotation: request.rotation.name.clone(),
        pending,
        pending_version: observation.description.labelled(stage::PENDING).cloned(),
        standby,
        explanation: vec![
            explain_pending(pending, pair.standby_user()),
            match explain_one_user(&observation.observed, pair.active_user()) {
                Some(explained) => explained,
                None => explain_standby(standby, pair.standby_user(), pair.active_user()),
            },
        ],
        remedy: remedy_now(&observation.observed, pending),
    })
}

fn pending(observation: &Observation) -> PendingState {
    let on = |label| observation.description.labelled(label);
    match (on(stage::PENDING), observation.observed.elsewhere) {
        (None, _) => PendingState::Nowhere,
        (here, Elsewhere::Nothing) if here == on(stage::CURRENT) => PendingState::OnCurrent,
        (_, Elsewhere::Nothing) => PendingState::OnPrevious,
        (_, Elsewhere::Pending { content, .. }) => match content {
            Content::Fits => PendingState::Standbys,
            Content::Outdated => PendingState::Outdated,
            Content::Empty => PendingState::Empty,
            Content::Foreign => PendingState::Foreign,
        },
    }
}

fn explain_pending(pending: PendingState, standby: &str) -> String {
    match pending {
        PendingState::Nowhere => "AWSPENDING is on no version: no run was interrupted".into(),
        PendingState::OnCurrent => "AWSPENDING is on AWSCURRENT, where a finished run leaves it: it has no effect, and the next run moves it".into(),
        PendingState::OnPrevious => "AWSPENDING is on AWSPREVIOUS, left by an earlier run: it has no effect on twinkey, but Secrets Manager's own rotation does not start while it is there".into(),
        PendingState::Empty => "AWSPENDING is on a version without a value: a placeholder that Secrets Manager's own rotation created and never filled".into(),
        PendingState::Standbys => format!("AWSPENDING holds a new password of {standby:?}: a run was interrupted, and {standby:?} may have this password already; the next run reuses it"),
        PendingState::Outdated => format!("AWSPENDING holds a new password of {standby:?}, and the secret was edited after it was written: the next run reuses the password in a new version"),
        PendingState::Foreign => format!("AWSPENDING is on a version that is not for {standby:?}: another program wrote it, and every run is refused (pending_conflict) until it is removed"),
    }
}

fn explain_standby(state: StandbyState, standby: &str, active: &str) -> String {
    match state {
        StandbyState::Missing => format!("{standby:?} does not exist: the next run creates it"),
        StandbyState::Equal => {
            format!("{standby:?} has the same privileges and settings as {active:?}")
        }
        StandbyState::Differs => format!(
            "{standby:?} differs from {active:?}, so it is not promoted: the next run makes it equal (`twinkey plan` lists the changes)"
        ),
        StandbyState::Unknown => {
            format!("the state of {standby:?} is unknown: the master's sign-in was refused")
        }
    }
}

/// What signs in as the one user; `None` for a pair.
fn explain_one_user(observed: &Observed, name: &str) -> Option<String> {
    let Users::One(user) = observed.users else {
        return None;
    };
    let pending_signs_in = user.own_signs_in || user.elsewhere_signs_in;
    Some(match (observed.guards.current_refused, pending_signs_in) {
        (false, _) => format!("{name:?} signs in with AWSCURRENT"),
        (true, true) => format!(
            "AWSCURRENT does not sign in as {name:?}, and AWSPENDING does: a run was interrupted inside its gap, and the next run moves AWSCURRENT"
        ),
        (true, false) => format!(
            "neither AWSCURRENT nor AWSPENDING signs in as {name:?}, so no run begins: store its present password in the secret, or give it the password in AWSCURRENT; an older version may have the present one"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_the_standby_may_have_is_kept() {
        for pending in [PendingState::Standbys, PendingState::Outdated] {
            assert_eq!(remedy(pending), Remedy::Rotate, "{pending:?}");
        }
    }

    #[test]
    fn only_labels_without_effect_are_removed() {
        for pending in [
            PendingState::OnPrevious,
            PendingState::Empty,
            PendingState::Foreign,
        ] {
            assert_eq!(remedy(pending), Remedy::DropPending, "{pending:?}");
        }
        for pending in [PendingState::Nowhere, PendingState::OnCurrent] {
            assert_eq!(remedy(pending), Remedy::Nothing, "{pending:?}");
        }
    }
}
