//! Keys of an open store. They follow the key file while another process changes the key.
//!
//! # Failure modes
//! - A value is sealed under a key that another process is removing. A write uses the key that opens
//!   the sealed text of the file, which it reads under the write lock.
//! - A value is sealed under a key that this process has not read. The key file is read again.
//! - A value was read before the key changed and is opened after it. Keys are kept until the store
//!   is closed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::error::Unspecified;
use parking_lot::RwLock;
use sqlx::SqliteConnection;
use zeroize::Zeroizing;

use super::super::CHECK;
use super::super::refusal::{Refusal, RefusalKind};
use super::super::rows;
use super::file as key_file;
use super::sealed::{Binding, SealingKey};
use crate::StoreError;

/// The keys of one key file.
pub(in crate::local) struct KeyRing {
    path: PathBuf,
    keys: RwLock<Keys>,
}

struct Keys {
    /// The newest last.
    all: Vec<Arc<SealingKey>>,
    /// The sealed text that `sealing` opens.
    check: Vec<u8>,
    sealing: Arc<SealingKey>,
}

impl Keys {
    /// The newest key that opens a text, with the text.
    fn opening(
        &self,
        binding: Binding<'_>,
        sealed: &[u8],
    ) -> Option<(Arc<SealingKey>, Zeroizing<Vec<u8>>)> {
        let mut newest_first = self.all.iter().rev();
        newest_first.find_map(|key| {
            let text = key.open(binding, sealed).ok()?;
            Some((Arc::clone(key), text))
        })
    }
}

impl KeyRing {
    /// The keys of a file, if one of them opens the sealed text, with this text.
    pub(in crate::local) fn new(
        path: &Path,
        keys: Vec<SealingKey>,
        check: Vec<u8>,
    ) -> Option<(Self, Zeroizing<Vec<u8>>)> {
        let all: Vec<_> = keys.into_iter().map(Arc::new).collect();
        let mut keys = Keys {
            sealing: Arc::clone(all.last()?),
            all,
            check,
        };
        let (sealing, text) = keys.opening(CHECK, &keys.check)?;
        keys.sealing = sealing;
        let ring = Self {
            path: path.to_owned(),
            keys: RwLock::new(keys),
        };
        Some((ring, text))
    }

    /// The key file.
    pub(in crate::local) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a value. Fails if no key opens it, or a name or a bit differs.
    pub(in crate::local) fn open(
        &self,
        binding: Binding<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
        if let Some((_, text)) = self.keys.read().opening(binding, sealed) {
            return Ok(text);
        }
        self.read_again().map_err(|_| Unspecified)?;
        let opened = self.keys.read().opening(binding, sealed);
        opened.map(|(_, text)| text).ok_or(Unspecified)
    }

    /// The key for values that the transaction of `db` writes. The transaction holds the write lock.
    pub(in crate::local) async fn sealing(
        &self,
        db: &mut SqliteConnection,
    ) -> Result<Arc<SealingKey>, Refusal> {
        let unknown = || {
            Refusal::new(
                RefusalKind::Damaged,
                format!(
                    "its key check does not open under the key file {}",
                    self.path.display()
                ),
            )
        };
        let check = rows::check(db).await?.ok_or_else(unknown)?;
        {
            let keys = self.keys.read();
            if keys.check == check {
                return Ok(Arc::clone(&keys.sealing));
            }
        }
        self.read_again().map_err(|_| unknown())?;
        let mut keys = self.keys.write();
        let (sealing, _) = keys.opening(CHECK, &check).ok_or_else(unknown)?;
        keys.check = check;
        keys.sealing = Arc::clone(&sealing);
        Ok(sealing)
    }

    /// The newest key of the file, for values outside the store.
    pub(in crate::local) fn newest(&self) -> Result<Arc<SealingKey>, StoreError> {
        self.read_again()?.ok_or_else(|| {
            let path = &self.path;
            key_file::error(path, "is empty".into(), "restore it from a backup")
        })
    }

    /// Adds the keys of the file, and returns its newest.
    fn read_again(&self) -> Result<Option<Arc<SealingKey>>, StoreError> {
        let read = key_file::read(&self.path)?;
        let mut keys = self.keys.write();
        let mut newest = None;
        for key in read {
            let known = keys.all.iter().find(|known| known.equals(&key));
            let key = known.map_or_else(|| Arc::new(key), Arc::clone);
            if !keys.all.iter().any(|known| Arc::ptr_eq(known, &key)) {
                keys.all.push(Arc::clone(&key));
            }
            newest = Some(key);
        }
        Ok(newest)
    }
}
