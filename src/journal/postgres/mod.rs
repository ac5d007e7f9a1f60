//! The journal in a PostgreSQL (13 or later): any number of workers share it, on any machines.
//!
//! What can go wrong, and what prevents it:
//! - two workers claim one rotation: a claim holds the rotation's row from its beginning to its end;
//! - workers' clocks differ, and one takes a live lease for one that ran out: leases are granted and judged by the
//!   server's clock, which they all share;
//! - two workers end what nobody works on any more: each row is one worker's (`SKIP LOCKED`), and nobody waits
//!   for another;
//! - two transactions wait for each other: whoever needs both takes the rotation's row before the run's, and
//!   many rotations in the order of their names;
//! - the server, or the network, falls silent: each call has a limit here, and each statement one in the server
//!   ([`connect`]);
//! - limits that each worker keeps add up to more than one: they are kept here too ([`quota`], [`places`]);
//! - a reason holds a character that PostgreSQL cannot store: it is replaced.
//!
//! A run is read as one JSON document, the one that users see (the view `run_documents`).

mod claim;
mod connect;
pub(super) mod places;
pub(super) mod quota;
mod record;
mod rows;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, Utc};
use sqlx::Transaction;
use sqlx::postgres::{PgPool, Postgres};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::fault::Reason;
use super::{
    Claim, ClaimRequest, Hold, Journal, JournalError, Note, Outcome, RotationMemory, Run, RunQuery,
    Seen, SharedLimits,
};
use crate::config::settings::PostgresLocation;
use twinkey_stores::VersionId;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("migrations/postgres");

/// How long a call may take, connecting included.
const LIMIT: Duration = Duration::from_secs(15);
/// How long a call of a run that is on may take: it waits for it, and its lease runs.
const URGENT_LIMIT: Duration = Duration::from_secs(3);

/// Wait for the calls in flight when the journal is closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// A journal in a PostgreSQL. Cheap to clone.
#[derive(Clone)]
pub struct PostgresJournal {
    /// For messages: host, port and database.
    name: String,
    pool: PgPool,
    /// For runs that are on, which must not wait in a line with everything else.
    urgent: PgPool,
    /// Places at hosts that are being given back.
    releases: TaskTracker,
    /// How leases are told the caller's time. `None`, but for tests, which move the time: they go by the server's.
    callers_time: Option<fn(DateTime<Utc>) -> String>,
}

impl PostgresJournal {
    /// Connects, and makes the tables where they are missing. Several may do so at once.
    ///
    /// # Errors
    /// [`JournalError`] when the server cannot be reached or refuses, or the tables are a newer version's.
    pub async fn open(location: &PostgresLocation) -> Result<Self, JournalError> {
        Self::open_by(location, None).await
    }

    /// Whose leases go by the time that each call is told.
    #[cfg(test)]
    pub(super) async fn for_tests(location: &PostgresLocation) -> Self {
        Self::open_by(location, Some(time)).await.unwrap()
    }

    async fn open_by(
        location: &PostgresLocation,
        callers_time: Option<fn(DateTime<Utc>) -> String>,
    ) -> Result<Self, JournalError> {
        let name = location.to_string();
        let [pool, urgent] = connect::pools(location).map_err(|reason| reason.of(&name))?;
        let journal = Self {
            name,
            pool,
            urgent,
            releases: TaskTracker::new(),
            callers_time,
        };
        journal
            .limited(async {
                let mut connection = journal.pool.acquire().await?;
                let done = MIGRATIONS.run_direct(None, &mut *connection, false).await;
                done.map_err(sqlx::Error::from)?;
                Ok(())
            })
            .await?;
        Ok(journal)
    }

    /// The outcome of a call, or that it took too long.
    async fn limited<T>(
        &self,
        call: impl Future<Output = Result<T, Reason>>,
    ) -> Result<T, JournalError> {
        self.within(LIMIT, call).await
    }

    /// The outcome of a call of a run that is on.
    async fn urgent<T>(
        &self,
        call: impl Future<Output = Result<T, Reason>>,
    ) -> Result<T, JournalError> {
        self.within(URGENT_LIMIT, call).await
    }

    async fn within<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<T, Reason>>,
    ) -> Result<T, JournalError> {
        match tokio::time::timeout(limit, call).await {
            Ok(result) => result.map_err(|reason| reason.of(&self.name)),
            Err(_) => Err(Reason::Other(format!("no answer within {limit:?}")).of(&self.name)),
        }
    }

    /// The time by which leases are granted and judged; the server's own for `None`.
    fn lease_now(&self, now: DateTime<Utc>) -> Option<String> {
        self.callers_time.map(|time| time(now))
    }

    async fn begin(&self) -> sqlx::Result<Transaction<'static, Postgres>> {
        self.pool.begin().await
    }
}

