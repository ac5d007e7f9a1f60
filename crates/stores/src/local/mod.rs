//! Embedded store: Secrets Manager's semantics over one SQLite file of sealed values.
//!
//! # Failure modes
//! - Two processes (a command and `serve`) change one secret at once. Every change is one
//!   transaction that holds the file's write lock from before its first read.
//! - The key file is wrong. The file contains a sealed text, which is opened before anything else.
//! - Another program edits labels in the file. Labels are sealed (`labels::seal`).
//! - A new key is created for an existing file because the key file was moved. A key is created
//!   only while the file contains no sealed text.
//! - A command opens a mistyped path and finds an empty store. Only what stores a first secret or
//!   serves the store creates it.
//! - The store behaves unlike AWS. The rules are pure functions (`labels`), and one conformance
//!   suite runs over this store and over AWS's SDK.

pub mod api;
mod cache;
mod constraints;
mod keys;
mod labels;
mod naming;
mod random_password;
mod reads;
mod refusal;
mod rows;
mod secret_store;
mod secrets;
mod versions;

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use sqlx::sqlite::SqliteSynchronous;
use sqlx::{Sqlite, SqliteConnection, Transaction};
use uuid::Uuid;

use self::cache::Cache;
use self::keys::{Binding, KeyRing, SealingKey, file as key_file};
use self::labels::seal as label_seal;
use self::reads::Reads;
use self::secrets::NewSecret;
use self::versions::{Value, stages_of};
use super::api_error::{ApiCall, CallSubject};
use super::{StoreError, VersionId};
use crate::sqlite::{self, Database, Writer};
use twinkey_core::secret::Sensitive;

pub use self::api::router;
pub use self::keys::Rekeyed;
pub(crate) use self::keys::file::keep_owner;
pub use self::naming::name_of;
pub use self::refusal::{Refusal, RefusalKind};

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations/store");

const CHECK: Binding<'_> = Binding {
    arn: "twinkey",
    version: "key check",
};
/// The sealed text. Files of earlier versions have another text, and no seals.
const LABELS_SEALED: &[u8] = b"twinkey: labels are sealed";

/// An open store, to be shared in an `Arc`.
pub struct LocalStore {
    database: Database,
    keys: KeyRing,
    cache: Cache,
    reads: Reads,
}

/// A version in a list, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionEntry {
    pub id: VersionId,
    pub stages: Vec<String>,
    pub created: Option<DateTime<Utc>>,
}

