//! The journal in an SQLite file: the default, for one machine. The worker and the command line
//! share it, each from its own process.
//!
//! What can go wrong, and what prevents it:
//! - a read and the write that follows from it are torn apart by another process: every writing
//!   method is one `BEGIN IMMEDIATE` transaction, or one statement, and every reading one a snapshot;
//! - a time is not the same after it was read back: microseconds here, and the worker's clock gives
//!   no finer ones;
//! - two workers share the file and believe that their limits are the only ones: a second one is refused
//!   ([`occupy`]); commands beside a worker are not.
//!
//! How the file is opened, and what is prevented there: [`crate::sqlite`].

mod claim;
mod occupy;
mod record;
mod rows;

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::Transaction;
use sqlx::sqlite::{Sqlite, SqliteSynchronous};
use uuid::Uuid;

use super::fault::Reason;
use super::{
    Claim, ClaimRequest, Hold, Journal, JournalError, Note, Outcome, RotationMemory, Run, RunQuery,
    Seen,
};
use twinkey_stores::VersionId;
use twinkey_stores::sqlite::{self, Database, Writer};

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("migrations/sqlite");

/// A journal in an SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteJournal {
    path: PathBuf,
    database: Database,
    /// Held while this process is the worker.
    post: Arc<OnceLock<File>>,
}

impl SqliteJournal {
    /// Opens the journal; makes the file (mode 0600) and its tables where they are missing. The
    /// folder must be there.
    ///
    /// # Errors
    /// [`JournalError`] when the file cannot be made, read or written, is no journal, or was made
    /// by a newer version.
    pub async fn open(path: &Path) -> Result<Self, JournalError> {
        // A power cut may lose the last transactions but never tears one: history, no more.
        let database = Database::open(path, SqliteSynchronous::Normal, &MIGRATIONS)
            .await
            .map_err(|error| Reason::from(error).of(path.display().to_string()))?;
        Ok(Self {
            path: path.to_owned(),
            database,
            post: Arc::default(),
        })
    }

    pub(super) async fn writer(&self) -> Result<Writer, JournalError> {
        let writer = self.database.writer().await;
        writer.map_err(|error| self.fault(error))
    }

    pub(super) async fn write<'a>(
        &self,
        writer: &'a mut Writer,
    ) -> Result<Transaction<'a, Sqlite>, JournalError> {
        sqlite::write(writer)
            .await
            .map_err(|error| self.fault(error))
    }

    async fn read(&self) -> Result<Transaction<'static, Sqlite>, JournalError> {
        let snapshot = self.database.read().await;
        snapshot.map_err(|error| self.fault(error))
    }

    async fn commit(&self, tx: Transaction<'_, Sqlite>) -> Result<(), JournalError> {
        tx.commit().await.map_err(|error| self.fault(error))
    }

    fn fault(&self, error: impl Into<Reason>) -> JournalError {
        error.into().of(self.path.display().to_string())
    }
}

#[async_trait]
impl Journal for SqliteJournal {
    async fn occupy(&self, worker: &str) -> Result<(), JournalError> {
        let file = occupy::occupy(&self.path, worker)?;
        // Never set already: that would have held the lock.
        let _ = self.post.set(file);
        Ok(())
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Claim, JournalError> {
        let mut writer = self.writer().await?;
        let mut tx = self.write(&mut writer).await?;
        let claim = claim::claim(&mut tx, request)
            .await
            .map_err(|error| self.fault(error))?;
        self.commit(tx).await?;
        Ok(claim)
    }

    async fn renew(
        &self,
        hold: Hold,
        now: DateTime<Utc>,
        lease: Duration,
    ) -> Result<bool, JournalError> {
        let mut writer = self.writer().await?;
        let mut tx = self.write(&mut writer).await?;
        let held = claim::renew(&mut tx, hold, now, lease)
            .await
            .map_err(|error| self.fault(error))?;
        self.commit(tx).await?;
        Ok(held)
    }

    async fn note(&self, hold: Hold, note: &Note) -> Result<(), JournalError> {
        let mut writer = self.writer().await?;
        if note.seen.is_none() {
            // One statement, which is a transaction of its own.
            let noted = record::note(&mut writer, hold, note).await;
            return noted.map_err(|error| self.fault(error));
        }
        let mut tx = self.write(&mut writer).await?;
        record::note(&mut tx, hold, note)
            .await
            .map_err(|error| self.fault(error))?;
        self.commit(tx).await
    }

    async fn seen(&self, rotation: &str, seen: &Seen) -> Result<(), JournalError> {
        let mut writer = self.writer().await?;
        let mut tx = self.write(&mut writer).await?;
        record::seen(&mut tx, rotation, seen)
            .await
            .map_err(|error| self.fault(error))?;
        self.commit(tx).await
    }

    async fn finish(&self, hold: Hold, note: &Note, outcome: &Outcome) -> Result<(), JournalError> {
        let mut writer = self.writer().await?;
        let mut tx = self.write(&mut writer).await?;
        record::conclude(&mut tx, hold, note, outcome)
            .await
            .map_err(|error| self.fault(error))?;
        self.commit(tx).await
    }

    async fn end_window(
        &self,
        request: &ClaimRequest,
        outcome: &Outcome,
    ) -> Result<Option<Run>, JournalError> {
        let mut writer = self.writer().await?;
        let mut tx = self.write(&mut writer).await?;
        let ended = record::end_window(&mut tx, request, outcome)
            .await
            .map_err(|error| self.fault(error))?;
        self.commit(tx).await?;
        Ok(ended)
    }

    async fn retired(&self, rotation: &str, at: DateTime<Utc>) -> Result<(), JournalError> {
        let mut writer = self.writer().await?;
        let mut tx = self.write(&mut writer).await?;
        record::retired(&mut tx, rotation, at)
            .await
            .map_err(|error| self.fault(error))?;
        self.commit(tx).await
    }

    async fn flipped(&self, rotation: &str, at: DateTime<Utc>) -> Result<(), JournalError> {
        let mut writer = self.writer().await?;
        let mut tx = self.write(&mut writer).await?;
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
        let mut writer = self.writer().await?;
        let mut tx = self.write(&mut writer).await?;
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
        let mut writer = self.writer().await?;
        let mut tx = self.write(&mut writer).await?;
        record::first_seen(&mut tx, rotations, now)
            .await
            .map_err(|error| self.fault(error))?;
        self.commit(tx).await
    }

    async fn set_paused(&self, rotation: &str, paused: bool) -> Result<(), JournalError> {
        let mut writer = self.writer().await?;
        let mut tx = self.write(&mut writer).await?;
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
        let mut writer = self.writer().await?;
        self.write(&mut writer).await.map(drop)
    }

    async fn close(&self) {
        self.database.close().await;
    }
}
