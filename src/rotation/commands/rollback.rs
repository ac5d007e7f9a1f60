//! Rollback: AWSCURRENT moves back to AWSPREVIOUS.
//!
//! AWSPREVIOUS must sign in at every endpoint and have the privileges of AWSCURRENT. If `retire_after` locked its
//! user, the user gets the password of AWSPREVIOUS again first.
//!
//! # Failure modes
//! - A rollback is requested twice, because its answer was lost or a form was sent again. The second
//!   one would undo the first. After a rollback, AWSPREVIOUS is younger than AWSCURRENT, which the
//!   store shows without the journal: the second one is refused. One that names its user is refused
//!   if AWSCURRENT has this user already.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::journal::{Cause, SecretSummary};
use crate::rotation::context::RunContext;
use crate::rotation::decide::Refusal;
use crate::rotation::error::{CredentialRole, RotationError};
use crate::rotation::external_changes::{Observer, notice_changes};
use crate::rotation::observe::endpoints::Answers;
use crate::rotation::observe::endpoints::proof::{Proved, Prover, Unobserved};
use crate::rotation::observe::endpoints::readers::Poolers;
use crate::rotation::observe::observation::{Observation, RunRequest};
use crate::rotation::observe::observe;
use crate::rotation::observe::resolve::{credentials, read_document};
use crate::rotation::refusal::endpoints::not_accepted;
use crate::rotation::refusal::{refusal_error, reject_if};
use twinkey_core::code::Code;
use twinkey_core::secret::document::Document;
use twinkey_core::secret::pair::Pair;
use twinkey_engines::{ChangeKind, InspectRequest, Inspection, SignInChecks, render_changes};
use twinkey_stores::{Selector, StoreError, VersionId, stage};

/// How long a rollback waits for endpoints that are behind.
const WAIT: Duration = Duration::from_secs(10);

/// Users before and after a rollback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RollbackResult {
    pub from_user: String,
    pub to_user: String,
}

/// Result of a rollback, with the pair as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolledBack {
    pub users: RollbackResult,
    /// The version that is AWSCURRENT now.
    pub version_id: VersionId,
    pub seen: SecretSummary,
}

/// What a caller asks of a rollback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackOrder {
    pub cause: Cause,
    /// Moves AWSCURRENT also if it was rolled back before.
    pub again: bool,
    /// The user that AWSCURRENT must have afterwards; absent: the one of AWSPREVIOUS.
    pub to: Option<String>,
}

/// Moves AWSCURRENT back to AWSPREVIOUS. `request.own` is unused: no version is created.
///
/// # Errors
/// Why nothing changed.
pub async fn rollback(
    context: &RunContext,
    request: &RunRequest<'_>,
    order: &RollbackOrder,
) -> Result<RolledBack, RotationError> {
    let mut observation = observe(context, request).await?;
    // Before the move: its record follows it, and would hide the change.
    if let Some(unconfirmed) =
        notice_changes(context, request, &observation, Observer::Rollback).await
    {
        unconfirmed.confirm(None).await;
    }
    let result = move_back(context, request, &mut observation, order).await;
    observation.close().await;
    result
}

