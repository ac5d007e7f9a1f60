//! Journal in an SQLite file: the default, for one machine. The worker and commands share the file,
//! each from its own process.
//!
//! [`twinkey_stores::sqlite`] opens the file.
//!
//! # Failure modes
//! - Another process changes the file between a read and the write that depends on it. Every
//!   writing method is one `BEGIN IMMEDIATE` transaction or one statement; every reading one is a
//!   snapshot.
//! - A time differs after it was read back. Columns hold microseconds, and the clock reports no
//!   smaller unit.
//! - The file is deleted or replaced while a worker uses it. SQLite continues with the deleted file,
//!   where no command writes. Each call compares the file at the path with the opened one.
//! - The disk is full, and only the next run notices. [`Journal::ping`] writes a row.
//! - Two workers share the file, and each applies its limits alone. A second worker is refused
//!   ([`worker_lock`]); commands are not.
//! - A killed process holds its lease for some seconds more. Its lease ends with it
//!   ([`process_lock`]).

mod audit;
mod claim;
mod decode;
mod discovered;
mod finish;
mod keyed_requests;
mod known_versions;
mod pairs;
mod process_lock;
mod prune;
mod record;
mod renames;
mod rows;
mod worker_lock;

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::sqlite::{Sqlite, SqliteSynchronous};
use sqlx::{SqliteConnection, Transaction};
use uuid::Uuid;

use self::process_lock::ProcessLocks;
use super::error::TransactionError;
use super::{
    ArmingChange, AuditQuery, AuditRecord, Claim, ClaimRequest, ClaimToken, CurrentRefusal,
    Journal, JournalError, KeyedRequest, KeyedState, KnownSecret, KnownVersion, LabelledVersion,
    Listing, ListingClaim, ListingState, Note, Outcome, PairRecord, Pause, Pruned, RecordChanges,
    Rename, Revision, RotationRecord, RotationSecret, Run, RunQuery, SecretSummary,
};
use twinkey_core::code::Problem;
use twinkey_stores::VersionId;
use twinkey_stores::sqlite::{self, Database, Writer};

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("migrations/sqlite");

/// Journal in an SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteJournal {
    path: PathBuf,
    database: Database,
    /// The file that was opened; `None`: in memory.
    file: Option<FileId>,
    /// Set while this process is the worker.
    worker_lock: Arc<OnceLock<File>>,
    process_locks: ProcessLocks,
}

impl SqliteJournal {
    /// Opens the journal, and creates the file (mode 0600) and its tables where they are missing.
    /// The folder must exist.
    ///
    /// # Errors
    /// [`JournalError`] if the file cannot be created, read or written, is no journal, or was
    /// created by a newer version.
    pub async fn open(path: &Path) -> Result<Self, JournalError> {
        // A power cut may lose the last transactions, which are history, but never a part of one.
        let database = Database::open(path, SqliteSynchronous::Normal, &MIGRATIONS)
            .await
            .map_err(|error| {
                TransactionError::from(error).in_journal(path.display().to_string())
            })?;
        let file = FileId::of(path).map_err(|error| {
            TransactionError::from(error).in_journal(path.display().to_string())
        })?;
        Ok(Self::with(path, database, Some(file)))
    }

    /// An empty journal in memory, for commands that read and find no file at `path`.
    ///
    /// # Errors
    /// [`JournalError`] if the file cannot be created, or SQLite fails.
    pub async fn empty(path: &Path) -> Result<Self, JournalError> {
        let database = Database::in_place_of(path, &MIGRATIONS).await;
        let database = database.map_err(|error| {
            TransactionError::from(error).in_journal(path.display().to_string())
        })?;
        Ok(Self::with(path, database, None))
    }

    fn with(path: &Path, database: Database, file: Option<FileId>) -> Self {
        Self {
            path: path.to_owned(),
            database,
            file,
            worker_lock: Arc::default(),
            process_locks: ProcessLocks::default(),
        }
    }

