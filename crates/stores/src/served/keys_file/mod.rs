//! The file of the keys (`secrets.serve.keys_file`): who may do what, in TOML that people may edit, with each
//! key's secret sealed under the store's key.
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
//! What can go wrong, and what prevents it:
//! - somebody else on the machine gives a key more rights: a file that others may write is refused;
//! - a key's secret is put under another id, which may do more: it is sealed with its id, and opens with no other;
//! - two commands change the file at once, or one dies in the middle: the folder is locked meanwhile, and the new
//!   file is written aside and put in its place whole;
//! - comments and order, which are people's, are lost: what is not changed stays as it stands.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, value};

use crate::local::{LocalStore, Refusal};

use super::keys::{AccessKey, AccessKeys, NewKey};
use super::policy::{Policy, PolicyError};

/// What secrets of keys are sealed as.
const SEALED_AS: &str = "a key of the served store";
const HEADER: &str = "# The keys of the served store: made by `twinkey keys add`. What a key may do can be edited here.\n\n";

/// One key, as the file has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub id: String,
    /// Whose it is: for people, logs and AWS's messages.
    pub name: String,
    /// RFC 3339.
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

/// Why there are no keys. Never quotes the file.
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
    #[error("the new key's secret: {0}")]
    Sealing(Refusal),
}

impl KeysFileError {
    /// What to do now.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::File { .. } => {
                "see [secrets] serve.keys_file in the config, and who may write the file"
            }
            Self::Key { .. } => {
                "correct the entry, or remove it and make a new key with `twinkey keys add`"
            }
            Self::Name(_) => "name whoever has the key, as a user of IAM is named",
            Self::NoSuchKey(_) => "`twinkey keys list` shows those that there are",
            Self::Policy(_) => {
                "name actions as Secrets Manager does, and secrets by name, with * and ? for any text and any character"
            }
            Self::Sealing(_) => "this is a defect of the machine: it gives no random numbers",
        }
    }
}

/// Reads the keys, and opens their secrets. No file, no keys.
///
/// # Errors
/// [`KeysFileError`]
pub fn read(path: &Path, store: &LocalStore) -> Result<AccessKeys, KeysFileError> {
    entries(path)?
        .iter()
        .map(|entry| entry.open(store))
        .collect()
}

/// The entries, each valid but for its secret, which is not opened.
///
/// # Errors
/// [`KeysFileError`]
pub fn entries(path: &Path) -> Result<Vec<Entry>, KeysFileError> {
    let Content { key: entries } = content(path, &text(path)?)?;
    for (n, entry) in entries.iter().enumerate() {
        check_name(&entry.name)?;
        entry.policy()?;
        if entries[..n].iter().any(|other| other.id == entry.id) {
            return Err(entry.wrong("it is there twice"));
        }
    }
    Ok(entries)
}

impl Entry {
    fn wrong(&self, reason: impl Into<String>) -> KeysFileError {
        KeysFileError::Key {
            id: self.id.clone(),
            reason: reason.into(),
        }
    }

    fn policy(&self) -> Result<Policy, KeysFileError> {
        Policy::new(&self.actions, &self.secrets).map_err(|error| self.wrong(error.to_string()))
    }

    fn open(&self, store: &LocalStore) -> Result<AccessKey, KeysFileError> {
        let sealed = STANDARD
            .decode(&self.sealed)
            .map_err(|_| self.wrong("its secret is not in base64"))?;
        let secret = store
            .open_external(SEALED_AS, &self.id, &sealed)
            .map_err(|refusal| self.wrong(format!("its secret: {}", refusal.message)))?;
        Ok(AccessKey::new(
            &self.id,
            &self.name,
            &secret,
            self.policy()?,
        ))
    }
}

/// Refuses what IAM would not have as a user's name: it stands in an ARN.
fn check_name(name: &str) -> Result<(), KeysFileError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b);
    if (1..=64).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(KeysFileError::Name(name.to_owned()))
}

/// What a new key is to be.
#[derive(Debug, Clone)]
pub struct KeyGrant {
    pub name: String,
    pub actions: Vec<String>,
    pub secrets: Vec<String>,
}

/// Adds a key to the file, which is made with mode 0600 if it is missing.
///
/// # Errors
/// [`KeysFileError`]
pub fn add(
    path: &Path,
    store: &LocalStore,
    new: &NewKey,
    wish: &KeyGrant,
    now: DateTime<Utc>,
) -> Result<(), KeysFileError> {
    check_name(&wish.name)?;
    Policy::new(&wish.actions, &wish.secrets)?;
    let sealed = store
        .seal_external(SEALED_AS, &new.id, &new.secret)
        .map_err(KeysFileError::Sealing)?;
    let list = |texts: &[String]| value(Array::from_iter(texts));
    let mut entry = Table::new();
    entry["id"] = value(&new.id);
    entry["name"] = value(&wish.name);
    entry["created"] = value(now.to_rfc3339_opts(SecondsFormat::Secs, true));
    entry["actions"] = list(&wish.actions);
    entry["secrets"] = list(&wish.secrets);
    entry["sealed"] = value(STANDARD.encode(sealed));
    change(path, |keys| {
        keys.push(entry);
        Ok(())
    })
}

/// Takes a key out of the file.
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

/// The file's text; an empty one where there is no file.
fn text(path: &Path) -> Result<String, KeysFileError> {
    let wrong = |reason: String| wrong(path, reason);
    let mode = match fs::metadata(path) {
        Ok(metadata) => metadata.permissions().mode(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(wrong(format!("cannot be read: {error}"))),
    };
    if mode & 0o022 != 0 {
        let mode = mode & 0o7777;
        return Err(wrong(format!(
            "may be written by others (mode {mode:04o}): chmod 600 it"
        )));
    }
    fs::read_to_string(path).map_err(|error| wrong(format!("cannot be read: {error}")))
}

fn wrong(path: &Path, reason: impl Into<String>) -> KeysFileError {
    KeysFileError::File {
        path: path.to_owned(),
        reason: reason.into(),
    }
}

fn content(path: &Path, text: &str) -> Result<Content, KeysFileError> {
    // Its `Display` shows the line too, with what is sealed in it.
    toml_edit::de::from_str(text)
        .map_err(|error| wrong(path, format!("is not as expected: {}", error.message())))
}

/// Changes the file's list of keys, in one go.
fn change(
    path: &Path,
    change: impl FnOnce(&mut ArrayOfTables) -> Result<(), KeysFileError>,
) -> Result<(), KeysFileError> {
    let failed = |error: std::io::Error| wrong(path, format!("cannot be written: {error}"));
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Held until this returns.
    let lock = File::open(folder).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let before = text(path)?;
    content(path, &before)?;
    // Of a document without a table, comments would stay at the end.
    let header = if before.is_empty() { HEADER } else { "" };
    let mut document: DocumentMut = before.parse().map_err(|_| wrong(path, "is no TOML"))?;
    let keys = document
        .entry("key")
        .or_insert(Item::ArrayOfTables(ArrayOfTables::new()))
        .as_array_of_tables_mut()
        .ok_or_else(|| wrong(path, "has its keys in one line: write each as [[key]]"))?;
    change(keys)?;
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{}.new", uuid::Uuid::new_v4()));
    let aside = PathBuf::from(aside);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&aside)
        .and_then(|mut file| {
            file.write_all(format!("{header}{document}").as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&aside, path));
    if written.is_err() {
        // The error of the first failure is log; what is left aside holds nothing in clear.
        let _ = fs::remove_file(&aside);
    }
    written.map_err(failed)
}

#[cfg(test)]
mod tests;
