//! Key file: the store's key in base64, or its old and its new key while the key changes.
//!
//! # Failure modes
//! - Two processes create the key file at once, or one exits while writing it. The file is written
//!   under another name and then linked, which fails if a key file exists; that file is read then.
//! - A process exits while it replaces the file. The new content is written and synced under another
//!   name, which then replaces the file; the next replacement removes what was left.
//! - Other users of the machine read or replace it. It is created with mode 0600, and a wider mode is
//!   refused ([`twinkey_core::file_access`]).
//! - A command of root replaces the file of the worker's user. Owner and mode are kept.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use twinkey_core::file_access::{AccessError, FileKind, assess_open};
use zeroize::Zeroizing;

use super::sealed::{KEY_BYTES, SealingKey};
use crate::StoreError;

/// Reads the keys of a file: one, or the old one and then the new one.
///
/// # Errors
/// [`StoreError::KeyFile`] if it is missing, unreadable, too widely readable or malformed.
pub(in crate::local) fn read(path: &Path) -> Result<Vec<SealingKey>, StoreError> {
    let wrong = |reason: String, fix: &str| error(path, reason, fix);
    let mut file = File::open(path).map_err(|e| {
        wrong(
            format!("cannot be read: {e}"),
            "restore the key file that the store was created with; the store is unreadable without it",
        )
    })?;
    let assessed = assess_open(&file, FileKind::Key).map_err(|e| {
        wrong(
            format!("cannot be read: {e}"),
            "check the permissions of the file",
        )
    })?;
    assessed.map_err(|e| {
        let fix = match e {
            AccessError::Readable(_) => {
                "run chmod 600 on it, and replace the key, which is disclosed, with `twinkey secret rekey`"
            }
            other => other.fix(),
        };
        wrong(e.to_string(), fix)
    })?;
    let malformed = || {
        wrong(
            "does not hold 32 bytes in base64".into(),
            "restore it from a backup, or set secrets.key_file to the right file",
        )
    };
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text).map_err(|_| malformed())?;
    let keys: Option<Vec<SealingKey>> = text.split_whitespace().map(decode).collect();
    keys.filter(|keys| matches!(keys.len(), 1 | 2))
        .ok_or_else(malformed)
}

fn decode(text: &str) -> Option<SealingKey> {
    let decoded = Zeroizing::new(STANDARD.decode(text).ok()?);
    let mut bytes = Zeroizing::new([0_u8; KEY_BYTES]);
    if decoded.len() != KEY_BYTES {
        return None;
    }
    bytes.copy_from_slice(&decoded);
    SealingKey::new(bytes).ok()
}

fn encode(keys: &[&SealingKey]) -> Zeroizing<String> {
    let lines = keys.iter().map(|key| STANDARD.encode(key.bytes()) + "\n");
    Zeroizing::new(lines.collect())
}

/// Reads a key file, and creates it if it is missing.
///
/// # Errors
/// [`StoreError::KeyFile`]
pub(in crate::local) fn read_or_create(path: &Path) -> Result<Vec<SealingKey>, StoreError> {
    if !path.exists() {
        create(path)?;
    }
    read(path)
}

/// Replaces the content of a key file. It is durable when this function returns.
///
/// # Errors
/// [`StoreError::KeyFile`]
pub(in crate::local) fn replace(path: &Path, keys: &[&SealingKey]) -> Result<(), StoreError> {
    write_beside(path, encode(keys).as_bytes()).map_err(|e| {
        error(
            path,
            format!("cannot be replaced: {e}"),
            "make its folder writable for this command, and run `twinkey secret rekey` again",
        )
    })
}

fn write_beside(path: &Path, content: &[u8]) -> std::io::Result<()> {
    // A link stays a link.
    let path = fs::canonicalize(path)?;
    let old = fs::metadata(&path)?;
    let mut name = path.clone().into_os_string();
    name.push(".new");
    let beside = PathBuf::from(name);
    match fs::remove_file(&beside) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    keep_owner(&file, &old)?;
    file.set_permissions(old.permissions())?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&beside, &path)?;
    File::open(folder_of(&path))?.sync_all()
}

/// Gives a new file the owner of the file that it replaces.
///
/// # Errors
/// The error of the operating system.
pub(crate) fn keep_owner(file: &File, old: &fs::Metadata) -> std::io::Result<()> {
    let new = file.metadata()?;
    if (new.uid(), new.gid()) == (old.uid(), old.gid()) {
        return Ok(());
    }
    std::os::unix::fs::fchown(file, Some(old.uid()), Some(old.gid()))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// An error about the key file; `fix` is the hint.
pub(in crate::local) fn error(path: &Path, reason: String, fix: &str) -> StoreError {
    StoreError::KeyFile {
        path: path.display().to_string(),
        reason,
        fix: fix.to_owned(),
    }
}

fn create(path: &Path) -> Result<(), StoreError> {
    let cannot = |e: std::io::Error| {
        error(
            path,
            format!("cannot be created: {e}"),
            "create its folder, writable for the worker, or set secrets.key_file",
        )
    };
    let key = SealingKey::random()
        .map_err(|_| cannot(std::io::Error::other("no random bytes available")))?;
    // Created with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder_of(path)).map_err(cannot)?;
    file.write_all(encode(&[&key]).as_bytes()).map_err(cannot)?;
    file.as_file().sync_all().map_err(cannot)?;
    match file.persist_noclobber(path) {
        Err(e) if e.error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(cannot(e.error)),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_key_file_is_private_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        read_or_create(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        create(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn refuses_a_readable_malformed_or_missing_key_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        let refused = |why: &str| {
            let error = read(&path).err().unwrap();
            assert!(error.to_string().contains(why), "{error}");
        };
        refused("cannot be read");
        read_or_create(&path).unwrap();
        for mode in [0o640, 0o604, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            refused("is readable by others");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for bad in ["", "short", "QUJD", "\u{fffd}\u{fffd}"] {
            fs::write(&path, bad).unwrap();
            refused("does not hold 32 bytes");
        }
    }

    #[test]
    fn a_replaced_key_file_keeps_its_mode_and_link() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("k"), folder.path().join("link"));
        let old = read_or_create(&path).unwrap().remove(0);
        std::os::unix::fs::symlink(&path, &link).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        fs::write(folder.path().join("k.new"), "left by a killed process").unwrap();
        let new = SealingKey::random().unwrap();
        replace(&link, &[&old, &new]).unwrap();
        let keys = read(&path).unwrap();
        assert!(keys[0].equals(&old) && keys[1].equals(&new) && keys.len() == 2);
        assert!(link.is_symlink());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o400);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
