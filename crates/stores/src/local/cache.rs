//! Versions that were read before, still sealed, for as long as nobody has changed the file.
//!
//! What can go wrong, and what prevents it:
//! - a read gets what was true before a flip that was acknowledged, by this process or by another one: each
//!   read first asks SQLite whether any other connection has committed since (`PRAGMA data_version`), and
//!   drops everything that was entries if so;
//! - that question is asked before a commit and answers a read that came after it: a read takes the answer
//!   of a question only if that was asked after the read had arrived;
//! - what is read while the file changes is entries as if it were new: it is entries under the answer from before
//!   it was read, and only while that is still the latest;
//! - memory fills: what is entries is bounded, and dropped as a whole;
//! - values lie in memory in clear: they are entries as they are in the file, and opened for each read.
//!
//! Source: <https://www.sqlite.org/pragma.html#pragma_data_version>

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::versions::SealedVersion;
use crate::VersionId;

/// The most that is entries, in bytes of sealed values.
const MAX_BYTES: usize = 32 << 20;

/// What a read asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct VersionSelector {
    pub secret: String,
    pub version: Option<VersionId>,
    pub label: Option<String>,
}

/// A state of the file. SQLite's numbers can be compared on one connection only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct FileState {
    connection: u64,
    version: i64,
}

/// See the module.
pub(super) struct Cache {
    options: Arc<SqliteConnectOptions>,
    /// How many reads have arrived.
    arrived: AtomicU64,
    detector: tokio::sync::Mutex<CommitDetector>,
    entries: Mutex<Entries>,
}

/// The connection that is asked, and for whom it was asked last.
struct CommitDetector {
    connection: Option<SqliteConnection>,
    /// How many there have been.
    connections: u64,
    /// The reads up to this one had arrived when it was.
    answered: u64,
    state: FileState,
}

impl CommitDetector {
    async fn ask(&mut self, options: &SqliteConnectOptions) -> sqlx::Result<FileState> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => {
                let connected = options.connect().await?;
                self.connections += 1;
                self.connection.insert(connected)
            }
        };
        let asked = sqlx::query_scalar("PRAGMA data_version");
        let answer = asked.fetch_one(connection).await;
        if answer.is_err() {
            self.connection = None;
        }
        Ok(FileState {
            connection: self.connections,
            version: answer?,
        })
    }
}

struct Entries {
    state: FileState,
    bytes: usize,
    versions: HashMap<VersionSelector, Arc<SealedVersion>>,
}

impl Cache {
    /// An empty one, for the file that these options open.
    pub(super) fn new(options: Arc<SqliteConnectOptions>) -> Self {
        // Connections are counted from 1.
        let state = FileState::default();
        Self {
            options,
            arrived: AtomicU64::new(0),
            detector: tokio::sync::Mutex::new(CommitDetector {
                connection: None,
                connections: 0,
                answered: 0,
                state,
            }),
            entries: Mutex::new(Entries {
                state,
                bytes: 0,
                versions: HashMap::new(),
            }),
        }
    }

    /// The state that the file is in, now or a little later. One question answers everybody who waits for it
    /// to be asked.
    ///
    /// # Errors
    /// sqlx's
    pub(super) async fn state(&self) -> sqlx::Result<FileState> {
        let me = self.arrived.fetch_add(1, Ordering::SeqCst) + 1;
        let mut detector = self.detector.lock().await;
        if detector.answered >= me {
            return Ok(detector.state);
        }
        let answers = self.arrived.load(Ordering::SeqCst);
        let state = detector.ask(&self.options).await?;
        detector.answered = answers;
        detector.state = state;
        let mut entries = self.entries();
        if entries.state != state {
            *entries = Entries {
                state,
                bytes: 0,
                versions: HashMap::new(),
            };
        }
        Ok(state)
    }

    /// What is entries of that state.
    pub(super) fn get(
        &self,
        state: FileState,
        selector: &VersionSelector,
    ) -> Option<Arc<SealedVersion>> {
        let entries = self.entries();
        if entries.state != state {
            return None;
        }
        entries.versions.get(selector).map(Arc::clone)
    }

    /// Keeps what was read after the file was in that state.
    pub(super) fn keep(
        &self,
        state: FileState,
        selector: VersionSelector,
        version: &Arc<SealedVersion>,
    ) {
        let mut entries = self.entries();
        if entries.state != state {
            return;
        }
        if entries.bytes + version.bytes() > MAX_BYTES {
            entries.versions.clear();
            entries.bytes = 0;
        }
        entries.bytes += version.bytes();
        entries.versions.insert(selector, Arc::clone(version));
    }

    /// Closes the connection that detects commits.
    pub(super) async fn close(&self) {
        if let Some(connection) = self.detector.lock().await.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "SQLite file not closed cleanly");
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock()
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::super::LocalStore;
    use super::*;
    use twinkey_core::secret::Sensitive;

    fn selector() -> VersionSelector {
        VersionSelector {
            secret: "a".into(),
            version: None,
            label: None,
        }
    }

    async fn open(folder: &TempDir) -> LocalStore {
        let file = |name: &str| folder.path().join(name);
        LocalStore::open(&file("s.db"), &file("s.key"))
            .await
            .unwrap()
    }

    async fn put(store: &LocalStore, value: &str) {
        store
            .create_or_put("a", &Sensitive::from(value))
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn what_was_read_is_kept_until_anybody_commits() {
        let folder = tempfile::tempdir().unwrap();
        let (store, other) = (open(&folder).await, open(&folder).await);
        put(&other, "one").await;
        for writer in [&other, &store] {
            store.read_cached("a", None, None).await.unwrap();
            let before = store.cache.state().await.unwrap();
            assert!(store.cache.get(before, &selector()).is_some());
            put(writer, "more").await;
            let after = store.cache.state().await.unwrap();
            assert_ne!(before, after);
            for state in [before, after] {
                assert!(store.cache.get(state, &selector()).is_none());
            }
        }
    }

    #[tokio::test]
    async fn what_was_read_before_a_commit_is_not_kept_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder).await;
        put(&store, "one").await;
        store.read_cached("a", None, None).await.unwrap();
        let before = store.cache.state().await.unwrap();
        let old = store.cache.get(before, &selector()).unwrap();
        put(&store, "two").await;
        let after = store.cache.state().await.unwrap();
        store.cache.keep(before, selector(), &old);
        assert!(store.cache.get(after, &selector()).is_none());
    }

    #[tokio::test]
    async fn a_new_connection_begins_with_nothing_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder).await;
        put(&store, "one").await;
        store.read_cached("a", None, None).await.unwrap();
        let before = store.cache.state().await.unwrap();
        store.cache.detector.lock().await.connection = None;
        let after = store.cache.state().await.unwrap();
        assert_ne!(before, after);
        assert!(store.cache.get(after, &selector()).is_none());
    }
}
