//! Heartbeat: a sign-in with AWSCURRENT between the windows, at the database, every reader and every pooler.
//!
//! # Failure modes
//! - AWSCURRENT moves between the read and the sign-in, and the old credentials are refused. A
//!   refusal counts only if the refused version is still AWSCURRENT.
//! - A heartbeat delays a run. It uses no lock and no master, changes nothing, and respects the
//!   limit of the host.
//! - A database or store that is down looks like a changed password. Only a refused sign-in is one.

use crate::config::settings::Rotation;
use crate::rotation::context::RunContext;
use crate::rotation::error::{CredentialRole, RotationError};
use crate::rotation::observe::endpoints::readers::{Poolers, named, sign_in};
use crate::rotation::observe::endpoints::statuses;
use crate::rotation::observe::resolve::{ResolvedSecret, resolve, resolve_version};
use crate::rotation::observe::{MAX_OBSERVATIONS, current_keeps_moving, host_down};
use crate::rotation::refusal::endpoints::not_accepted;
use twinkey_core::secret::Sensitive;
use twinkey_engines::{EngineError, SignInChecks, SignedIn};
use twinkey_stores::{SecretVersion, Selector, StoreError, VersionId, stage};

/// Result of a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeartbeatResult {
    Accepted,
    /// New connections of applications are refused too.
    Refused(RotationError),
}

/// Signs in with AWSCURRENT once and changes nothing.
///
/// It costs one GetSecretValue, and one DescribeSecret if the sign-in is refused.
///
/// # Errors
/// Errors that leave the result unknown: of the store, the document or the connection.
pub async fn probe_current(
    context: &RunContext,
    rotation: &Rotation,
) -> Result<HeartbeatResult, RotationError> {
    let current = Selector::Stage(stage::CURRENT);
    probe_version(
        context,
        rotation,
        context.store.get(&rotation.secret, current).await,
    )
    .await
}

/// Signs in once with a document that is not in the store yet, at the database and every endpoint.
///
/// # Errors
/// Why it does not sign in, or why that is not known.
pub async fn prove_document(
    context: &RunContext,
    rotation: &Rotation,
    value: Sensitive,
) -> Result<(), RotationError> {
    let version = SecretVersion {
        arn: rotation.secret.clone(),
        version_id: VersionId(String::new()),
        value,
        stages: Vec::new(),
        created: None,
    };
    let resolved = resolve_version(context, rotation, Ok(version))?;
    match sign_in_everywhere(context, rotation, &resolved, false).await? {
        None => Ok(()),
        Some(refused) => Err(refused),
    }
}

/// Signs in with the credentials of a document; returns the refusal, if there is one. `is_current`: the
/// answers are the states of the endpoints.
async fn sign_in_everywhere(
    context: &RunContext,
    rotation: &Rotation,
    resolved: &ResolvedSecret,
    is_current: bool,
) -> Result<Option<RotationError>, RotationError> {
    let Some(permit) = context.hosts.permit(&resolved.server()).await else {
        return Err(CredentialRole::Current.error()(host_down(resolved)));
    };
    let answer = resolved
        .sign_in(&resolved.current(), SignInChecks::default())
        .await;
    permit.record(&answer);
    let elsewhere = at_endpoints(context, rotation, resolved, is_current.then_some(&answer)).await;
    match answer {
        Ok(_) => elsewhere,
        Err(refused @ EngineError::SignIn { .. }) => {
            Ok(Some(CredentialRole::Current.error()(refused)))
        }
        Err(error) => Err(CredentialRole::Current.error()(error)),
    }
}

/// The refusal by readers and poolers, if there is one. `own`: the answer of the secret's host to
/// AWSCURRENT.
///
/// # Errors
/// A reader or a pooler that cannot be reached, unless the config skips it.
async fn at_endpoints(
    context: &RunContext,
    rotation: &Rotation,
    resolved: &ResolvedSecret,
    own: Option<&Result<SignedIn, EngineError>>,
) -> Result<Option<RotationError>, RotationError> {
    let current = resolved.current();
    let checks = SignInChecks::default();
    let readers = named(context, rotation, resolved, None).await?;
    let answers = sign_in(
        rotation,
        &readers,
        resolved,
        &current,
        checks,
        Poolers::With,
    )
    .await?;
    if let Some(own) = own {
        let states = statuses(resolved, own, &answers);
        context.endpoints.record(&rotation.name, states);
    }
    let Some(refusal) = answers.refusal(rotation.readers.down) else {
        return Ok(None);
    };
    let error = RotationError::refused(
        refusal,
        not_accepted(&answers, &current.username, "AWSCURRENT"),
        "start the reader and its replication, or give the pooler this user; if one never accepts AWSCURRENT, remove it from the config".into(),
    );
    let is_refused = !answers.only(refusal).behind.is_empty();
    if is_refused {
        Ok(Some(error))
    } else {
        Err(error)
    }
}

/// As [`probe_current`], with an AWSCURRENT that was just read. If it is refused and AWSCURRENT
/// moved since, it is read again.
///
/// # Errors
/// Errors of [`probe_current`].
pub async fn probe_version(
    context: &RunContext,
    rotation: &Rotation,
    read: Result<SecretVersion, StoreError>,
) -> Result<HeartbeatResult, RotationError> {
    let mut read = Some(read);
    for _ in 0..MAX_OBSERVATIONS {
        let resolved = match read.take() {
            Some(read) => resolve_version(context, rotation, read)?,
            None => resolve(context, rotation).await?,
        };
        let Some(refused) = sign_in_everywhere(context, rotation, &resolved, true).await? else {
            return Ok(HeartbeatResult::Accepted);
        };
        let secret = &rotation.secret;
        let now = context.store.describe(secret).await;
        let now = now.map_err(|source| RotationError::Store {
            secret: secret.clone(),
            source,
        })?;
        if now.labelled(stage::CURRENT) == Some(&resolved.version_id) {
            return Ok(HeartbeatResult::Refused(refused));
        }
    }
    Err(current_keeps_moving(&rotation.secret))
}
