//! Keys file (`secrets.serve.keys_file`): keys and permissions in editable TOML, with the secret of
//! each key sealed under the store's key.
//!
//! ```toml
//! [[key]]
//! id = "TWKYEXAMPLE234567ABC"
//! name = "orders"
//! created = "2026-11-25T10:00:00Z"
//! actions = ["GetSecretValue", "DescribeSecret"]
//! secrets = ["prod/orders/*"]
//! sealed = "…"
//! ```
//!
//! # Failure modes
//! - Another user of the machine extends the permissions of a key. A file that others may write or
//!   read is refused.
//! - The secret of a key is moved to another id with more permissions. It is sealed with its id,
//!   and does not open under another.
//! - Two commands change the file at once, or one exits in the middle. The folder is locked, and a
//!   new file replaces the old one atomically.
//! - Comments and order are lost. Unchanged parts of the file stay as written.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, value};

use crate::local::{LocalStore, Refusal, RefusalKind, keep_owner};
use twinkey_core::code::{Code, Diagnostic};
use twinkey_core::file_access::{FileKind, assess_open};

use super::keys::{AccessKey, AccessKeys, NewKey};
use super::policy::{Policy, PolicyError};

/// First name of the binding of sealed secrets. Stored secrets depend on it.
const SEALED_AS: &str = "a key of the served store";
const HEADER: &str = "# Keys of the served store, created by `twinkey keys add`. Actions and secrets can be edited.\n\n";

/// A key in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub id: String,
    /// The holder of the key, for lists, logs and messages.
    pub name: String,
    /// Time of creation (RFC 3339).
    pub created: String,
    pub actions: Vec<String>,
    /// Names of secrets, or patterns.
    pub secrets: Vec<String>,
    #[serde(skip_serializing)]
    sealed: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    #[serde(default)]
    key: Vec<Entry>,
}

/// Error of the keys file. Never quotes the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysFileError {
    #[error("the keys file {path} {reason}")]
    File { path: PathBuf, reason: String },
    #[error("the key {id} in the keys file: {reason}")]
    Key { id: String, reason: String },
    #[error("{0:?} is no name for a key: 1 to 64 letters, digits and any of +=,.@_-")]
    Name(String),
    #[error("there is no key {0:?} in the keys file")]
    NoSuchKey(String),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error("the new key's secret cannot be sealed: {0}")]
    Sealing(#[source] Refusal),
}

impl Diagnostic for KeysFileError {
    fn code(&self) -> Code {
        Code::ConfigInvalid
    }

    fn hint(&self) -> String {
        match self {
            Self::File { .. } => {
                "check [secrets] serve.keys_file in the config, and the permissions of the file"
            }
            Self::Key { .. } => {
                "correct the entry, or remove it and make a new key with `twinkey keys add`"
            }
            Self::Name(_) => "name the holder of the key as a user of IAM",
            Self::NoSuchKey(_) => "run `twinkey keys list`: it shows all keys",
            Self::Policy(_) => {
                "name actions as Secrets Manager does, and secrets by name, with * and ? for any text and any character"
            }
            Self::Sealing(_) => "check the machine: it returns no random numbers",
        }
        .into()
    }
}

/// Reads the keys and opens their secrets. A missing file has no keys.
///
/// # Errors
/// [`KeysFileError`]
pub fn read(path: &Path, store: &LocalStore) -> Result<AccessKeys, KeysFileError> {
    entries(path)?
        .iter()
        .map(|entry| entry.open(store))
        .collect()
}

/// The validated entries, without opening their secrets.
///
/// # Errors
/// [`KeysFileError`]
pub fn entries(path: &Path) -> Result<Vec<Entry>, KeysFileError> {
    let Content { key: entries } = content(path, &text(path)?)?;
    for (n, entry) in entries.iter().enumerate() {
        check_name(&entry.name)?;
        entry.policy()?;
        if entries[..n].iter().any(|other| other.id == entry.id) {
            return Err(entry.error("it exists twice"));
        }
    }
    Ok(entries)
}

impl Entry {
    fn error(&self, reason: impl Into<String>) -> KeysFileError {
        KeysFileError::Key {
            id: self.id.clone(),
            reason: reason.into(),
        }
    }

    fn policy(&self) -> Result<Policy, KeysFileError> {
        Policy::new(&self.actions, &self.secrets).map_err(|error| self.error(error.to_string()))
    }

    fn open(&self, store: &LocalStore) -> Result<AccessKey, KeysFileError> {
        let sealed = STANDARD
            .decode(&self.sealed)
            .map_err(|_| self.error("its secret is not in base64"))?;
        let secret = store
            .open_external(SEALED_AS, &self.id, &sealed)
            .map_err(|refusal| self.error(format!("its secret: {}", refusal.message)))?;
        Ok(AccessKey::new(
            &self.id,
            &self.name,
            &secret,
            self.policy()?,
        ))
    }
}

/// Refuses a name that IAM refuses for a user, because it is part of an ARN.
fn check_name(name: &str) -> Result<(), KeysFileError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b);
    if (1..=64).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(KeysFileError::Name(name.to_owned()))
}