impl LocalStore {
    /// Opens a store that exists.
    ///
    /// # Errors
    /// [`StoreError::NoFile`]; those of [`Self::open`].
    pub async fn open_existing(path: &Path, key_path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            return Err(StoreError::NoFile {
                path: path.display().to_string(),
            });
        }
        Self::open(path, key_path).await
    }

    /// Opens the file, and creates it and the key file where they are missing.
    ///
    /// # Errors
    /// [`StoreError::KeyFile`] if the key file is missing, malformed, readable by others or of
    /// another store; [`StoreError::Unavailable`] if the file cannot be opened.
    pub async fn open(path: &Path, key_path: &Path) -> Result<Self, StoreError> {
        let unavailable = |e: &dyn std::fmt::Display| StoreError::Unavailable {
            reason: format!("{}: {e}", path.display()),
        };
        // Losing a promoted password in a power cut would lock out every application.
        let database = Database::open(path, SqliteSynchronous::Full, &MIGRATIONS)
            .await
            .map_err(|e| unavailable(&e))?;
        // The write lock is held while a key file is created: of two processes that open a new
        // store, the second reads the key of the first.
        let mut writer = database.writer().await.map_err(|e| unavailable(&e))?;
        let tx = sqlite::write(&mut writer).await;
        let mut tx = tx.map_err(|e| unavailable(&e))?;
        let keys = unlock(&mut tx, key_path, &unavailable).await?;
        tx.commit().await.map_err(|e| unavailable(&e))?;
        drop(writer);
        let cache = Cache::new(database.options());
        Ok(Self {
            database,
            keys,
            cache,
            reads: Reads::default(),
        })
    }

    /// Creates the secret with this value, or puts a new AWSCURRENT. Returns the version id.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn create_or_put(
        &self,
        name: &str,
        value: &Sensitive,
    ) -> Result<VersionId, StoreError> {
        let id = VersionId(Uuid::new_v4().to_string());
        let value = Value::Text(value.clone());
        let put = match self.put_value(name, &id, &value, None).await {
            Err(refusal) if refusal.kind == RefusalKind::ResourceNotFound => self
                .create_secret(NewSecret {
                    name,
                    description: None,
                    kms_key_id: None,
                    tags: std::collections::BTreeMap::new(),
                    first: Some((&id, &value)),
                })
                .await
                .map(drop),
            Err(refusal) if refusal.kind == RefusalKind::Damaged => {
                self.put_over_damage(name, &id, &value).await
            }
            put => put.map(drop),
        };
        put.map_err(store_error("PutSecretValue", name, CallSubject::Secret))?;
        Ok(id)
    }

    /// The names of all secrets that are not marked for deletion, sorted.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn names(&self) -> Result<Vec<String>, StoreError> {
        let query = async {
            let mut db = self.database.reader().await?;
            rows::all(&mut db).await
        };
        let all = query.await.map_err(Refusal::from);
        Ok(all
            .map_err(store_error("ListSecrets", "*", CallSubject::Secret))?
            .into_iter()
            .filter(|secret| secret.deleted.is_none())
            .map(|secret| secret.name)
            .collect())
    }

    /// TagResource and UntagResource: sets tags of a secret, and (`None`) removes them.
    ///
    /// # Errors
    /// [`StoreError`]; also for keys and values that AWS does not allow.
    pub async fn tag(
        &self,
        secret: &str,
        tags: &BTreeMap<String, Option<String>>,
    ) -> Result<(), StoreError> {
        let change = |own: &mut BTreeMap<String, String>| {
            for (key, value) in tags {
                match value {
                    Some(value) => drop(own.insert(key.clone(), value.clone())),
                    None => drop(own.remove(key)),
                }
            }
        };
        let changed = self.change_tags(secret, change).await;
        changed.map_err(store_error("TagResource", secret, CallSubject::Secret))
    }

    /// All versions of a secret, newest first, unlabelled ones included.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn versions(&self, secret: &str) -> Result<Vec<VersionEntry>, StoreError> {
        let details = self.details(secret).await;
        let details = details.map_err(store_error(
            "ListSecretVersionIds",
            secret,
            CallSubject::Secret,
        ))?;
        Ok(details
            .versions
            .into_iter()
            .map(|(id, created)| VersionEntry {
                stages: stages_of(&details.labels, &id),
                created: DateTime::from_timestamp_millis(created),
                id,
            })
            .collect())
    }

    /// Seals a value that is stored elsewhere under the store's key. Opening it requires the same
    /// two names.
    ///
    /// # Errors
    /// [`Refusal`] if no random numbers are available.
    pub fn seal_external(
        &self,
        what: &str,
        name: &str,
        value: &Sensitive,
    ) -> Result<Vec<u8>, Refusal> {
        let binding = Binding {
            arn: what,
            version: name,
        };
        self.seal_newest(binding, value.expose_secret().as_bytes())
    }

    /// A value of [`Self::seal_external`], sealed again under the newest key.
    ///
    /// # Errors
    /// As [`Self::open_external`].
    pub fn reseal_external(
        &self,
        what: &str,
        name: &str,
        sealed: &[u8],
    ) -> Result<Vec<u8>, Refusal> {
        let value = self.open_external(what, name, sealed)?;
        self.seal_external(what, name, &value)
    }

    fn seal_newest(&self, binding: Binding<'_>, value: &[u8]) -> Result<Vec<u8>, Refusal> {
        let failed = |reason: String| Refusal::new(RefusalKind::Encryption, reason);
        let key = self.keys.newest().map_err(|e| failed(e.to_string()))?;
        key.seal(binding, value)
            .map_err(|_| failed("the value could not be encrypted".into()))
    }

    /// Opens a value of [`Self::seal_external`].
    ///
    /// # Errors
    /// [`Refusal`] if the key or a name differs, or the value was changed.
    pub fn open_external(
        &self,
        what: &str,
        name: &str,
        sealed: &[u8],
    ) -> Result<Sensitive, Refusal> {
        let binding = Binding {
            arn: what,
            version: name,
        };
        let damaged = |_| {
            Refusal::new(
                RefusalKind::Decryption,
                "it does not open under the store's key",
            )
        };
        let mut bytes = self.keys.open(binding, sealed).map_err(damaged)?;
        String::from_utf8(std::mem::take(&mut *bytes))
            .map(Sensitive::from)
            .map_err(|_| Refusal::new(RefusalKind::Decryption, "it is not text"))
    }
}

