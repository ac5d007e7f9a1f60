//! Key file, and values sealed with AES-256-GCM and a random nonce.
//!
//! # Failure modes
//! - A value is copied into the row of another secret or version. Both names are authenticated.
//! - Two processes create the key file at once, or one exits while writing it. The file is written
//!   under another name and then linked, which fails if a key file exists; that file is read then.
//! - Other users of the machine read it. It is created with mode 0600, and a wider mode is refused.
//! - A nonce repeats. Nonces have 96 random bits, and one key seals far fewer than 2^32 values.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::StoreError;

const KEY_BYTES: usize = 32;
/// The first byte of a sealed value: the version of its format.
const FORMAT_VERSION: u8 = 1;

/// Key of one store.
pub(super) struct SealingKey(RandomizedNonceKey);

/// Names that a sealed value is bound to; opening requires the same names.
#[derive(Clone, Copy)]
pub(super) struct Binding<'a> {
    pub arn: &'a str,
    pub version: &'a str,
}

impl Binding<'_> {
    fn aad(&self) -> Aad<Vec<u8>> {
        // The length fixes the boundary between the two names.
        Aad::from(format!("{}:{}{}", self.arn.len(), self.arn, self.version).into_bytes())
    }
}

impl SealingKey {
    /// Reads a key file.
    ///
    /// # Errors
    /// [`StoreError::KeyFile`] if it is missing, unreadable, too widely readable or malformed.
    pub(super) fn read(path: &Path) -> Result<Self, StoreError> {
        let wrong = |reason: String, fix: &str| key_file(path, reason, fix);
        let mut file = fs::File::open(path).map_err(|e| {
            wrong(
                format!("cannot be read: {e}"),
                "restore the key file that the store was created with; the store is unreadable without it",
            )
        })?;
        let mode = file
            .metadata()
            .map_err(|e| {
                wrong(
                    format!("cannot be read: {e}"),
                    "check the permissions of the file",
                )
            })?
            .permissions()
            .mode();
        if mode & 0o077 != 0 {
            return Err(wrong(
                format!("is readable by others (mode {:04o})", mode & 0o7777),
                "run chmod 600 on it, and consider the key as disclosed",
            ));
        }
        let malformed = || {
            wrong(
                "does not hold 32 bytes in base64".into(),
                "restore it from a backup, or set secrets.key_file to the right file",
            )
        };
        let mut text = Zeroizing::new(String::new());
        file.read_to_string(&mut text).map_err(|_| malformed())?;
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| malformed())?);
        if bytes.len() != KEY_BYTES {
            return Err(malformed());
        }
        RandomizedNonceKey::new(&AES_256_GCM, &bytes)
            .map(Self)
            .map_err(|_| malformed())
    }

    /// Reads a key file, and creates it if it is missing.
    ///
    /// # Errors
    /// [`StoreError::KeyFile`]
    pub(super) fn read_or_create(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            create(path)?;
        }
        Self::read(path)
    }

    /// Seals a value.
    pub(super) fn seal(&self, binding: Binding<'_>, value: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let mut text = Zeroizing::new(Vec::with_capacity(value.len() + AES_256_GCM.tag_len()));
        text.extend_from_slice(value);
        let nonce = self.0.seal_in_place_append_tag(binding.aad(), &mut *text)?;
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + text.len());
        sealed.push(FORMAT_VERSION);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&text);
        Ok(sealed)
    }

    /// Opens a value. Fails if the key, a name or a bit differs.
    pub(super) fn open(
        &self,
        binding: Binding<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
        let (version, rest) = sealed.split_first().ok_or(Unspecified)?;
        if *version != FORMAT_VERSION || rest.len() < NONCE_LEN {
            return Err(Unspecified);
        }
        let (nonce, text) = rest.split_at(NONCE_LEN);
        let mut text = Zeroizing::new(text.to_vec());
        let nonce = Nonce::try_assume_unique_for_key(nonce)?;
        let length = self.0.open_in_place(nonce, binding.aad(), &mut text)?.len();
        text.truncate(length);
        Ok(text)
    }
}

/// An error about the key file; `fix` is the hint.
pub(super) fn key_file(path: &Path, reason: String, fix: &str) -> StoreError {
    StoreError::KeyFile {
        path: path.display().to_string(),
        reason,
        fix: fix.to_owned(),
    }
}

fn create(path: &Path) -> Result<(), StoreError> {
    let cannot = |e: std::io::Error| {
        key_file(
            path,
            format!("cannot be created: {e}"),
            "create its folder, writable for the worker, or set secrets.key_file",
        )
    };
    let mut bytes = Zeroizing::new([0_u8; KEY_BYTES]);
    rand::fill(bytes.as_mut_slice())
        .map_err(|_| cannot(std::io::Error::other("no random bytes available")))?;
    let text = Zeroizing::new(STANDARD.encode(bytes.as_slice()) + "\n");
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Created with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(cannot)?;
    file.write_all(text.as_bytes()).map_err(cannot)?;
    file.as_file().sync_all().map_err(cannot)?;
    match file.persist_noclobber(path) {
        Err(e) if e.error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(cannot(e.error)),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(folder: &Path, name: &str) -> SealingKey {
        SealingKey::read_or_create(&folder.join(name)).unwrap()
    }

    const BINDING: Binding<'_> = Binding {
        arn: "arn:a",
        version: "v1",
    };

    #[test]
    fn a_value_opens_under_its_own_key_and_names_only() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (key(folder.path(), "one"), key(folder.path(), "other"));
        let sealed = one.seal(BINDING, b"hunter2").unwrap();
        assert_eq!(*one.open(BINDING, &sealed).unwrap(), b"hunter2");
        assert!(other.open(BINDING, &sealed).is_err());
        for (arn, version) in [("arn:a", "v2"), ("arn:b", "v1"), ("arn:av", "1")] {
            assert!(one.open(Binding { arn, version }, &sealed).is_err());
        }
    }

    #[test]
    fn a_changed_or_truncated_value_does_not_open() {
        let folder = tempfile::tempdir().unwrap();
        let key = key(folder.path(), "k");
        let sealed = key.seal(BINDING, b"hunter2").unwrap();
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            assert!(key.open(BINDING, &bad).is_err(), "byte {at}");
            assert!(key.open(BINDING, &sealed[..at]).is_err(), "cut at {at}");
        }
        assert_ne!(sealed, key.seal(BINDING, b"hunter2").unwrap());
        assert!(!sealed.windows(7).any(|w| w == b"hunter2"));
    }

    #[test]
    fn a_new_key_file_is_private_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        SealingKey::read_or_create(&path).unwrap();
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
            let error = SealingKey::read(&path).err().unwrap();
            assert!(error.to_string().contains(why), "{error}");
        };
        refused("cannot be read");
        SealingKey::read_or_create(&path).unwrap();
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
}