    /// Fails unless the path still leads to the opened file.
    fn check_file(&self) -> Result<(), JournalError> {
        match &self.file {
            Some(opened) if !FileId::of(&self.path).is_ok_and(|now| now == *opened) => {
                Err(JournalError::Replaced {
                    journal: self.path.display().to_string(),
                })
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn writer(&self) -> Result<Writer, JournalError> {
        self.check_file()?;
        let writer = self.database.writer().await;
        writer.map_err(|error| self.error(error))
    }

    pub(super) async fn write<'a>(
        &self,
        writer: &'a mut Writer,
    ) -> Result<Transaction<'a, Sqlite>, JournalError> {
        sqlite::write(writer)
            .await
            .map_err(|error| self.error(error))
    }

    /// Executes `read` on one snapshot.
    async fn snapshot<T>(
        &self,
        read: impl AsyncFnOnce(&mut SqliteConnection) -> sqlx::Result<T>,
    ) -> Result<T, JournalError> {
        self.check_file()?;
        let read = async { read(&mut *self.database.read().await?).await };
        read.await.map_err(|error| self.error(error))
    }

    /// Executes `write` in one transaction.
    async fn in_transaction<T, E: Into<TransactionError>>(
        &self,
        write: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, E>,
    ) -> Result<T, JournalError> {
        let mut writer = self.writer().await?;
        let mut tx = self.write(&mut writer).await?;
        let written = write(&mut tx).await.map_err(|error| self.error(error))?;
        tx.commit().await.map_err(|error| self.error(error))?;
        Ok(written)
    }

    /// Executes `write` and adds the record of what it does.
    async fn recorded(
        &self,
        record: &AuditRecord,
        write: impl AsyncFnOnce(&mut SqliteConnection) -> Result<(), TransactionError>,
    ) -> Result<(), JournalError> {
        self.in_transaction(async |db| {
            write(db).await?;
            audit::append(db, record).await
        })
        .await
    }

    fn error(&self, error: impl Into<TransactionError>) -> JournalError {
        error.into().in_journal(self.path.display().to_string())
    }
}

/// Identity of a file, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn of(path: &Path) -> std::io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }
}

