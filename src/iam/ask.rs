//! What Secrets Manager tells of the secrets of a config: their ARNs and keys, and what they say of engine, master
//! and cluster. Reads only; of a document nothing but those fields is kept.

use super::facts::{Facts, Known};
use crate::config::settings::Settings;
use crate::rotation::error::RotationError;
use twinkey_core::secret::document::Document;
use twinkey_stores::{SecretStore, Selector, StoreError, stage};

/// Asks for every secret of the config, and for their masters.
///
/// # Errors
/// The store's: a secret that is not there or may not be read. What is no document is not an error here.
pub async fn ask(
    settings: &Settings,
    store: &dyn SecretStore,
    known: &mut Known,
) -> Result<(), RotationError> {
    known.asked = true;
    for rotation in &settings.rotations {
        let secret = &rotation.secret;
        let told = of_secret(store, secret).await;
        let facts = told.map_err(|source| named(secret, source))?;
        let master = rotation.master_secret.clone().or(facts.master.clone());
        known.secrets.insert(secret.clone(), facts);
        let Some(master) = master.filter(|name| !known.secrets.contains_key(name)) else {
            continue;
        };
        let told = described(store, &master).await;
        let facts = told.map_err(|source| named(&master, source))?;
        known.secrets.insert(master, facts);
    }
    Ok(())
}

fn named(secret: &str, source: StoreError) -> RotationError {
    RotationError::Store {
        secret: secret.to_owned(),
        source,
    }
}

async fn described(store: &dyn SecretStore, secret: &str) -> Result<Facts, StoreError> {
    let description = store.describe(secret).await?;
    let key = description.kms_key;
    Ok(Facts {
        // AWS's own key takes no permission of ours.
        kms_key: key.filter(|key| !key.ends_with("alias/aws/secretsmanager")),
        arn: Some(description.arn),
        ..Facts::default()
    })
}

async fn of_secret(store: &dyn SecretStore, secret: &str) -> Result<Facts, StoreError> {
    let facts = described(store, secret).await?;
    let current = store.get(secret, Selector::Stage(stage::CURRENT)).await?;
    let Ok(document) = Document::parse(current.value) else {
        return Ok(facts);
    };
    let fields = document.fields();
    Ok(Facts {
        engine: fields.engine.as_deref().and_then(|name| name.parse().ok()),
        master: fields.master_arn.clone(),
        cluster: fields.db_cluster_identifier.clone(),
        workgroup: fields.workgroup_name.clone(),
        host: fields.host.clone(),
        port: fields.port,
        ..facts
    })
}
