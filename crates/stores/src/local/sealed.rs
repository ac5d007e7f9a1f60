//! The key file, and values under it: AES-256-GCM with a random nonce.
//!
//! What can go wrong, and what prevents it:
//! - a value is copied into another secret's or version's row: both names are authenticated;
//! - two processes make the key file at once, or one dies while writing it: it is written aside and
//!   linked into place, which fails where there is one already; then whatever is there is read;
//! - others on the machine can read it: made with mode 0600, and refused when it is wider;
//! - a nonce repeats: 96 random bits, and one key seals far fewer than 2^32 values.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::StoreError;

const KEY_BYTES: usize = 32;
/// The first byte of a sealed value: which recipe the rest follows.
const RECIPE: u8 = 1;

/// The key of one store.
pub(super) struct SealingKey(RandomizedNonceKey);

/// What a sealed value belongs to; it can be opened under the same names only.
#[derive(Clone, Copy)]
pub(super) struct Binding<'a> {
    pub arn: &'a str,
    pub version: &'a str,
}

impl Binding<'_> {
    fn aad(&self) -> Aad<Vec<u8>> {
        // The length keeps the border between the two where it is.
        Aad::from(format!("{}:{}{}", self.arn.len(), self.arn, self.version).into_bytes())
    }
}

impl SealingKey {
    /// Reads a key file.
    ///
    /// # Errors
    /// [`StoreError::KeyFile`] when it is missing, unreadable, too widely readable or malformed.
    pub(super) fn read(path: &Path) -> Result<Self, StoreError> {
        let wrong = |reason: String, fix: &str| key_file(path, reason, fix);
        let mut file = fs::File::open(path).map_err(|e| {
            wrong(
                format!("cannot be read: {e}"),
                "restore the key file that the store was made with; without it nobody can read the store",
            )
        })?;
        let mode = file
            .metadata()
            .map_err(|e| wrong(format!("cannot be read: {e}"), "look at the file's rights"))?
            .permissions()
            .mode();
        if mode & 0o077 != 0 {
            return Err(wrong(
                format!("may be read by others (mode {:04o})", mode & 0o7777),
                "chmod 600 it, and think about who may have read it",
            ));
        }
        let malformed = || {
            wrong(
                "does not hold 32 bytes in base64".into(),
                "restore it from a copy, or give the path of the right file",
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

    /// Reads a key file, and makes it first when there is none.
    ///
    /// # Errors
    /// [`StoreError::KeyFile`]
    pub(super) fn read_or_make(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            make(path)?;
        }
        Self::read(path)
    }

    /// Seals a value.
    pub(super) fn seal(&self, of: Binding<'_>, value: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let mut text = Zeroizing::new(Vec::with_capacity(value.len() + AES_256_GCM.tag_len()));
        text.extend_from_slice(value);
        let nonce = self.0.seal_in_place_append_tag(of.aad(), &mut *text)?;
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + text.len());
        sealed.push(RECIPE);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&text);
        Ok(sealed)
    }

    /// Opens a value; fails under another key, other names, or when a bit has changed.
    pub(super) fn open(
        &self,
        of: Binding<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
        let (recipe, rest) = sealed.split_first().ok_or(Unspecified)?;
        if *recipe != RECIPE || rest.len() < NONCE_LEN {
            return Err(Unspecified);
        }
        let (nonce, text) = rest.split_at(NONCE_LEN);
        let mut text = Zeroizing::new(text.to_vec());
        let nonce = Nonce::try_assume_unique_for_key(nonce)?;
        let length = self.0.open_in_place(nonce, of.aad(), &mut text)?.len();
        text.truncate(length);
        Ok(text)
    }
}

/// An error about the key file; `fix` is what to do now.
pub(super) fn key_file(path: &Path, reason: String, fix: &str) -> StoreError {
    StoreError::KeyFile {
        path: path.display().to_string(),
        reason,
        fix: fix.to_owned(),
    }
}

fn make(path: &Path) -> Result<(), StoreError> {
    let cannot = |e: std::io::Error| {
        key_file(
            path,
            format!("cannot be made: {e}"),
            "make its folder, writable for the worker, or set secrets.key_file",
        )
    };
    let mut bytes = Zeroizing::new([0_u8; KEY_BYTES]);
    rand::fill(bytes.as_mut_slice())
        .map_err(|_| cannot(std::io::Error::other("no random bytes to be had")))?;
    let text = Zeroizing::new(STANDARD.encode(bytes.as_slice()) + "\n");
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{}.new", uuid::Uuid::new_v4()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&aside)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| match fs::hard_link(&aside, path) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        });
    let removed = fs::remove_file(&aside);
    written.and(removed).map_err(cannot)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(folder: &Path, name: &str) -> SealingKey {
        SealingKey::read_or_make(&folder.join(name)).unwrap()
    }

    const HERE: Binding<'_> = Binding {
        arn: "arn:a",
        version: "v1",
    };

    #[test]
    fn a_value_opens_under_its_own_key_and_names_only() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (key(folder.path(), "one"), key(folder.path(), "other"));
        let sealed = one.seal(HERE, b"hunter2").unwrap();
        assert_eq!(*one.open(HERE, &sealed).unwrap(), b"hunter2");
        assert!(other.open(HERE, &sealed).is_err());
        for (arn, version) in [("arn:a", "v2"), ("arn:b", "v1"), ("arn:av", "1")] {
            assert!(one.open(Binding { arn, version }, &sealed).is_err());
        }
    }

    #[test]
    fn no_bit_of_a_sealed_value_can_be_changed_or_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let key = key(folder.path(), "k");
        let sealed = key.seal(HERE, b"hunter2").unwrap();
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            assert!(key.open(HERE, &bad).is_err(), "byte {at}");
            assert!(key.open(HERE, &sealed[..at]).is_err(), "cut at {at}");
        }
        assert_ne!(sealed, key.seal(HERE, b"hunter2").unwrap());
        assert!(!sealed.windows(7).any(|w| w == b"hunter2"));
    }

    #[test]
    fn a_new_key_file_is_for_its_owner_only_and_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        SealingKey::read_or_make(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        make(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_wide_a_malformed_and_a_missing_key_file_are_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        let refused = |why: &str| {
            let error = SealingKey::read(&path).err().unwrap();
            assert!(error.to_string().contains(why), "{error}");
        };
        refused("cannot be read");
        SealingKey::read_or_make(&path).unwrap();
        for wide in [0o640, 0o604, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(wide)).unwrap();
            refused("may be read by others");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for bad in ["", "short", "QUJD", "\u{fffd}\u{fffd}"] {
            fs::write(&path, bad).unwrap();
            refused("does not hold 32 bytes");
        }
    }
}
