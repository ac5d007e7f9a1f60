//! Replacement of the store's key.
//!
//! The key file first holds both keys. The sealed text of the file then names the new key as the key
//! of all writes. Values and seals are sealed again in batches. The key file then holds the new key.
//!
//! # Failure modes
//! - A process exits in the middle. Both keys stay in the key file until nothing needs the old one;
//!   the next `rekey` continues with the same new key.
//! - Another process writes under the old key meanwhile. It uses the key that the sealed text names
//!   (`ring`), and the key file is replaced under the write lock.
//! - Two processes change the key. They share one new key, or the second begins after the first has
//!   ended; a process that finds another key in the sealed text stops.
//! - A value that another program changed becomes valid. Only what opens is sealed again.

use std::path::Path;
use std::sync::Arc;

use sqlx::SqliteConnection;

use super::super::labels::seal as label_seal;
use super::super::refusal::{Refusal, RefusalKind};
use super::super::rows;
use super::super::{LocalStore, store_error, write_check};
use super::file as key_file;
use super::rekey_rows::{StoredVersion, secrets_after, set_sealed, versions_after};
use super::sealed::{Binding, SealingKey};
use crate::StoreError;
use crate::api_error::CallSubject;
use crate::sqlite;

/// The number of rows in one transaction.
const BATCH: i64 = 50;

/// Result of [`LocalStore::rekey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rekeyed {
    /// The number of values that were sealed again.
    pub values: u64,
    /// The number of values and seals that open under neither key.
    pub damaged: u64,
    /// Whether an earlier, interrupted call was continued.
    pub resumed: bool,
}

/// Position and counts of a pass over the file.
#[derive(Default)]
struct Pass {
    last_seq: i64,
    last_arn: String,
    values: u64,
    seals: u64,
    damaged: u64,
}

fn failed(refusal: Refusal) -> StoreError {
    store_error("PutSecretValue", "*", CallSubject::Secret)(refusal)
}

impl LocalStore {
    /// Seals everything under a new key: the one in the file `new`, or a random one. `external`
    /// seals values outside the store again, with [`Self::reseal_external`].
    ///
    /// # Errors
    /// [`StoreError`], or the error of `external`. The store stays readable, and another call
    /// continues.
    pub async fn rekey<E: From<StoreError>>(
        &self,
        new: Option<&Path>,
        external: impl FnOnce(&Self) -> Result<(), E> + Send,
    ) -> Result<Rekeyed, E> {
        let (key, resumed) = self.begin(new).await?;
        let mut pass = Pass::default();
        while self.next_batch(&key, &mut pass).await? {}
        external(self)?;
        while !self.finish(&key).await? {}
        self.truncate_log().await;
        Ok(Rekeyed {
            values: pass.values,
            damaged: pass.damaged,
            resumed,
        })
    }

    /// Puts the new key into the key file beside the old one, and makes it the key of all writes.
    async fn begin(&self, given: Option<&Path>) -> Result<(Arc<SealingKey>, bool), StoreError> {
        let path = self.keys.path();
        let given = given.map(|path| Ok((path, key_file::read(path)?)));
        let given = given.transpose()?;
        let mut writer = self.database.writer().await.map_err(|e| failed(e.into()))?;
        // Freed pages keep no value under the old key.
        sqlx::query("PRAGMA secure_delete = ON")
            .execute(&mut *writer)
            .await
            .map_err(|e| failed(e.into()))?;
        let tx = sqlite::write(&mut writer).await;
        let mut tx = tx.map_err(|e| failed(e.into()))?;
        let current = self.keys.sealing(&mut tx).await.map_err(failed)?;
        let in_file = key_file::read(path)?;
        let resumed = in_file.len() > 1;
        if let Some((file, keys)) = &given {
            let newest = in_file.last();
            let reason = match keys.as_slice() {
                [key] if resumed && !newest.is_some_and(|newest| newest.equals(key)) => {
                    "is not the key of the interrupted rekey, which is continued first"
                }
                [key] if !resumed && current.equals(key) => "is the key of the store already",
                [_] => "",
                _ => "holds two keys",
            };
            if !reason.is_empty() {
                return Err(key_file::error(
                    file,
                    reason.into(),
                    "run `twinkey secret rekey` without --new-key-file, or with a file of one new key",
                ));
            }
        }
        if !resumed {
            let key = match given.and_then(|(_, mut keys)| keys.pop()) {
                Some(key) => key,
                None => SealingKey::random().map_err(|_| {
                    failed(Refusal::new(
                        RefusalKind::Internal,
                        "the operating system returned no random bytes",
                    ))
                })?,
            };
            key_file::replace(path, &[&current, &key])?;
        }
        let key = self.keys.newest()?;
        write_check(&mut tx, &key).await.map_err(failed)?;
        tx.commit().await.map_err(|e| failed(e.into()))?;
        Ok((key, resumed))
    }

