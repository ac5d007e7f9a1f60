//! Actions on versions: put, read, move a label.
//!
//! # Failure modes
//! - An action is half done. It commits at its end or not at all.
//! - A version changes its value. It is inserted once; another value under its id is refused.
//! - The empty version that RotateSecret creates for a function is read as a value. It is sealed as
//!   every value is; a read finds no value, and the first PutSecretValue under its id sets it.
//! - AWSCURRENT moves to a version without a value, and no application can read the secret. The move is
//!   refused.
//! - A value is kept too long, or a labelled one is lost. `labels::prunable` decides.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretBox, SecretString};
use twinkey_core::secret::document::MAX_BYTES;

use super::cache::VersionSelector;
use super::keys::{Binding, SealingKey};
use super::labels::{self, Labels};
use super::naming::check_token;
use super::refusal::{Refusal, RefusalKind};
use super::rows::{self, FoundSecret, SecretRow, VersionRef, VersionRow};
use super::{LocalStore, Sensitive, write};
use crate::{VersionId, stage};

/// The number of newest versions that are kept; labelled versions are always kept.
const KEPT_VERSIONS: usize = 20;

/// Value of a version.
#[derive(Debug)]
pub enum Value {
    /// SecretString
    Text(Sensitive),
    /// SecretBinary
    Binary(SecretBox<Vec<u8>>),
}

impl Value {
    /// The value of a version without one.
    pub(super) fn empty() -> Self {
        Self::Text(SecretString::from(String::new()))
    }

    fn equals(&self, other: &Self) -> bool {
        let same_kind = matches!(self, Self::Text(_)) == matches!(other, Self::Text(_));
        same_kind && self.bytes() == other.bytes()
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.expose_secret().as_bytes(),
            Self::Binary(bytes) => bytes.expose_secret(),
        }
    }
}

/// A version with its opened value.
#[derive(Debug)]
pub(super) struct OpenedVersion {
    pub secret: SecretRow,
    pub id: VersionId,
    pub value: Value,
    pub stages: Vec<String>,
    /// Milliseconds since 1970.
    pub created: i64,
}

/// A version as stored in the file.
#[derive(Debug)]
pub(super) struct SealedVersion {
    secret: SecretRow,
    row: VersionRow,
    stages: Vec<String>,
}

impl SealedVersion {
    /// The approximate size in memory.
    pub(super) fn bytes(&self) -> usize {
        self.row.sealed.len() + 1024
    }
}

impl LocalStore {
    /// PutSecretValue. The same value under the same id changes nothing, labels included. Returns
    /// the resulting labels of the version.
    pub(super) async fn put_value(
        &self,
        secret: &str,
        id: &VersionId,
        value: &Value,
        stages: Option<&[String]>,
    ) -> Result<(SecretRow, Vec<String>), Refusal> {
        let mut writer = self.database.writer().await?;
        let mut tx = write(&mut writer).await?;
        let found = live(self.find(&mut tx, secret, Some(VersionRef::Id(id))).await?)?;
        let labels = self.add_version(&mut tx, &found, id, value, stages);
        let labels = labels.await?;
        tx.commit().await?;
        Ok((found.secret, stages_of(&labels, id)))
    }

    /// GetSecretValue.
    pub(super) async fn read_value(
        &self,
        secret: &str,
        version: Option<&VersionId>,
        label: Option<&str>,
    ) -> Result<OpenedVersion, Refusal> {
        let sealed = self.find_version(secret, version, label).await?;
        self.opened(&sealed)
    }

    /// GetSecretValue from the cache, if the file has not changed.
    pub(super) async fn read_cached(
        &self,
        secret: &str,
        version: Option<&VersionId>,
        label: Option<&str>,
    ) -> Result<OpenedVersion, Refusal> {
        let selector = VersionSelector {
            secret: secret.to_owned(),
            version: version.cloned(),
            label: label.map(str::to_owned),
        };
        let state = self.cache.state().await?;
        if let Some(sealed) = self.cache.get(state, &selector) {
            return self.opened(&sealed);
        }
        let sealed = Arc::new(self.find_version(secret, version, label).await?);
        let found = self.opened(&sealed)?;
        self.cache.insert(state, selector, &sealed);
        Ok(found)
    }