async fn move_back(
    context: &RunContext,
    request: &RunRequest<'_>,
    observation: &mut Observation,
    order: &RollbackOrder,
) -> Result<RolledBack, RotationError> {
    let store = &*context.store;
    let secret = &request.rotation.secret;
    let pair = &observation.resolved.pair.clone();
    if observation.resolved.has_one_user() {
        return Err(refused(
            Code::ConfigInvalid,
            format!(
                "secret {secret:?} is rotated with strategy = \"single\", which this version cannot roll back"
            ),
            "run `twinkey rotate` for a new password",
        ));
    }
    // `CurrentRefused` is missing: a broken AWSCURRENT is a reason for a rollback.
    let guards = [
        Refusal::Replaced,
        Refusal::ManagedElsewhere,
        Refusal::MasterRefused,
        Refusal::OtherServer,
        Refusal::Locked,
        Refusal::Unfit,
    ];
    reject_if(&guards, request, observation)?;
    if let Some(to) = &order.to {
        require_standby(to, pair, secret)?;
    }
    let Some(previous_id) = observation.description.labelled(stage::PREVIOUS).cloned() else {
        return Err(refused(
            Code::SecretNotFound,
            format!("secret {secret:?} has no AWSPREVIOUS"),
            "run `twinkey rotate`, or store the right password in the secret",
        ));
    };
    let by_id = Selector::Version(&previous_id);
    let (version, previous) = read_document(store, "AWSPREVIOUS of secret", secret, by_id).await?;
    let ages = observation.resolved.created.zip(version.created);
    // A rollback to a named user cannot undo itself.
    let is_ordered = order.again || order.to.is_some();
    if !is_ordered && ages.is_some_and(|(current, previous)| previous > current) {
        return Err(refused(
            Code::AlreadyRolledBack,
            format!(
                "AWSCURRENT of {secret:?} is older than AWSPREVIOUS: it was rolled back to {:?} before",
                pair.active_user()
            ),
            "run `twinkey rotate` for a new password; `twinkey rollback NAME --again` moves AWSCURRENT to the newer version again",
        ));
    }
    if previous.fields().username != pair.standby_user()
        || !previous.same_but_for_credentials(&observation.resolved.document)
    {
        return Err(refused(
            Code::PendingConflict,
            format!(
                "AWSPREVIOUS of {secret:?} is not AWSCURRENT with the user {:?}: the secret was edited after the flip",
                pair.standby_user()
            ),
            "compare both versions (`twinkey secret versions`, aws secretsmanager list-secret-version-ids) and store the right document",
        ));
    }
    let mut proof = prove(context, request, observation, &previous).await?;
    if matches!(proof, Proved::Refused(_)) && request.retired {
        unlock(request, observation, &previous).await?;
        proof = prove(context, request, observation, &previous).await?;
    }
    match proof {
        Proved::Refused(refused) => return Err(CredentialRole::Previous.error()(refused)),
        Proved::Accepted(answers) => require_endpoints(request, pair, &answers)?,
    }
    let inspection = inspect(observation, &previous).await?;
    if inspection.as_ref().and_then(|i| i.holds_password) == Some(false) {
        return Err(refused(
            Code::PendingSigninFailed,
            format!(
                "AWSPREVIOUS of {secret:?} signs in, but some accounts of {:?} have another password, or an expired one",
                pair.standby_user()
            ),
            "run `twinkey rotate`: it gives all of them a new password",
        ));
    }
    require_privileges(pair, inspection.as_ref())?;
    store
        .move_stage(
            secret,
            stage::CURRENT,
            Some(&observation.resolved.version_id),
            Some(&previous_id),
        )
        .await
        .map_err(|source| match source {
            StoreError::StageMoved { .. } => refusal_error(Refusal::LostRace, request, observation),
            source => request.store_error(source),
        })?;
    Ok(RolledBack {
        users: RollbackResult {
            from_user: pair.active_user().to_owned(),
            to_user: pair.standby_user().to_owned(),
        },
        version_id: previous_id,
        seen: SecretSummary {
            engine: observation.resolved.kind.to_string(),
            host: Some(observation.resolved.target.host.clone()),
            port: Some(observation.resolved.port()),
            active_user: pair.standby_user().to_owned(),
            standby_user: pair.active_user().to_owned(),
        },
    })
}

/// Refuses a rollback to a user that is not the standby.
fn require_standby(to: &str, pair: &Pair, secret: &str) -> Result<(), RotationError> {
    if to == pair.standby_user() {
        return Ok(());
    }
    if to == pair.active_user() {
        return Err(refused(
            Code::AlreadyRolledBack,
            format!("AWSCURRENT of {secret:?} has the user {to:?} already"),
            "nothing is left to do; `twinkey status NAME` shows the active user",
        ));
    }
    Err(refused(
        Code::PendingConflict,
        format!(
            "{to:?} is no user of {secret:?}, whose pair is {:?} and {:?}",
            pair.active_user(),
            pair.standby_user()
        ),
        "give the standby, which `twinkey status NAME --json` shows as `standby_user`, or leave the user out",
    ))
}