    /// Seals a batch of rows again. Returns whether there may be more.
    async fn next_batch(&self, key: &SealingKey, pass: &mut Pass) -> Result<bool, StoreError> {
        let batch = async {
            let mut writer = self.database.writer().await?;
            let mut tx = sqlite::write(&mut writer).await?;
            self.require_key(&mut tx, key).await?;
            let more = self.reseal(&mut tx, key, pass).await?;
            tx.commit().await?;
            Ok(more)
        };
        batch.await.map_err(failed)
    }

    /// Removes the old key from the key file, if nothing is sealed under it any more.
    async fn finish(&self, key: &SealingKey) -> Result<bool, StoreError> {
        let mut writer = self.database.writer().await.map_err(|e| failed(e.into()))?;
        let tx = sqlite::write(&mut writer).await;
        let mut tx = tx.map_err(|e| failed(e.into()))?;
        self.require_key(&mut tx, key).await.map_err(failed)?;
        let mut pass = Pass::default();
        while self.reseal(&mut tx, key, &mut pass).await.map_err(failed)? {}
        let done = pass.values + pass.seals == 0;
        if done {
            key_file::replace(self.keys.path(), &[key])?;
        }
        tx.commit().await.map_err(|e| failed(e.into()))?;
        Ok(done)
    }

    /// Refuses to go on if another process has finished this change of the key and begun the next.
    async fn require_key(
        &self,
        tx: &mut SqliteConnection,
        key: &SealingKey,
    ) -> Result<(), Refusal> {
        if self.keys.sealing(tx).await?.equals(key) {
            return Ok(());
        }
        Err(Refusal::new(
            RefusalKind::InvalidRequest,
            "another process has changed the key of the store again",
        ))
    }

    async fn reseal(
        &self,
        db: &mut SqliteConnection,
        key: &SealingKey,
        pass: &mut Pass,
    ) -> Result<bool, Refusal> {
        let versions = versions_after(db, pass.last_seq, BATCH).await?;
        for version in &versions {
            pass.last_seq = version.seq;
            self.reseal_version(db, key, version, pass).await?;
        }
        let secrets = secrets_after(db, &pass.last_arn, BATCH).await?;
        for secret in &secrets {
            pass.last_arn.clone_from(&secret.arn);
            let labels = rows::labels(db, &secret.arn).await?;
            if label_seal::matches(key, secret, &labels) {
                continue;
            }
            if self.verify_labels(secret, &labels).is_err() {
                tracing::warn!(secret = secret.name, "damaged labels not sealed again");
                pass.damaged += 1;
                continue;
            }
            let sealed = label_seal::seal(key, secret, &labels)?;
            rows::set_label_seal(db, &secret.arn, &sealed).await?;
            pass.seals += 1;
        }
        Ok(!versions.is_empty() || !secrets.is_empty())
    }

    async fn reseal_version(
        &self,
        db: &mut SqliteConnection,
        key: &SealingKey,
        version: &StoredVersion,
        pass: &mut Pass,
    ) -> Result<(), Refusal> {
        let StoredVersion {
            seq,
            secret,
            id,
            sealed,
        } = version;
        let binding = Binding {
            arn: secret,
            version: id,
        };
        if key.open(binding, sealed).is_ok() {
            return Ok(());
        }
        let Ok(value) = self.keys.open(binding, sealed) else {
            tracing::warn!(secret, version = id, "damaged value not sealed again");
            pass.damaged += 1;
            return Ok(());
        };
        let sealed = key.seal(binding, &value).map_err(|_| {
            Refusal::new(RefusalKind::Encryption, "a value could not be sealed again")
        })?;
        set_sealed(db, *seq, &sealed).await?;
        pass.values += 1;
        Ok(())
    }

    /// Overwrites the write-ahead log, which holds values under the old key.
    async fn truncate_log(&self) {
        let truncate = async {
            let mut writer = self.database.writer().await?;
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
                .execute(&mut *writer)
                .await
        };
        if let Err(error) = truncate.await {
            tracing::warn!(%error, "write-ahead log not truncated after the change of the key");
        }
    }
}