    fn opened(&self, sealed: &SealedVersion) -> Result<OpenedVersion, Refusal> {
        let value = self.unseal(&sealed.secret, &sealed.row)?;
        if value.bytes().is_empty() {
            let version = format!("VersionId: {}", sealed.row.id);
            return Err(no_value(&version));
        }
        Ok(OpenedVersion {
            value,
            id: VersionId(sealed.row.id.clone()),
            stages: sealed.stages.clone(),
            created: sealed.row.created,
            secret: sealed.secret.clone(),
        })
    }

    async fn find_version(
        &self,
        secret: &str,
        version: Option<&VersionId>,
        label: Option<&str>,
    ) -> Result<SealedVersion, Refusal> {
        let which = match version {
            Some(id) => VersionRef::Id(id),
            None => VersionRef::Label(label.unwrap_or(stage::CURRENT)),
        };
        let mut db = self.database.reader().await?;
        let FoundSecret {
            secret,
            labels,
            version: row,
        } = live(self.find(&mut db, secret, Some(which)).await?)?;
        if let (Some(id), Some(label)) = (version, label)
            && labels.get(id).is_some_and(|on_it| !on_it.contains(label))
        {
            return Err(Refusal::new(
                RefusalKind::InvalidRequest,
                "You provided a VersionStage that is not associated to the provided VersionId.",
            ));
        }
        let row = row.ok_or_else(|| match which {
            VersionRef::Id(id) => no_value(&format!("VersionId: {id}")),
            VersionRef::Label(label) => no_value(&format!("staging label: {label}")),
        })?;
        Ok(SealedVersion {
            stages: stages_of(&labels, &VersionId(row.id.clone())),
            secret,
            row,
        })
    }

    /// UpdateSecretVersionStage.
    pub(super) async fn update_stage(
        &self,
        secret: &str,
        label: &str,
        from: Option<&VersionId>,
        to: Option<&VersionId>,
    ) -> Result<SecretRow, Refusal> {
        let mut writer = self.database.writer().await?;
        let mut tx = write(&mut writer).await?;
        let found = live(self.find(&mut tx, secret, to.map(VersionRef::Id)).await?)?;
        let after = labels::move_stage(&found.labels, label, from, to)?;
        if let (stage::CURRENT, Some(row)) = (label, &found.version)
            && !self.has_value(&found.secret, row)?
        {
            // What AWS answers is not known.
            let why = format!(
                "You can't move staging label {label} to version {} because it has no value.",
                row.id
            );
            return Err(Refusal::new(RefusalKind::InvalidRequest, why));
        }
        let mut row = found.secret;
        rows::set_labels(&mut tx, &row.arn, &found.labels, &after).await?;
        self.seal_labels(&mut tx, &row, &after).await?;
        touch(&mut tx, &mut row).await?;
        tx.commit().await?;
        Ok(row)
    }

    /// Adds a version to a secret inside a transaction, unless it exists. Returns the resulting
    /// labels.
    pub(super) async fn add_version(
        &self,
        tx: &mut sqlx::SqliteConnection,
        found: &FoundSecret,
        id: &VersionId,
        value: &Value,
        stages: Option<&[String]>,
    ) -> Result<Labels, Refusal> {
        check_token(&id.0)?;
        if !(1..=MAX_BYTES).contains(&value.bytes().len()) {
            return Err(Refusal::new(
                RefusalKind::Validation,
                "A secret value must have 1 to 65536 bytes.",
            ));
        }
        if let Some(existing) = &found.version {
            let stored = self.unseal(&found.secret, existing)?;
            if stored.equals(value) {
                return Ok(found.labels.clone());
            }
            if !stored.bytes().is_empty() {
                return Err(token_in_use(id, &found.secret));
            }
        }
        self.write_version(tx, found, id, value, stages).await
    }

    /// Writes a version that does not exist or is empty. Returns the resulting labels.
    pub(super) async fn write_version(
        &self,
        tx: &mut sqlx::SqliteConnection,
        found: &FoundSecret,
        id: &VersionId,
        value: &Value,
        stages: Option<&[String]>,
    ) -> Result<Labels, Refusal> {
        let before = &found.labels;
        let mut after = labels::put(before, id, stages)?;
        let mut secret = found.secret.clone();
        touch(tx, &mut secret).await?;
        let key = self.keys.sealing(tx).await?;
        let row = seal(&key, &secret, id, value)?;
        if found.version.is_some() {
            rows::replace_value(tx, &secret.arn, &row).await?;
        } else {
            rows::insert_version(tx, &secret.arn, &row).await?;
        }
        rows::set_labels(tx, &secret.arn, before, &after).await?;
        self.prune(tx, &secret, &mut after).await?;
        self.seal_labels(tx, &secret, &after).await?;
        Ok(after)
    }

