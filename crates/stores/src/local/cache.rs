//! Cache of sealed versions, valid while the file is unchanged.
//!
//! Source: <https://www.sqlite.org/pragma.html#pragma_data_version>
//!
//! # Failure modes
//! - A read returns the state before an acknowledged flip of this process or another. Each read
//!   first queries whether another connection has committed (`PRAGMA data_version`). A commit
//!   clears the cache.
//! - The query ran before a commit, and its result serves a read that arrived after it. A read uses
//!   a result only if the query started after the read had arrived.
//! - A version that is read during a change is cached as current. It is cached under the state from
//!   before the read, and only while that is the latest state.
//! - Memory fills. The size is bounded, and the cache is cleared as a whole.
//! - Values lie in memory in clear. Versions are cached sealed, and opened for each read.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::versions::SealedVersion;
use crate::VersionId;

/// Limit of the cache, in bytes of sealed values.
const MAX_BYTES: usize = 32 << 20;

/// The version that a read requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct VersionSelector {
    pub secret: String,
    pub version: Option<VersionId>,
    pub label: Option<String>,
}

/// State of the file. SQLite's numbers are comparable on one connection only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct FileState {
    connection: u64,
    version: i64,
}

/// Cache of the versions of one file.
pub(super) struct Cache {
    options: Arc<SqliteConnectOptions>,
    /// The number of reads so far.
    arrived: AtomicU64,
    detector: tokio::sync::Mutex<CommitDetector>,
    entries: Mutex<Entries>,
}

/// The connection that detects commits, and its last result.
struct CommitDetector {
    connection: Option<SqliteConnection>,
    /// The number of connections so far.
    connections: u64,
    /// The number of reads that had arrived before the last query.
    covered_reads: u64,
    state: FileState,
}

impl CommitDetector {
    async fn query(&mut self, options: &SqliteConnectOptions) -> sqlx::Result<FileState> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => {
                let connected = options.connect().await?;
                self.connections += 1;
                self.connection.insert(connected)
            }
        };
        let select = sqlx::query_scalar("PRAGMA data_version");
        let version = select.fetch_one(connection).await;
        if version.is_err() {
            self.connection = None;
        }
        Ok(FileState {
            connection: self.connections,
            version: version?,
        })
    }
}

struct Entries {
    state: FileState,
    bytes: usize,
    versions: HashMap<VersionSelector, Arc<SealedVersion>>,
}

impl Cache {
    /// An empty cache of the file that these options open.
    pub(super) fn new(options: Arc<SqliteConnectOptions>) -> Self {
        // Connections are counted from 1.
        let state = FileState::default();
        Self {
            options,
            arrived: AtomicU64::new(0),
            detector: tokio::sync::Mutex::new(CommitDetector {
                connection: None,
                connections: 0,
                covered_reads: 0,
                state,
            }),
            entries: Mutex::new(Entries {
                state,
                bytes: 0,
                versions: HashMap::new(),
            }),
        }
    }

    /// The current state of the file. One query serves all reads that wait for it.
    ///
    /// # Errors
    /// sqlx's error.
    pub(super) async fn state(&self) -> sqlx::Result<FileState> {
        let read = self.arrived.fetch_add(1, Ordering::SeqCst) + 1;
        let mut detector = self.detector.lock().await;
        if detector.covered_reads >= read {
            return Ok(detector.state);
        }
        let arrived = self.arrived.load(Ordering::SeqCst);
        let state = detector.query(&self.options).await?;
        detector.covered_reads = arrived;
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

    /// A cached version of a state.
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

    /// Caches a version that was read after the file was in this state.
    pub(super) fn insert(
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
    async fn caches_a_version_until_any_commit() {
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
    async fn drops_a_version_read_before_a_commit() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder).await;
        put(&store, "one").await;
        store.read_cached("a", None, None).await.unwrap();
        let before = store.cache.state().await.unwrap();
        let old = store.cache.get(before, &selector()).unwrap();
        put(&store, "two").await;
        let after = store.cache.state().await.unwrap();
        store.cache.insert(before, selector(), &old);
        assert!(store.cache.get(after, &selector()).is_none());
    }

    #[tokio::test]
    async fn a_new_connection_starts_empty() {
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
