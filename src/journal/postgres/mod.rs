//! Journal in PostgreSQL 13 or later. Any number of workers on any machines share it.
//!
//! A run is read as one JSON document, the one that users see (the view `run_documents`).
//!
//! # Failure modes
//! - Two workers claim one rotation. A claim locks the rotation's row until the transaction ends.
//! - The clocks of workers differ, and one takes a live lease for an expired one. Leases are
//!   granted and judged by the server's clock.
//! - Two workers end the same abandoned runs. Each row is locked by one worker; others skip it
//!   (`SKIP LOCKED`).
//! - Two transactions wait for each other. Every transaction locks a rotation's row before the
//!   run's, and several rotations in the order of their names.
//! - The server or the network does not respond. Each call has a time limit here, and each
//!   statement has one in the server ([`connect`]).
//! - Limits of single workers add up to more than the limit. They are kept in the journal
//!   ([`store_quota`], [`host_slots`]).
//! - A reason holds a character that PostgreSQL cannot store. The character is replaced.

mod audit;
mod claim;
mod connect;
mod discovered;
mod finish;
pub(super) mod host_slots;
mod keyed_requests;
mod known_versions;
mod pairs;
mod prune;
mod record;
mod renames;
mod rows;
pub(super) mod store_quota;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::Transaction;
use sqlx::postgres::{PgConnection, PgPool, Postgres};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::error::TransactionError;
use super::{
    ArmingChange, AuditQuery, AuditRecord, Claim, ClaimRequest, ClaimToken, CurrentRefusal,
    Journal, JournalError, KeyedRequest, KeyedState, KnownSecret, KnownVersion, LabelledVersion,
    Listing, ListingClaim, ListingState, Note, Outcome, PairRecord, Pause, Pruned, RecordChanges,
    Rename, Revision, RotationRecord, RotationSecret, Run, RunQuery, SecretSummary,
    SharedHostSlots,
};
use crate::config::settings::PostgresLocation;
use twinkey_core::code::Problem;
use twinkey_core::tasks::Tasks;
use twinkey_stores::VersionId;
use twinkey_stores::throttle::WriteLimiter;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("migrations/postgres");

/// Time limit of a call, connecting included. Clients of the admin endpoint wait for it, and most give
/// up after ten seconds.
const LIMIT: Duration = Duration::from_secs(7);
/// Time limit of a call during a run: the run waits for it while its lease is running out.
const URGENT_LIMIT: Duration = Duration::from_secs(3);

/// Wait for the calls in flight when the journal is closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// Journal in PostgreSQL. Cheap to clone.
#[derive(Clone)]
pub struct PostgresJournal {
    /// Host, port and database, for messages.
    name: String,
    pool: PgPool,
    /// Connections for running runs, which must not queue behind other calls.
    urgent: PgPool,
    /// HostSlots at hosts that are being given back.
    releases: TaskTracker,
    /// Leases use the time of the caller, which tests move, instead of the server's clock.
    leases_by_caller: bool,
}

impl PostgresJournal {
    /// Connects, and creates the tables where they are missing. Concurrent calls are safe.
    ///
    /// # Errors
    /// [`JournalError`] if the server cannot be reached or refuses, or a newer version created the
    /// tables.
    pub async fn open(location: &PostgresLocation) -> Result<Self, JournalError> {
        Self::open_with(location, false).await
    }

    /// A journal whose leases use the time that each call passes.
    #[cfg(test)]
    pub(super) async fn for_tests(location: &PostgresLocation) -> Self {
        Self::open_with(location, true).await.unwrap()
    }

