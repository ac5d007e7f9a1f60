//! Seals of labels: a tag under the store's key over a secret's ARN, name, version ids and labels.
//!
//! # Failure modes
//! - Another program moves AWSCURRENT, renames a secret or deletes a version in the file. The seal
//!   no longer matches, and every action that reads the labels refuses the secret.
//! - Another program deletes the seals too. The sealed text of the file records that labels are
//!   sealed; a missing seal is damage then.
//! - Another program restores older rows together with their seals. Nothing detects that: the rows
//!   were valid under the same key.

use std::collections::BTreeSet;

use serde_json::json;
use sqlx::SqliteConnection;

use super::super::keys::{Binding, SealingKey};
use super::super::refusal::{Refusal, RefusalKind};
use super::super::rows::{self, FoundSecret, SecretRow, VersionRef};
use super::super::versions::{Value, live};
use super::super::{LocalStore, write};
use super::Labels;
use crate::VersionId;

/// A seal, to be stored in the transaction that changes the labels.
pub(in crate::local) fn seal(
    key: &SealingKey,
    secret: &SecretRow,
    labels: &Labels,
) -> Result<Vec<u8>, Refusal> {
    let (subject, content) = bound(secret, labels);
    key.seal(binding(&subject, &content), &[])
        .map_err(|_| Refusal::new(RefusalKind::Encryption, "The labels could not be sealed."))
}

/// Whether the seal of a secret's labels is valid under this key.
pub(in crate::local) fn matches(key: &SealingKey, secret: &SecretRow, labels: &Labels) -> bool {
    let (subject, content) = bound(secret, labels);
    let sealed = secret.label_seal.as_deref().unwrap_or_default();
    key.open(binding(&subject, &content), sealed).is_ok()
}

/// The texts of the binding. No ARN begins like the first, so no value opens as a seal.
fn bound(secret: &SecretRow, labels: &Labels) -> (String, String) {
    let labels: Vec<_> = labels.iter().map(|(id, on_it)| (&id.0, on_it)).collect();
    (
        format!("labels of {}", secret.arn),
        json!([secret.name, labels]).to_string(),
    )
}

const fn binding<'a>(subject: &'a str, content: &'a str) -> Binding<'a> {
    Binding {
        arn: subject,
        version: content,
    }
}

impl LocalStore {
    /// Refuses labels that do not match the seal of their secret.
    pub(in crate::local) fn verify_labels(
        &self,
        secret: &SecretRow,
        labels: &Labels,
    ) -> Result<(), Refusal> {
        let damaged = |reason: &str| {
            let name = &secret.name;
            Refusal::new(RefusalKind::Damaged, format!("secret {name:?}: {reason}"))
        };
        let Some(sealed) = &secret.label_seal else {
            return Err(damaged("the seal of its labels is missing"));
        };
        let (subject, content) = bound(secret, labels);
        self.keys
            .open(binding(&subject, &content), sealed)
            .map(drop)
            .map_err(|_| damaged("its name, labels or versions do not match their seal"))
    }

    /// Stores the seal of labels that the same transaction has changed.
    pub(in crate::local) async fn seal_labels(
        &self,
        tx: &mut SqliteConnection,
        secret: &SecretRow,
        labels: &Labels,
    ) -> Result<(), Refusal> {
        let key = self.keys.sealing(tx).await?;
        let sealed = seal(&key, secret, labels)?;
        rows::set_label_seal(tx, &secret.arn, &sealed).await?;
        Ok(())
    }

    /// Puts a new AWSCURRENT into a secret whose labels do not match their seal, and discards these
    /// labels. Only an operator with access to the file may do this.
    pub(in crate::local) async fn put_over_damage(
        &self,
        secret: &str,
        id: &VersionId,
        value: &Value,
    ) -> Result<(), Refusal> {
        let mut writer = self.database.writer().await?;
        let mut tx = write(&mut writer).await?;
        let mut found = live(rows::find(&mut tx, secret, None).await?)?;
        if self.verify_labels(&found.secret, &found.labels).is_err() {
            rows::delete_labels(&mut tx, &found.secret.arn).await?;
            found.labels.values_mut().for_each(BTreeSet::clear);
            tracing::warn!(secret, "labels discarded: they did not match their seal");
        }
        self.add_version(&mut tx, &found, id, value, None).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Finds a secret by name or ARN, and verifies its labels.
    pub(in crate::local) async fn find(
        &self,
        db: &mut SqliteConnection,
        secret: &str,
        which: Option<VersionRef<'_>>,
    ) -> Result<Option<FoundSecret>, Refusal> {
        let found = rows::find(db, secret, which).await?;
        if let Some(found) = &found {
            self.verify_labels(&found.secret, &found.labels)?;
        }
        Ok(found)
    }
}

/// Seals the labels of all secrets, for a file of an earlier version.
pub(in crate::local) async fn seal_all(
    db: &mut SqliteConnection,
    key: &SealingKey,
) -> Result<(), Refusal> {
    for secret in rows::every(db).await? {
        let labels = rows::labels(db, &secret.arn).await?;
        let sealed = seal(key, &secret, &labels)?;
        rows::set_label_seal(db, &secret.arn, &sealed).await?;
    }
    Ok(())
}
