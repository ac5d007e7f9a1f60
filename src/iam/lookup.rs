//! Lookup of facts about the secrets of a config in Secrets Manager.
//!
//! It is read-only, and keeps only the ARN, the KMS key, and the fields about engine, master and cluster.

use super::known::{Known, SecretFacts};
use crate::config::settings::Settings;
use crate::rotation::error::RotationError;
use twinkey_core::secret::document::Document;
use twinkey_stores::{SecretStore, Selector, StoreError, stage};

/// Reads the facts about every secret of the config and its master.
///
/// # Errors
/// A store error, if a secret does not exist or cannot be read. An invalid document is not an error.
pub async fn look_up(
    settings: &Settings,
    store: &dyn SecretStore,
    known: &mut Known,
) -> Result<(), RotationError> {
    known.complete = true;
    for rotation in &settings.rotations {
        let secret = &rotation.secret;
        let facts = facts_of(store, secret).await;
        let facts = facts.map_err(|source| store_error(secret, source))?;
        let master = rotation.master_secret.clone().or(facts.master.clone());
        known.secrets.insert(secret.clone(), facts);
        let Some(master) = master.filter(|name| !known.secrets.contains_key(name)) else {
            continue;
        };
        let facts = describe(store, &master).await;
        let facts = facts.map_err(|source| store_error(&master, source))?;
        known.secrets.insert(master, facts);
    }
    Ok(())
}

fn store_error(secret: &str, source: StoreError) -> RotationError {
    RotationError::Store {
        secret: secret.to_owned(),
        source,
    }
}

async fn describe(store: &dyn SecretStore, secret: &str) -> Result<SecretFacts, StoreError> {
    let description = store.describe(secret).await?;
    let key = description.kms_key;
    Ok(SecretFacts {
        // AWS's own key needs no permission.
        kms_key: key.filter(|key| !key.ends_with("alias/aws/secretsmanager")),
        arn: Some(description.arn),
        ..SecretFacts::default()
    })
}

async fn facts_of(store: &dyn SecretStore, secret: &str) -> Result<SecretFacts, StoreError> {
    let facts = describe(store, secret).await?;
    let current = store.get(secret, Selector::Stage(stage::CURRENT)).await?;
    let Ok(document) = Document::parse(current.value) else {
        return Ok(facts);
    };
    let fields = document.fields();
    Ok(SecretFacts {
        engine: fields.engine.as_deref().and_then(|name| name.parse().ok()),
        master: fields.master_arn.clone(),
        cluster: fields.db_cluster_identifier.clone(),
        workgroup: fields.workgroup_name.clone(),
        host: fields.host.clone(),
        port: fields.port,
        ..facts
    })
}