    async fn open_with(
        location: &PostgresLocation,
        leases_by_caller: bool,
    ) -> Result<Self, JournalError> {
        let name = location.to_string();
        let [pool, urgent] = connect::pools(location).map_err(|error| error.in_journal(&name))?;
        let journal = Self {
            name,
            pool,
            urgent,
            releases: TaskTracker::new(),
            leases_by_caller,
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

    /// The result of a call, or an error after [`LIMIT`].
    async fn limited<T>(
        &self,
        call: impl Future<Output = Result<T, TransactionError>>,
    ) -> Result<T, JournalError> {
        self.within(LIMIT, call).await
    }

    /// The result of a call during a run, or an error after [`URGENT_LIMIT`].
    async fn urgent<T>(
        &self,
        call: impl Future<Output = Result<T, TransactionError>>,
    ) -> Result<T, JournalError> {
        self.within(URGENT_LIMIT, call).await
    }

    async fn within<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<T, TransactionError>>,
    ) -> Result<T, JournalError> {
        match tokio::time::timeout(limit, call).await {
            Ok(result) => result.map_err(|error| error.in_journal(&self.name)),
            Err(_) => Err(
                TransactionError::Other(format!("no response within {limit:?}"))
                    .in_journal(&self.name),
            ),
        }
    }

    /// The time that leases are granted and judged by. `None`: the server's clock.
    fn lease_now(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.leases_by_caller.then_some(now)
    }

    /// Executes `write` and adds the record of what it does.
    async fn recorded(
        &self,
        record: &AuditRecord,
        write: impl AsyncFnOnce(&mut PgConnection) -> Result<(), TransactionError>,
    ) -> Result<(), JournalError> {
        self.limited(async {
            let mut tx = self.begin().await?;
            write(&mut tx).await?;
            audit::append(&mut *tx, record).await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    async fn begin(&self) -> sqlx::Result<Transaction<'static, Postgres>> {
        self.pool.begin().await
    }
}

/// A text without U+0000, which PostgreSQL cannot store.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

#[async_trait]
impl Journal for PostgresJournal {
    async fn register_worker(&self, _worker: &str) -> Result<(), JournalError> {
        Ok(())
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn store_writes(
        &self,
        quota: &str,
        writes_per_second: NonZeroU32,
    ) -> Option<Arc<dyn WriteLimiter>> {
        Some(Arc::new(store_quota::SharedWriteLimiter::new(
            self.clone(),
            quota,
            writes_per_second,
        )))
    }

    fn host_slots(&self, tasks: &Tasks) -> Option<Arc<dyn SharedHostSlots>> {
        let slots = host_slots::HostSlots::new(self.clone(), tasks.clone());
        Some(Arc::new(slots))
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
        token: ClaimToken,
        now: DateTime<Utc>,
        lease: Duration,
    ) -> Result<bool, JournalError> {
        let now = self.lease_now(now);
        self.urgent(claim::renew(&self.urgent, token, now, lease))
            .await
    }

    async fn note(&self, token: ClaimToken, note: &Note) -> Result<(), JournalError> {
        self.urgent(async {
            let mut tx = self.urgent.begin().await?;
            record::note(&mut tx, token, note).await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    async fn seen(&self, rotation: &str, seen: &SecretSummary) -> Result<(), JournalError> {
        self.limited(record::seen(&self.pool, rotation, seen)).await
    }

    async fn finish(
        &self,
        token: ClaimToken,
        note: &Note,
        outcome: &Outcome,
    ) -> Result<(), JournalError> {
        self.urgent(async {
            let mut tx = self.urgent.begin().await?;
            finish::record_and_finish(&mut tx, token, note, outcome).await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    async fn sweep(&self, now: DateTime<Utc>) -> Result<Vec<Run>, JournalError> {
        self.limited(async {
            let mut tx = self.begin().await?;
            let ended = finish::sweep(&mut tx, now, self.lease_now(now)).await?;
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
            let ended = finish::end_window(&mut tx, request, outcome, now).await?;
            tx.commit().await?;
            Ok(ended)
        })
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
        self.limited(record::current_refused(&self.pool, rotation, refusal))
            .await
    }

    async fn current_accepted(&self, rotation: &str) -> Result<(), JournalError> {
        self.limited(record::current_accepted(&self.pool, rotation))
            .await
    }

    async fn flipped(
        &self,
        rotation: &str,
        version: &VersionId,
        seen: &SecretSummary,
        record: &AuditRecord,
    ) -> Result<(), JournalError> {
        self.recorded(record, async |db| {
            record::flipped(&mut *db, rotation, record.at).await?;
            known_versions::flipped(&mut *db, rotation, version).await?;
            record::seen(db, rotation, seen).await
        })
        .await
    }

    async fn known_version(&self, seen: &LabelledVersion) -> Result<KnownVersion, JournalError> {
        self.limited(async {
            let mut connection = self.pool.acquire().await?;
            known_versions::known(&mut connection, seen).await
        })
        .await
    }

    async fn label_moved(
        &self,
        seen: &LabelledVersion,
        from: Option<&VersionId>,
        record: &AuditRecord,
    ) -> Result<bool, JournalError> {
        self.limited(async {
            let mut tx = self.begin().await?;
            let is_change = known_versions::moved(&mut tx, seen, from, record).await?;
            tx.commit().await?;
            Ok(is_change)
        })
        .await
    }

    async fn append(&self, record: &AuditRecord) -> Result<(), JournalError> {
        self.limited(audit::append(&self.pool, record)).await
    }

    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditRecord>, JournalError> {
        self.limited(audit::list(&self.pool, query)).await
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

    async fn rotation_records(&self) -> Result<HashMap<String, RotationRecord>, JournalError> {
        self.limited(rows::rotation_records(&self.pool, None)).await
    }

    async fn rotation_records_of(
        &self,
        rotations: &[&str],
    ) -> Result<HashMap<String, RotationRecord>, JournalError> {
        self.limited(rows::rotation_records(&self.pool, Some(rotations)))
            .await
    }

    async fn changed_rotations(
        &self,
        since: Option<Revision>,
    ) -> Result<RecordChanges, JournalError> {
        self.limited(rows::changed_rotations(&self.pool, since))
            .await
    }

    async fn rotation_record(
        &self,
        rotation: &str,
    ) -> Result<Option<RotationRecord>, JournalError> {
        let only = [rotation];
        let records = self.limited(rows::rotation_records(&self.pool, Some(&only)));
        Ok(records.await?.remove(rotation))
    }

    async fn pairs(
        &self,
        server: &str,
        identity: Option<&str>,
        users: [&str; 2],
    ) -> Result<Vec<PairRecord>, JournalError> {
        self.urgent(pairs::at_server(&self.urgent, server, identity, users))
            .await
    }

    async fn all_pairs(&self) -> Result<Vec<PairRecord>, JournalError> {
        self.limited(pairs::all(&self.pool)).await
    }

    async fn pairs_seen(&self, pairs: &[PairRecord]) -> Result<(), JournalError> {
        self.limited(pairs::seen(&self.pool, pairs)).await
    }

    async fn record_pair(&self, pair: &PairRecord) -> Result<(), JournalError> {
        self.urgent(pairs::record(&self.urgent, pair)).await
    }

    async fn rotation_secrets(&self) -> Result<Vec<RotationSecret>, JournalError> {
        self.limited(renames::secrets(&self.pool)).await
    }

    async fn record_secrets(
        &self,
        rotations: &[(String, String)],
        now: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        self.limited(renames::record(&self.pool, rotations, now))
            .await
    }

    async fn rename(&self, rename: &Rename) -> Result<(), JournalError> {
        self.limited(async {
            let mut tx = self.begin().await?;
            renames::rename(&mut tx, rename).await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    async fn first_seen(
        &self,
        rotations: &[String],
        now: DateTime<Utc>,
    ) -> Result<(), JournalError> {
        self.limited(record::first_seen(&self.pool, rotations, now))
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
        self.limited(async {
            let mut tx = self.begin().await?;
            let pruned = prune::prune(&mut tx, before, limit).await?;
            tx.commit().await?;
            Ok(pruned)
        })
        .await
    }

    async fn begin_keyed(&self, request: &KeyedRequest) -> Result<KeyedState, JournalError> {
        self.limited(async {
            let mut tx = self.begin().await?;
            let state = keyed_requests::begin(&mut tx, request).await?;
            tx.commit().await?;
            Ok(state)
        })
        .await
    }

    async fn end_keyed(
        &self,
        request: &KeyedRequest,
        answer: Option<&serde_json::Value>,
    ) -> Result<(), JournalError> {
        self.limited(keyed_requests::end(&self.pool, request, answer))
            .await
    }

    async fn claim_listing(&self, claim: &ListingClaim) -> Result<bool, JournalError> {
        self.limited(discovered::claim(&self.pool, claim)).await
    }

    async fn record_listing(
        &self,
        claim: &ListingClaim,
        listing: &Listing,
    ) -> Result<(), JournalError> {
        self.limited(async {
            let mut tx = self.begin().await?;
            discovered::record(&mut tx, claim, listing).await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    async fn listing_failed(
        &self,
        claim: &ListingClaim,
        problem: &Problem,
    ) -> Result<(), JournalError> {
        self.limited(discovered::fail(&self.pool, claim, problem))
            .await
    }

    async fn listings(&self) -> Result<Vec<ListingState>, JournalError> {
        self.limited(discovered::listings(&self.pool)).await
    }

    async fn known_secrets(&self) -> Result<Vec<KnownSecret>, JournalError> {
        self.limited(discovered::known(&self.pool)).await
    }

    async fn record_arming(&self, changes: &[ArmingChange]) -> Result<(), JournalError> {
        self.limited(async {
            let mut tx = self.begin().await?;
            discovered::arm(&mut tx, changes).await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    async fn ping(&self) -> Result<(), JournalError> {
        self.urgent(rows::check_writable(&self.urgent)).await
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