/// As PostgreSQL reads a time, with all its microseconds.
fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// A text that PostgreSQL can store: it has no character U+0000.
fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

#[async_trait]
impl Journal for PostgresJournal {
    async fn occupy(&self, _worker: &str) -> Result<(), JournalError> {
        Ok(())
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn shared_limits(&self, writes_per_second: NonZeroU32) -> Option<SharedLimits> {
        Some(SharedLimits {
            store_writes: Arc::new(quota::SharedPace::new(self.clone(), writes_per_second)),
            hosts: Arc::new(places::Places::new(self.clone())),
        })
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Claim, JournalError> {
        self.limited(async {
            let mut tx = self.begin().await?;
            let claim = claim::claim(&mut tx, request, self.lease_now(request.now)).await?;
            tx.commit().await?;
            Ok(claim)
        })
        .await
    }

    async fn renew(
        &self,
        hold: Hold,
        now: DateTime<Utc>,
        lease: Duration,
    ) -> Result<bool, JournalError> {
        let now = self.lease_now(now);
        self.urgent(claim::renew(&self.urgent, hold, now, lease))
            .await
    }

    async fn note(&self, hold: Hold, note: &Note) -> Result<(), JournalError> {
        self.urgent(async {
            let mut tx = self.urgent.begin().await?;
            record::note(&mut tx, hold, note).await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    async fn seen(&self, rotation: &str, seen: &Seen) -> Result<(), JournalError> {
        self.limited(record::seen(&self.pool, rotation, seen)).await
    }

    async fn finish(&self, hold: Hold, note: &Note, outcome: &Outcome) -> Result<(), JournalError> {
        self.urgent(async {
            let mut tx = self.urgent.begin().await?;
            record::conclude(&mut tx, hold, note, outcome).await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    async fn sweep(&self, now: DateTime<Utc>) -> Result<Vec<Run>, JournalError> {
        self.limited(async {
            let mut tx = self.begin().await?;
            let ended = record::sweep(&mut tx, now, self.lease_now(now)).await?;
            tx.commit().await?;
            Ok(ended)
        })
        .await
    }

    async fn end_window(
        &self,
        request: &ClaimRequest,
        outcome: &Outcome,
    ) -> Result<Option<Run>, JournalError> {
        self.limited(async {
            let mut tx = self.begin().await?;
            let now = self.lease_now(request.now);
            let ended = record::end_window(&mut tx, request, outcome, now).await?;
            tx.commit().await?;
            Ok(ended)
        })
        .await
    }

    async fn retired(&self, rotation: &str, at: DateTime<Utc>) -> Result<(), JournalError> {
        self.limited(record::retired(&self.pool, rotation, at))
            .await
    }

    async fn flipped(&self, rotation: &str, at: DateTime<Utc>) -> Result<(), JournalError> {
        self.limited(record::flipped(&self.pool, rotation, at))
            .await
    }

    async fn run(&self, id: Uuid) -> Result<Option<Run>, JournalError> {
        self.limited(rows::run(&self.pool, id)).await
    }

    async fn run_of(
        &self,
        rotation: &str,
        version: &VersionId,
    ) -> Result<Option<Run>, JournalError> {
        self.limited(rows::by_version(&self.pool, rotation, version))
            .await
    }

    async fn runs(&self, query: &RunQuery) -> Result<Vec<Run>, JournalError> {
        self.limited(rows::list(&self.pool, query)).await
    }

    async fn memory(&self) -> Result<HashMap<String, RotationMemory>, JournalError> {
        self.limited(rows::memory(&self.pool, None)).await
    }

    async fn memory_of(&self, rotation: &str) -> Result<Option<RotationMemory>, JournalError> {
        let memory = self.limited(rows::memory(&self.pool, Some(rotation)));
        Ok(memory.await?.remove(rotation))
    }

    async fn first_seen(
        &self,
        rotations: &[String],
        now: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        self.limited(record::first_seen(&self.pool, rotations, now))
            .await
    }

    async fn set_paused(&self, rotation: &str, paused: bool) -> Result<(), JournalError> {
        self.limited(record::set_paused(&self.pool, rotation, paused))
            .await
    }

    async fn ping(&self) -> Result<(), JournalError> {
        self.urgent(rows::writable(&self.urgent)).await
    }

    async fn close(&self) {
        let closing = async {
            self.releases.close();
            self.releases.wait().await;
            self.pool.close().await;
            self.urgent.close().await;
        };
        if tokio::time::timeout(CLOSE_TIMEOUT, closing).await.is_err() {
            tracing::debug!(journal = self.name, "journal not closed in time");
        }
    }
}
