//! The journal in an SQLite file: the default, for one machine. The worker and the command line
//! share it, each from its own process.
//!
//! What can go wrong, and what prevents it:
//! - a read and the write that follows from it are torn apart by another process: every writing
//!   method is one `BEGIN IMMEDIATE` transaction, and every reading one a snapshot;
//! - many tasks of one process poll for the file's lock and starve: writes go through one
//!   connection, where they queue in order; other processes are waited for (`BUSY`);
//! - two processes make the tables at once: migrations run inside such a transaction too;
//! - a time is not the same after it was read back: microseconds here, and the worker's clock gives
//!   no finer ones;
//! - somebody else on the machine reads who rotates what: the file is made with mode 0600.

mod claim;
mod record;
mod rows;

use std::collections::HashMap;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::sqlite::{
    Sqlite, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Transaction};
use uuid::Uuid;

use super::{
    Claim, ClaimRequest, Journal, JournalError, Outcome, RotationMemory, Run, RunQuery, Seen, Step,
};
use crate::code::Problem;
use crate::store::VersionId;

/// How long a write waits for another process to let go of the file. Every transaction here is
/// over in milliseconds; this is for a machine that is paging.
const BUSY: Duration = Duration::from_secs(10);

/// Between two tries to open a file that another process is making.
const TRY_AGAIN: Duration = Duration::from_millis(10);

/// Connections that only read.
const READERS: u32 = 4;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("migrations/sqlite");

/// A journal in an SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteJournal {
    path: PathBuf,
    writer: SqlitePool,
    readers: SqlitePool,
}

impl SqliteJournal {
    /// Opens the journal; makes the file (mode 0600) and its tables where they are missing. The
    /// folder must be there.
    ///
    /// # Errors
    /// [`JournalError`] when the file cannot be made, read or written, is no journal, or was made
    /// by a newer version.
    pub async fn open(path: &Path) -> Result<Self, JournalError> {
        create_private(path).map_err(|error| fault(path, error))?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(BUSY)
            .foreign_keys(true)
            // A power cut may lose the last transactions but never tears one: history, no more.
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .disable_statement_logging();
        let writer = first_connection(&options)
            .await
            .map_err(|error| fault(path, error))?;
        let journal = Self {
            path: path.to_owned(),
            writer,
            readers: SqlitePoolOptions::new()
                .max_connections(READERS)
                .connect_lazy_with(options),
        };
        journal.migrate().await?;
        Ok(journal)
    }

    async fn migrate(&self) -> Result<(), JournalError> {
        let mut tx = self.write().await?;
        MIGRATIONS
            .run_direct(None, &mut *tx, false)
            .await
            .map_err(|error| self.fault(error))?;
        self.commit(tx).await
    }

    pub(super) async fn write(&self) -> Result<Transaction<'static, Sqlite>, JournalError> {
        self.writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(|error| self.fault(error))
    }

    async fn read(&self) -> Result<Transaction<'static, Sqlite>, JournalError> {
        self.readers
            .begin()
            .await
            .map_err(|error| self.fault(error))
    }

    async fn commit(&self, tx: Transaction<'static, Sqlite>) -> Result<(), JournalError> {
        tx.commit().await.map_err(|error| self.fault(error))
    }

    fn fault(&self, error: impl Into<Reason>) -> JournalError {
        fault(&self.path, error)
    }
}

/// Why a journal cannot be used, before it is said which.
#[derive(Debug)]
struct Reason(String);

impl Reason {
    /// A run is not there, or not in the state that the request takes for granted.
    fn run(id: Uuid, why: &str) -> Self {
        Self(format!("run {id} {why}"))
    }
}

// Neither SQLite's messages nor sqlx's repeat what was bound to a statement.
impl From<sqlx::Error> for Reason {
    fn from(error: sqlx::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<sqlx::migrate::MigrateError> for Reason {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        Self(error.to_string())
    }
}

impl From<std::io::Error> for Reason {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

fn fault(path: &Path, error: impl Into<Reason>) -> JournalError {
    JournalError {
        reason: format!("{}: {}", path.display(), error.into().0),
    }
}

/// Makes the file readable by its owner alone; SQLite gives its companions (`-wal`, `-shm`) the
/// same mode. A file that is there keeps the mode it has.
fn create_private(path: &Path) -> std::io::Result<()> {
    // Closing a file drops all of this process's POSIX locks on it, SQLite's too. One at a time,
    // nobody can have opened the new file as a database before it is closed here.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let made = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match made {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// The writer. SQLite does not wait, as it does everywhere else, where two connections turn a new
/// file into a write-ahead-logged one at once: one of them is told at once that it is busy.
async fn first_connection(options: &SqliteConnectOptions) -> sqlx::Result<SqlitePool> {
    let mut tries = BUSY.as_millis() / TRY_AGAIN.as_millis();
    loop {
        let connected = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options.clone())
            .await;
        match connected {
            Err(error) if tries > 0 && is_busy(&error) => {
                tries -= 1;
                tokio::time::sleep(TRY_AGAIN).await;
            }
            settled => return settled,
        }
    }
}

/// `SQLITE_BUSY`, or one of its extended codes: <https://www.sqlite.org/rescode.html#busy>.
fn is_busy(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(|error| error.code()?.parse::<u32>().ok())
        .is_some_and(|code| code & 0xff == 5)
}

#[async_trait]
impl Journal for SqliteJournal {
    async fn claim(&self, request: &ClaimRequest) -> Result<Claim, JournalError> {
        let mut tx = self.write().await?;
        let claim = claim::claim(&mut tx, request)
            .await
            .map_err(|error| self.fault(error))?;
        self.commit(tx).await?;
        Ok(claim)
    }