    /// Deletes old versions without labels, from the file and from `labels`.
    async fn prune(
        &self,
        tx: &mut sqlx::SqliteConnection,
        secret: &SecretRow,
        labels: &mut Labels,
    ) -> Result<(), Refusal> {
        if labels.len() <= KEPT_VERSIONS {
            return Ok(());
        }
        let versions: Vec<(VersionId, bool)> = rows::version_ids(tx, &secret.arn)
            .await?
            .into_iter()
            .map(|(id, _)| {
                let labelled = !stages_of(labels, &id).is_empty();
                (id, labelled)
            })
            .collect();
        for old in labels::prunable(&versions, KEPT_VERSIONS) {
            rows::delete_version(tx, &secret.arn, &old).await?;
            labels.remove(&old);
        }
        Ok(())
    }

    fn unseal(&self, secret: &SecretRow, row: &VersionRow) -> Result<Value, Refusal> {
        let damaged = || {
            Refusal::new(
                RefusalKind::Damaged,
                format!(
                    "secret {:?}: version {} does not open under the store's key",
                    secret.name, row.id
                ),
            )
        };
        let binding = Binding {
            arn: &secret.arn,
            version: &row.id,
        };
        let mut bytes = self
            .keys
            .open(binding, &row.sealed)
            .map_err(|_| damaged())?;
        let bytes = std::mem::take(&mut *bytes);
        if !row.is_text {
            return Ok(Value::Binary(SecretBox::new(Box::new(bytes))));
        }
        String::from_utf8(bytes)
            .map(|text| Value::Text(SecretString::from(text)))
            .map_err(|_| damaged())
    }

    /// Whether a version has a value.
    pub(super) fn has_value(&self, secret: &SecretRow, row: &VersionRow) -> Result<bool, Refusal> {
        Ok(!self.unseal(secret, row)?.bytes().is_empty())
    }

    /// Whether a version has this value.
    pub(super) fn holds(
        &self,
        secret: &SecretRow,
        row: &VersionRow,
        value: &Value,
    ) -> Result<bool, Refusal> {
        Ok(self.unseal(secret, row)?.equals(value))
    }
}

fn seal(
    key: &SealingKey,
    secret: &SecretRow,
    id: &VersionId,
    value: &Value,
) -> Result<VersionRow, Refusal> {
    let binding = Binding {
        arn: &secret.arn,
        version: &id.0,
    };
    let sealed = key
        .seal(binding, value.bytes())
        .map_err(|_| Refusal::new(RefusalKind::Encryption, "The value could not be encrypted."))?;
    Ok(VersionRow {
        id: id.0.clone(),
        is_text: matches!(value, Value::Text(_)),
        sealed,
        created: secret.changed,
    })
}

/// The refusal to read a version that does not exist, or has no value.
fn no_value(version: &str) -> Refusal {
    Refusal::new(
        RefusalKind::ResourceNotFound,
        format!("Secrets Manager can't find the specified secret value for {version}"),
    )
}

/// The refusal of another value under the id of an existing version.
pub(super) fn token_in_use(id: &VersionId, secret: &SecretRow) -> Refusal {
    Refusal::new(
        RefusalKind::ResourceExists,
        format!(
            "You can't use ClientRequestToken {id} because that value is already in use for a version \
             of secret {}.",
            secret.arn
        ),
    )
}

/// The labels of a version, sorted.
pub(super) fn stages_of(labels: &Labels, id: &VersionId) -> Vec<String> {
    labels
        .get(id)
        .map(|on_it| on_it.iter().cloned().collect())
        .unwrap_or_default()
}

/// The secret, unless it is missing or marked for deletion.
pub(super) fn live(found: Option<FoundSecret>) -> Result<FoundSecret, Refusal> {
    match found {
        None => Err(Refusal::no_secret()),
        Some(found) if found.secret.deleted.is_some() => Err(Refusal::marked_deleted()),
        Some(found) => Ok(found),
    }
}

/// Sets the time of the last change to now.
pub(super) async fn touch(
    db: &mut sqlx::SqliteConnection,
    secret: &mut SecretRow,
) -> Result<(), Refusal> {
    secret.changed = rows::touch(db, secret).await?;
    Ok(())
}