/// Proves AWSPREVIOUS at the database and at every endpoint. A replica learns a moment later that a
/// user was unlocked.
async fn prove(
    context: &RunContext,
    request: &RunRequest<'_>,
    observation: &Observation,
    previous: &Document,
) -> Result<Proved, RotationError> {
    let prover = Prover {
        rotation: request.rotation,
        readers: &observation.readers,
        resolved: &observation.resolved,
        master: &observation.master.target,
        who: &credentials(previous),
        role: CredentialRole::Previous,
        checks: SignInChecks::probes(&request.rotation.probe),
        own_host: observation.own_host,
        poolers: Poolers::With,
    };
    prover.prove(&context.clock, WAIT, None, &Unobserved).await
}

/// Checks that every endpoint accepted AWSPREVIOUS.
fn require_endpoints(
    request: &RunRequest<'_>,
    pair: &Pair,
    answers: &Answers,
) -> Result<(), RotationError> {
    let Some(refusal) = answers.refusal(request.rotation.readers.down) else {
        return Ok(());
    };
    Err(refused(
        refusal.code(),
        not_accepted(answers, pair.standby_user(), "AWSPREVIOUS"),
        "start the reader or wait for its replication, or give the pooler this user, then roll back; to roll back without a reader or a pooler, remove it from the config",
    ))
}

/// Unlocks the user of AWSPREVIOUS with the password in AWSPREVIOUS, after `retire_after` locked
/// it.
async fn unlock(
    request: &RunRequest<'_>,
    observation: &mut Observation,
    previous: &Document,
) -> Result<(), RotationError> {
    let inspection = inspect(observation, previous).await?;
    require_privileges(&observation.resolved.pair, inspection.as_ref())?;
    if observation.observed.guards.master_lacks {
        return Err(refusal_error(Refusal::MasterLacks, request, observation));
    }
    if let (Some(session), Some(inspection)) = (&mut observation.admin, inspection) {
        let failed = CredentialRole::Previous.error();
        let changes =
            render_changes(&inspection.set_password, previous.password()).map_err(&failed)?;
        session.admin.apply(&changes).await.map_err(failed)?;
    }
    Ok(())
}

async fn inspect(
    observation: &mut Observation,
    previous: &Document,
) -> Result<Option<Inspection>, RotationError> {
    let Some(session) = &mut observation.admin else {
        return Ok(None);
    };
    let request = InspectRequest {
        pair: &observation.resolved.pair,
        password: Some(previous.password()),
        current: Some(observation.resolved.document.password()),
        tls: observation.resolved.target.tls.mode,
        thorough: false,
    };
    let inspected = session.admin.inspect(&request).await;
    let mut inspection = inspected.map_err(CredentialRole::Master.error())?;
    inspection.use_form_of(observation.stored_form);
    Ok(Some(inspection))
}

fn require_privileges(pair: &Pair, inspection: Option<&Inspection>) -> Result<(), RotationError> {
    let lacks: Vec<String> = inspection
        .iter()
        .flat_map(|i| &i.differences)
        .filter(|c| c.kind != ChangeKind::Revoke)
        .map(|c| c.statement.to_string())
        .collect();
    if lacks.is_empty() {
        return Ok(());
    }
    Err(refused(
        Code::PrivilegesDiffer,
        format!(
            "{:?} lacks privileges of {:?}: {}",
            pair.standby_user(),
            pair.active_user(),
            lacks.join("; ")
        ),
        "run the statements listed, then roll back; or run `twinkey rotate`, which makes the pair equal",
    ))
}

fn refused(code: Code, message: String, hint: &str) -> RotationError {
    RotationError::Refused {
        code,
        message,
        hint: hint.into(),
        passes: false,
    }
}