#[async_trait]
impl Journal for SqliteJournal {
    async fn register_worker(&self, worker: &str) -> Result<(), JournalError> {
        let file = worker_lock::acquire(&self.path, worker)?;
        // Not set before: the lock would have been taken.
        let _ = self.worker_lock.set(file);
        let mut writer = self.writer().await?;
        match prune::rewrite_once(&mut writer).await {
            Ok(true) => {
                tracing::info!(journal = %self.path.display(), "journal file rewritten once");
            }
            Ok(false) => {}
            // The disk may be full, or a command may use the file. The next start tries again.
            Err(error) => {
                tracing::warn!(journal = %self.path.display(), %error, "journal file not rewritten: it does not shrink");
            }
        }
        Ok(())
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Claim, JournalError> {
        if self.file.is_some() {
            let held = self.process_locks.hold(&self.path, &request.worker);
            held.map_err(|error| self.error(error))?;
        }
        self.in_transaction(async |db| claim::claim(db, request, &self.path).await)
            .await
    }

    async fn renew(
        &self,
        token: ClaimToken,
        now: DateTime<Utc>,
        lease: Duration,
    ) -> Result<bool, JournalError> {
        self.in_transaction(async |db| claim::renew(db, token, now, lease).await)
            .await
    }

    async fn note(&self, token: ClaimToken, note: &Note) -> Result<(), JournalError> {
        if note.seen.is_none() {
            // A single statement is a transaction of its own.
            let mut writer = self.writer().await?;
            let noted = record::note(&mut writer, token, note).await;
            return noted.map_err(|error| self.error(error));
        }
        self.in_transaction(async |db| record::note(db, token, note).await)
            .await
    }

    async fn seen(&self, rotation: &str, seen: &SecretSummary) -> Result<(), JournalError> {
        self.in_transaction(async |db| record::seen(db, rotation, seen).await)
            .await
    }

    async fn finish(
        &self,
        token: ClaimToken,
        note: &Note,
        outcome: &Outcome,
    ) -> Result<(), JournalError> {
        self.in_transaction(async |db| finish::record_and_finish(db, token, note, outcome).await)
            .await
    }

    async fn end_window(
        &self,
        request: &ClaimRequest,
        outcome: &Outcome,
    ) -> Result<Option<Run>, JournalError> {
        self.in_transaction(async |db| finish::end_window(db, request, outcome).await)
            .await
    }

    async fn retired(&self, rotation: &str, record: &AuditRecord) -> Result<(), JournalError> {
        self.recorded(record, async |db| {
            record::retired(db, rotation, record.at).await
        })
        .await
    }

    async fn current_refused(
        &self,
        rotation: &str,
        refusal: &CurrentRefusal,
    ) -> Result<(), JournalError> {
        self.in_transaction(async |db| record::current_refused(db, rotation, refusal).await)
            .await
    }

    async fn current_accepted(&self, rotation: &str) -> Result<(), JournalError> {
        let mut writer = self.writer().await?;
        // A single statement is a transaction of its own.
        let accepted = record::current_accepted(&mut writer, rotation).await;
        accepted.map_err(|error| self.error(error))
    }

    async fn flipped(
        &self,
        rotation: &str,
        version: &VersionId,
        seen: &SecretSummary,
        record: &AuditRecord,
    ) -> Result<(), JournalError> {
        self.recorded(record, async |db| {
            record::flipped(db, rotation, record.at).await?;
            known_versions::flipped(db, rotation, version).await?;
            record::seen(db, rotation, seen).await
        })
        .await
    }

    async fn known_version(&self, seen: &LabelledVersion) -> Result<KnownVersion, JournalError> {
        self.snapshot(async |db| known_versions::known(db, seen).await)
            .await
    }

    async fn label_moved(
        &self,
        seen: &LabelledVersion,
        from: Option<&VersionId>,
        record: &AuditRecord,
    ) -> Result<bool, JournalError> {
        self.in_transaction(async |db| known_versions::moved(db, seen, from, record).await)
            .await
    }

    async fn append(&self, record: &AuditRecord) -> Result<(), JournalError> {
        self.recorded(record, async |_| Ok(())).await
    }

    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditRecord>, JournalError> {
        self.snapshot(async |db| audit::list(db, query).await).await
    }

    async fn run(&self, id: Uuid) -> Result<Option<Run>, JournalError> {
        self.snapshot(async |db| rows::run(db, id).await).await
    }

    async fn run_of(
        &self,
        rotation: &str,
        version: &VersionId,
    ) -> Result<Option<Run>, JournalError> {
        self.snapshot(async |db| rows::by_version(db, rotation, version).await)
            .await
    }

    async fn runs(&self, query: &RunQuery) -> Result<Vec<Run>, JournalError> {
        self.snapshot(async |db| rows::list(db, query).await).await
    }

    async fn rotation_records(&self) -> Result<HashMap<String, RotationRecord>, JournalError> {
        self.snapshot(async |db| rows::rotation_records(db, None).await)
            .await
    }

    async fn rotation_records_of(
        &self,
        rotations: &[&str],
    ) -> Result<HashMap<String, RotationRecord>, JournalError> {
        self.snapshot(async |db| rows::rotation_records(db, Some(rotations)).await)
            .await
    }

    async fn changed_rotations(
        &self,
        since: Option<Revision>,
    ) -> Result<RecordChanges, JournalError> {
        self.snapshot(async |db| rows::changed_rotations(db, since).await)
            .await
    }

    async fn rotation_record(
        &self,
        rotation: &str,
    ) -> Result<Option<RotationRecord>, JournalError> {
        let records = self.snapshot(async |db| rows::rotation_records(db, Some(&[rotation])).await);
        Ok(records.await?.remove(rotation))
    }

    async fn pairs(
        &self,
        server: &str,
        identity: Option<&str>,
        users: [&str; 2],
    ) -> Result<Vec<PairRecord>, JournalError> {
        self.snapshot(async |db| pairs::at_server(db, server, identity, users).await)
            .await
    }

    async fn all_pairs(&self) -> Result<Vec<PairRecord>, JournalError> {
        self.snapshot(async |db| pairs::all(db).await).await
    }

    async fn pairs_seen(&self, pairs: &[PairRecord]) -> Result<(), JournalError> {
        self.in_transaction(async |db| {
            for pair in pairs {
                pairs::seen(db, pair).await?;
            }
            Ok::<_, TransactionError>(())
        })
        .await
    }

    async fn record_pair(&self, pair: &PairRecord) -> Result<(), JournalError> {
        self.in_transaction(async |db| pairs::record(db, pair).await)
            .await
    }

    async fn sweep(&self, now: DateTime<Utc>) -> Result<Vec<Run>, JournalError> {
        self.in_transaction(async |db| {
            claim::free_exited(db, &self.path, now).await?;
            finish::sweep(db, now).await
        })
        .await
    }

    async fn rotation_secrets(&self) -> Result<Vec<RotationSecret>, JournalError> {
        self.snapshot(async |db| renames::secrets(db).await).await
    }

    async fn record_secrets(
        &self,
        rotations: &[(String, String)],
        now: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        self.in_transaction(async |db| renames::record(db, rotations, now).await)
            .await
    }

    async fn rename(&self, rename: &Rename) -> Result<(), JournalError> {
        self.in_transaction(async |db| renames::rename(db, rename).await)
            .await
    }

    async fn first_seen(
        &self,
        rotations: &[String],
        now: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        self.in_transaction(async |db| record::first_seen(db, rotations, now).await)
            .await
    }

    async fn set_paused(
        &self,
        rotation: &str,
        pause: Option<&Pause>,
        record: &AuditRecord,
    ) -> Result<(), JournalError> {
        self.recorded(record, async |db| {
            record::set_paused(db, rotation, pause).await
        })
        .await
    }

    async fn prune(&self, before: DateTime<Utc>, limit: u32) -> Result<Pruned, JournalError> {
        self.in_transaction(async |db| prune::prune(db, before, limit).await)
            .await
    }

    async fn compact(&self) -> Result<bool, JournalError> {
        let mut writer = self.writer().await?;
        let left = prune::compact(&mut writer).await;
        left.map_err(|error| self.error(error))
    }

    async fn begin_keyed(&self, request: &KeyedRequest) -> Result<KeyedState, JournalError> {
        self.in_transaction(async |db| keyed_requests::begin(db, request).await)
            .await
    }

    async fn end_keyed(
        &self,
        request: &KeyedRequest,
        answer: Option<&serde_json::Value>,
    ) -> Result<(), JournalError> {
        self.in_transaction(async |db| keyed_requests::end(db, request, answer).await)
            .await
    }

    async fn claim_listing(&self, claim: &ListingClaim) -> Result<bool, JournalError> {
        self.in_transaction(async |db| discovered::claim(db, claim).await)
            .await
    }

    async fn record_listing(
        &self,
        claim: &ListingClaim,
        listing: &Listing,
    ) -> Result<(), JournalError> {
        self.in_transaction(async |db| discovered::record(db, claim, listing).await)
            .await
    }

    async fn listing_failed(
        &self,
        claim: &ListingClaim,
        problem: &Problem,
    ) -> Result<(), JournalError> {
        self.in_transaction(async |db| discovered::fail(db, claim, problem).await)
            .await
    }

    async fn listings(&self) -> Result<Vec<ListingState>, JournalError> {
        self.snapshot(async |db| discovered::listings(db).await)
            .await
    }

    async fn known_secrets(&self) -> Result<Vec<KnownSecret>, JournalError> {
        self.snapshot(async |db| discovered::known(db).await).await
    }

    async fn record_arming(&self, changes: &[ArmingChange]) -> Result<(), JournalError> {
        self.in_transaction(async |db| discovered::arm(db, changes).await)
            .await
    }

    async fn ping(&self) -> Result<(), JournalError> {
        self.snapshot(async |db| rows::run(db, Uuid::nil()).await)
            .await?;
        let mut writer = self.writer().await?;
        let written = sqlx::query(
            "INSERT INTO pings (one, at) VALUES (1, unixepoch())
             ON CONFLICT (one) DO UPDATE SET at = excluded.at",
        );
        let written = written.execute(&mut *writer).await;
        written.map(drop).map_err(|error| self.error(error))
    }

    async fn close(&self) {
        self.database.close().await;
    }
}