/// A transaction that holds the write lock from its beginning, and deletes secrets that are due.
async fn write(writer: &mut Writer) -> Result<Transaction<'_, Sqlite>, Refusal> {
    let mut tx = sqlite::write(writer).await?;
    rows::purge(&mut tx).await?;
    Ok(tx)
}

/// The key, verified with the sealed text of the file, which is written if it is missing.
async fn unlock(
    db: &mut SqliteConnection,
    key_path: &Path,
    unavailable: &(dyn Fn(&dyn std::fmt::Display) -> StoreError + Sync),
) -> Result<KeyRing, StoreError> {
    let wrong_key = || {
        key_file::error(
            key_path,
            "is not the key that this store was created with".into(),
            "restore the store's own key file, or point secrets.path at the file it belongs to",
        )
    };
    if let Some(check) = rows::check(db).await.map_err(|e| unavailable(&e))? {
        let keys = key_file::read(key_path)?;
        let (ring, text) = KeyRing::new(key_path, keys, check).ok_or_else(wrong_key)?;
        if **text != *LABELS_SEALED {
            seal_labels(db, &ring).await?;
        }
        return Ok(ring);
    }
    let keys = key_file::read_or_create(key_path)?;
    let key = keys.last().ok_or_else(wrong_key)?;
    let check = write_check(db, key).await;
    let check = check.map_err(store_error("ListSecrets", "*", CallSubject::Secret))?;
    let (ring, _) = KeyRing::new(key_path, keys, check).ok_or_else(wrong_key)?;
    Ok(ring)
}

/// Seals the labels of a file of an earlier version, which has no seals.
async fn seal_labels(db: &mut SqliteConnection, keys: &KeyRing) -> Result<(), StoreError> {
    let sealing = async {
        let sealed = rows::every(db).await?;
        if sealed.iter().any(|secret| secret.label_seal.is_some()) {
            return Err(Refusal::new(
                RefusalKind::Damaged,
                "labels are sealed, and the record of that was replaced by an older one",
            ));
        }
        let key = keys.sealing(db).await?;
        label_seal::seal_all(db, &key).await?;
        write_check(db, &key).await.map(drop)
    };
    sealing
        .await
        .map_err(store_error("ListSecrets", "*", CallSubject::Secret))
}

/// Writes the sealed text of the file, which records that labels are sealed and
/// names the key of all writes. Returns it.
async fn write_check(db: &mut SqliteConnection, key: &SealingKey) -> Result<Vec<u8>, Refusal> {
    let check = key
        .seal(CHECK, LABELS_SEALED)
        .map_err(|_| Refusal::new(RefusalKind::Encryption, "the key check could not be sealed"))?;
    rows::set_check(db, &check).await?;
    Ok(check)
}

/// The error of a refusal, mapped by the same function as AWS's errors.
fn store_error<'a>(
    operation: &'static str,
    secret: &'a str,
    subject: CallSubject<'a>,
) -> impl FnOnce(Refusal) -> StoreError + 'a {
    let call = ApiCall {
        operation,
        secret,
        subject,
    };
    move |refusal| match refusal.kind {
        RefusalKind::Damaged => StoreError::Damaged {
            reason: refusal.message,
        },
        kind => call.error(kind.name(), &refusal.message),
    }
}