/// Name and permissions of a new key.
#[derive(Debug, Clone)]
pub struct KeyGrant {
    pub name: String,
    pub actions: Vec<String>,
    pub secrets: Vec<String>,
}

/// Adds a key to the file, which is created with mode 0600 if it is missing.
///
/// # Errors
/// [`KeysFileError`]
pub fn add(
    path: &Path,
    store: &LocalStore,
    new: &NewKey,
    grant: &KeyGrant,
    now: DateTime<Utc>,
) -> Result<(), KeysFileError> {
    check_name(&grant.name)?;
    Policy::new(&grant.actions, &grant.secrets)?;
    let list = |texts: &[String]| value(Array::from_iter(texts));
    let mut entry = Table::new();
    entry["id"] = value(&new.id);
    entry["name"] = value(&grant.name);
    entry["created"] = value(now.to_rfc3339_opts(SecondsFormat::Secs, true));
    entry["actions"] = list(&grant.actions);
    entry["secrets"] = list(&grant.secrets);
    change(path, |keys| {
        // Sealed under the lock of the folder: a change of the store's key seals all entries again.
        let sealed = store
            .seal_external(SEALED_AS, &new.id, &new.secret)
            .map_err(KeysFileError::Sealing)?;
        entry["sealed"] = value(STANDARD.encode(sealed));
        keys.push(entry);
        Ok(())
    })
}

/// Removes a key from the file.
///
/// # Errors
/// [`KeysFileError`]
pub fn remove(path: &Path, id: &str) -> Result<(), KeysFileError> {
    change(path, |keys| {
        let before = keys.len();
        keys.retain(|key| key.get("id").and_then(Item::as_str) != Some(id));
        if keys.len() == before {
            return Err(KeysFileError::NoSuchKey(id.to_owned()));
        }
        Ok(())
    })
}

/// Seals the secret of each key again, under the newest key of the store. A secret that does not
/// open stays as it is.
///
/// # Errors
/// [`KeysFileError`]
pub fn reseal(path: &Path, store: &LocalStore) -> Result<(), KeysFileError> {
    if entries(path)?.is_empty() {
        return Ok(());
    }
    change(path, |keys| {
        for key in keys.iter_mut() {
            let id = key.get("id").and_then(Item::as_str).unwrap_or_default();
            let id = id.to_owned();
            let Some(text) = key.get_mut("sealed").and_then(Item::as_value_mut) else {
                continue;
            };
            let sealed = text.as_str().and_then(|text| STANDARD.decode(text).ok());
            let resealed = store.reseal_external(SEALED_AS, &id, &sealed.unwrap_or_default());
            match resealed {
                Ok(resealed) => {
                    let decor = text.decor().clone();
                    *text = STANDARD.encode(resealed).into();
                    *text.decor_mut() = decor;
                }
                Err(refusal) if refusal.kind == RefusalKind::Decryption => {
                    tracing::warn!(id, "damaged access key not sealed again");
                }
                Err(refusal) => return Err(KeysFileError::Sealing(refusal)),
            }
        }
        Ok(())
    })
}

/// The text of the file; empty if it is missing.
fn text(path: &Path) -> Result<String, KeysFileError> {
    let error = |reason: String| file_error(path, reason);
    let unreadable = |e: std::io::Error| error(format!("cannot be read: {e}"));
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(String::new()),
        Err(e) => return Err(unreadable(e)),
    };
    assess_open(&file, FileKind::Key)
        .map_err(unreadable)?
        .map_err(|e| error(format!("{e}: run chmod 600 on it")))?;
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

fn file_error(path: &Path, reason: impl Into<String>) -> KeysFileError {
    KeysFileError::File {
        path: path.to_owned(),
        reason: reason.into(),
    }
}

fn content(path: &Path, text: &str) -> Result<Content, KeysFileError> {
    // `Display` of the error also quotes the line, sealed secret included.
    toml_edit::de::from_str(text)
        .map_err(|error| file_error(path, format!("is malformed: {}", error.message())))
}

/// Changes the keys of the file atomically.
fn change(
    path: &Path,
    change: impl FnOnce(&mut ArrayOfTables) -> Result<(), KeysFileError>,
) -> Result<(), KeysFileError> {
    let failed = |error: std::io::Error| file_error(path, format!("cannot be written: {error}"));
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // The lock is held until this function returns.
    let lock = File::open(folder).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let before = text(path)?;
    content(path, &before)?;
    // In a document without a table, comments would stay at the end.
    let header = if before.is_empty() { HEADER } else { "" };
    let mut document: DocumentMut = before.parse().map_err(|_| file_error(path, "is no TOML"))?;
    let keys = document
        .entry("key")
        .or_insert(Item::ArrayOfTables(ArrayOfTables::new()))
        .as_array_of_tables_mut()
        .ok_or_else(|| {
            file_error(
                path,
                "has its keys in an inline array: write each as [[key]]",
            )
        })?;
    change(keys)?;
    // Created with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    if let Ok(old) = fs::metadata(path) {
        keep_owner(file.as_file(), &old).map_err(failed)?;
    }
    file.write_all(format!("{header}{document}").as_bytes())
        .map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    // A change of the store's key removes the old key next.
    lock.sync_all().map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests;