    async fn renew(
        &self,
        run: Uuid,
        worker: &str,
        now: DateTime<Utc>,
        lease: Duration,
    ) -> Result<bool, JournalError> {
        let mut tx = self.write().await?;
        let held = claim::renew(&mut tx, run, worker, now, lease)
            .await
            .map_err(|error| self.fault(error))?;
        self.commit(tx).await?;
        Ok(held)
    }

    async fn step(&self, run: Uuid, step: &Step) -> Result<(), JournalError> {
        let mut tx = self.write().await?;
        record::step(&mut tx, run, step)
            .await
            .map_err(|error| self.fault(error))?;
        self.commit(tx).await
    }

    async fn seen(
        &self,
        run: Option<Uuid>,
        rotation: &str,
        seen: &Seen,
    ) -> Result<(), JournalError> {
        let mut tx = self.write().await?;
        record::seen(&mut tx, run, rotation, seen)
            .await
            .map_err(|error| self.fault(error))?;
        self.commit(tx).await
    }

    async fn finish(&self, run: Uuid, outcome: &Outcome) -> Result<(), JournalError> {
        let mut tx = self.write().await?;
        record::finish(&mut tx, run, outcome)
            .await
            .map_err(|error| self.fault(error))?;
        self.commit(tx).await
    }

    async fn missed(&self, request: &ClaimRequest, why: &Problem) -> Result<(), JournalError> {
        let mut tx = self.write().await?;
        record::missed(&mut tx, request, why)
            .await
            .map_err(|error| self.fault(error))?;
        self.commit(tx).await
    }

    async fn flipped(&self, rotation: &str, at: DateTime<Utc>) -> Result<(), JournalError> {
        let mut tx = self.write().await?;
        record::flipped(&mut tx, rotation, at)
            .await
            .map_err(|error| self.fault(error))?;
        self.commit(tx).await
    }

    async fn run(&self, id: Uuid) -> Result<Option<Run>, JournalError> {
        let mut tx = self.read().await?;
        rows::run(&mut tx, id)
            .await
            .map_err(|error| self.fault(error))
    }

    async fn run_of(
        &self,
        rotation: &str,
        version: &VersionId,
    ) -> Result<Option<Run>, JournalError> {
        let mut tx = self.read().await?;
        rows::by_version(&mut tx, rotation, version)
            .await
            .map_err(|error| self.fault(error))
    }

    async fn runs(&self, query: &RunQuery) -> Result<Vec<Run>, JournalError> {
        let mut tx = self.read().await?;
        rows::list(&mut tx, query)
            .await
            .map_err(|error| self.fault(error))
    }

    async fn memory(&self) -> Result<HashMap<String, RotationMemory>, JournalError> {
        let mut tx = self.read().await?;
        rows::memory(&mut tx, None)
            .await
            .map_err(|error| self.fault(error))
    }

    async fn memory_of(&self, rotation: &str) -> Result<Option<RotationMemory>, JournalError> {
        let mut tx = self.read().await?;
        let mut memory = rows::memory(&mut tx, Some(rotation))
            .await
            .map_err(|error| self.fault(error))?;
        Ok(memory.remove(rotation))
    }

    async fn sweep(&self, now: DateTime<Utc>) -> Result<Vec<Run>, JournalError> {
        let mut tx = self.write().await?;
        let ended = record::sweep(&mut tx, now)
            .await
            .map_err(|error| self.fault(error))?;
        self.commit(tx).await?;
        Ok(ended)
    }

    async fn first_seen(
        &self,
        rotations: &[String],
        now: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        let mut tx = self.write().await?;
        record::first_seen(&mut tx, rotations, now)
            .await
            .map_err(|error| self.fault(error))?;
        self.commit(tx).await
    }

    async fn set_paused(&self, rotation: &str, paused: bool) -> Result<(), JournalError> {
        let mut tx = self.write().await?;
        record::set_paused(&mut tx, rotation, paused)
            .await
            .map_err(|error| self.fault(error))?;
        self.commit(tx).await
    }

    async fn ping(&self) -> Result<(), JournalError> {
        // SQLite goes on writing to a file that was deleted: nobody would ever read that again.
        tokio::fs::metadata(&self.path)
            .await
            .map_err(|error| self.fault(error))?;
        let mut tx = self.read().await?;
        rows::run(&mut tx, Uuid::nil())
            .await
            .map_err(|error| self.fault(error))?;
        let tx = self.write().await?;
        tx.rollback().await.map_err(|error| self.fault(error))
    }
}
