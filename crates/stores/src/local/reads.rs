//! Days of the last reads, for LastAccessedDate.
//!
//! # Failure modes
//! - Each read writes to the file, waits for the write lock and clears the cache. A read adds its secret to
//!   a set in memory. The set is written every few seconds, and a secret once a day.
//! - A read fails because its day cannot be written. The secret stays in the set.

use std::collections::HashSet;

use parking_lot::Mutex;

use super::refusal::Refusal;
use super::{LocalStore, rows, write};

/// ARNs of secrets that were read and are not written yet.
#[derive(Default)]
pub(super) struct Reads(Mutex<HashSet<String>>);

impl Reads {
    /// Adds a secret that was read.
    pub(super) fn add(&self, arn: &str) {
        let mut reads = self.0.lock();
        if !reads.contains(arn) {
            reads.insert(arn.to_owned());
        }
    }
}

impl LocalStore {
    /// Stores today as the day of the last read of the secrets that were read since the last call.
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn record_reads(&self) -> Result<(), Refusal> {
        let read = std::mem::take(&mut *self.reads.0.lock());
        let recorded = self.record(&read).await;
        if recorded.is_err() {
            self.reads.0.lock().extend(read);
        }
        recorded
    }

    async fn record(&self, read: &HashSet<String>) -> Result<(), Refusal> {
        let mut due = Vec::new();
        {
            let mut db = self.database.reader().await?;
            for arn in read {
                if rows::is_read_before_today(&mut db, arn).await? {
                    due.push(arn);
                }
            }
        }
        if due.is_empty() {
            return Ok(());
        }
        let mut writer = self.database.writer().await?;
        let mut tx = write(&mut writer).await?;
        for arn in due {
            rows::set_read_today(&mut tx, arn).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinkey_core::secret::Sensitive;

    #[tokio::test]
    async fn a_day_is_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let (path, key) = (folder.path().join("s.db"), folder.path().join("s.key"));
        let store = LocalStore::open(&path, &key).await.unwrap();
        let value = Sensitive::from("one");
        store.create_or_put("a", &value).await.unwrap();
        let (secret, _) = store.labels_of("a").await.unwrap();
        store.reads.add(&secret.arn);
        store.record_reads().await.unwrap();
        let (secret, _) = store.labels_of("a").await.unwrap();
        assert!(secret.accessed.is_some_and(|day| day % 86_400_000 == 0));

        // Later reads of the day do not need the write lock.
        let other = LocalStore::open(&path, &key).await.unwrap();
        let mut writer = other.database.writer().await.unwrap();
        let tx = write(&mut writer).await.unwrap();
        store.reads.add(&secret.arn);
        store.record_reads().await.unwrap();
        drop(tx);
    }
}
