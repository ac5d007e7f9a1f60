//! The secrets from which a pooler reads the passwords of the two users, such as those that are
//! registered at RDS Proxy.
//!
//! # Failure modes
//! - A secret is missing, or is no document: a run would stop after it changed the standby. It is
//!   refused before.
//! - The config exchanges the two users, or a secret belongs to another user. The standby's password
//!   would replace that of the active user at the pooler. A secret with another user name is refused.
//! - A secret is a replica, or another rotator changes it: the write fails after the change of the
//!   standby, or the next write of the other rotator replaces the password. It is refused before.
//! - The role may not describe the secret, as with a policy of version 0.1. Then it is not known
//!   whether another rotator changes it, and the run goes on.
//! - A run is cut between the change and the write. The secrets are compared again by each run, and
//!   the one that differs is written.
//! - Other fields of the secret are lost. Only the user name and the password are replaced.

use crate::config::settings::Rotation;
use crate::rotation::context::RunContext;
use crate::rotation::error::RotationError;
use crate::rotation::observe::observation::{Observation, RunRequest};
use crate::rotation::observe::resolve::{ResolvedSecret, read_document};
use crate::rotation::run::version_id;
use secrecy::ExposeSecret;
use twinkey_core::code::Code;
use twinkey_core::secret::document::Document;
use twinkey_core::secret::pair::Pair;
use twinkey_stores::{OtherRotator, SecretStore, Selector, StoreError, stage};

/// A pooler's own secret of the standby.
#[derive(Debug, Clone)]
pub(crate) struct PoolerSecret {
    /// The name or ARN, as in the config.
    pub secret: String,
    /// The pooler, with its port if the config has one.
    pub pooler: String,
    /// AWSCURRENT of it.
    document: Document,
}

impl PoolerSecret {
    fn has(&self, pending: &Document) -> bool {
        let own = self.document.password().expose_secret();
        own == pending.password().expose_secret()
    }
}

/// Reads the standby's secret of each pooler that has secrets.
///
/// # Errors
/// `config_invalid` if the config names no secret of a user, or one of another user; errors of the
/// store; `secret_malformed`.
pub(in crate::rotation::observe) async fn read(
    context: &RunContext,
    rotation: &Rotation,
    resolved: &ResolvedSecret,
) -> Result<Vec<PoolerSecret>, RotationError> {
    let mut all = Vec::new();
    for pooler in &rotation.poolers {
        if pooler.secrets.is_empty() {
            continue;
        }
        let name = pooler.address.to_string();
        for user in [&resolved.pair.base, &resolved.pair.clone] {
            let Some(secret) = pooler.secrets.get(user) else {
                return Err(missing(&name, user, &resolved.pair));
            };
            let what = "the pooler's secret";
            let current = Selector::Stage(stage::CURRENT);
            let (document, rotator) = tokio::join!(
                read_document(&*context.store, what, secret, current),
                other_rotator(&*context.store, secret)
            );
            let (_, document) = document?;
            if let Some(rotator) = rotator? {
                return Err(of_other_rotator(&name, secret, &rotator));
            }
            if document.fields().username != *user {
                return Err(of_other_user(&name, user, secret, &document));
            }
            if user == resolved.pair.standby_user() {
                all.push(PoolerSecret {
                    secret: secret.clone(),
                    pooler: name.clone(),
                    document,
                });
            }
        }
    }
    Ok(all)
}

/// The other rotator of a secret, if one is known.
async fn other_rotator(
    store: &dyn SecretStore,
    secret: &str,
) -> Result<Option<OtherRotator>, RotationError> {
    match store.describe(secret).await {
        Ok(description) => Ok(description.other_rotator()),
        Err(StoreError::Denied { .. }) => Ok(None),
        Err(source) => Err(RotationError::Store {
            secret: secret.to_owned(),
            source,
        }),
    }
}

/// Sets the fact whether a run has to write a secret.
pub(crate) fn compare(observation: &mut Observation) {
    let secrets = &observation.pooler_secrets;
    observation.observed.pooler_secrets_stale = match &observation.own_document {
        Some(pending) => secrets.iter().any(|one| !one.has(pending)),
        None => !secrets.is_empty(),
    };
}

/// Writes the pending password into the secrets that lack it. Returns a description.
///
/// # Errors
/// Errors of the store.
pub(crate) async fn put(
    store: &dyn SecretStore,
    request: &RunRequest<'_>,
    observation: &mut Observation,
) -> Result<String, RotationError> {
    let Some(pending) = observation.own_document.clone() else {
        let message = "the pending document is missing";
        return Err(RotationError::Internal(message.into()));
    };
    let mut written = Vec::new();
    for one in &mut observation.pooler_secrets {
        if one.has(&pending) {
            continue;
        }
        let failed = |source| RotationError::Document {
            what: "the pooler's secret",
            secret: one.secret.clone(),
            source,
        };
        let user = &pending.fields().username;
        let document = one.document.with_credentials(user, pending.password());
        let document = document.map_err(failed)?;
        // A run that is repeated compares the passwords first, so that it writes no second version.
        let id = version_id::manual();
        let put = store.put(&one.secret, &id, document.text(), stage::CURRENT);
        put.await.map_err(|source| RotationError::Store {
            secret: one.secret.clone(),
            source,
        })?;
        tracing::info!(rotation = %request.rotation.name, secret = %one.secret, pooler = %one.pooler, "secret of a pooler written");
        one.document = document;
        written.push(format!("{:?} of the pooler {}", one.secret, one.pooler));
    }
    compare(observation);
    let mut detail = observation.set_detail.take().unwrap_or_default();
    if !detail.is_empty() {
        detail.push_str("; ");
    }
    detail.push_str(&format!("wrote the secret {}", written.join(", ")));
    observation.set_detail = Some(detail.clone());
    Ok(detail)
}

fn missing(pooler: &str, user: &str, pair: &Pair) -> RotationError {
    RotationError::Refused {
        code: Code::ConfigInvalid,
        message: format!("`secrets` of the pooler {pooler} names no secret of the user {user:?}"),
        hint: format!(
            "name both users in it: secrets = {{ {:?} = \"…\", {:?} = \"…\" }}",
            pair.base, pair.clone
        ),
        passes: false,
    }
}

fn of_other_rotator(pooler: &str, secret: &str, rotator: &OtherRotator) -> RotationError {
    RotationError::Refused {
        code: Code::ManagedElsewhere,
        message: format!(
            "the secret {secret:?} of the pooler {pooler} has another rotator: {rotator}"
        ),
        hint: rotator.hint().to_owned(),
        passes: false,
    }
}

fn of_other_user(pooler: &str, user: &str, secret: &str, document: &Document) -> RotationError {
    RotationError::Refused {
        code: Code::ConfigInvalid,
        message: format!(
            "the secret {secret:?} of the pooler {pooler} is for {user:?} in the config, and its own user name is {:?}",
            document.fields().username
        ),
        hint: format!(
            "correct `secrets` in the config, or store a document with the user name {user:?}"
        ),
        passes: false,
    }
}
