//! Journal of runs, steps, leases, pauses and records of actions. It never holds a password.
//!
//! Losing the journal loses history only: a run decides from the store and the database.
//!
//! # Failure modes
//! - Two processes run one rotation at once. One transaction claims a run with a lease.
//! - A worker exits during a run. Its lease expires, and the next claim takes the run over under
//!   the same version id.
//! - A worker that was suspended beyond its lease writes about a run of another worker. Each claim
//!   has a number ([`ClaimToken`]), and every write about a run checks it.
//! - A row stays `running` permanently. Only a live lease makes a run count as running.
//! - Several workers record the end of one window. The first write wins; the others learn that from
//!   its result.
//! - An action has no record, because its process ends after it. A record is written in the same
//!   transaction as what it tells.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::schedule::Window;
use twinkey_core::code::Problem;
use twinkey_core::tasks::Tasks;
use twinkey_stores::VersionId;
use twinkey_stores::throttle::WriteLimiter;

mod audit;
mod discovered;
mod error;
pub mod history;
mod keyed_request;
mod known_version;
pub mod postgres;
mod run;
pub mod sqlite;
#[cfg(test)]
pub(crate) mod tests;

pub use audit::{
    Actor, ActorKind, AuditAction, AuditOutcome, AuditQuery, AuditRecord, Cause, Pause,
};
pub use discovered::{ArmingChange, KnownSecret, Listing, ListingClaim, ListingState};
pub use error::JournalError;
pub use keyed_request::{KeyedRequest, KeyedState};
pub use known_version::{KnownVersion, LabelledVersion};
pub use postgres::PostgresJournal;
pub use run::{ClaimToken, Run, RunState, Step, StepName, StepState, Trigger};
pub use sqlite::SqliteJournal;

/// Request for a claim.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    pub rotation: String,
    pub trigger: Trigger,
    pub cause: Cause,
    pub window: Option<Window>,
    pub version_id: VersionId,
    /// The id under which the run may wait, because its version id was not known at first.
    pub provisional: Option<VersionId>,
    pub worker: String,
    pub now: DateTime<Utc>,
    /// Validity of the claim unless it is renewed.
    pub lease: Duration,
}

/// Result of a claim request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The run belongs to the caller.
    Claimed(Box<Claimed>),
    /// This rotation has a run whose lease is valid for `left`, unless it is renewed.
    Running { run: Box<Run>, left: Duration },
    /// The run of this version id has ended as succeeded, failed or missed.
    Over(Box<Run>),
}

/// A run that the caller has claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// A new run, or the next attempt of a run that was deferred or whose worker is gone. Another
    /// attempt keeps the id and the version id.
    pub run: Run,
    /// When AWSCURRENT of its rotation last moved.
    pub last_flip: Option<DateTime<Utc>>,
}

/// Progress of a run, recorded in one write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Note {
    /// State of the secret before the run changed anything.
    pub seen: Option<SecretSummary>,
    /// Steps of the current attempt; the last entry of a step counts.
    pub steps: Vec<Step>,
}

impl Note {
    fn is_empty(&self) -> bool {
        self.seen.is_none() && self.steps.is_empty()
    }
}

/// End of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub state: RunState,
    pub error: Option<Problem>,
    pub now: DateTime<Utc>,
}

/// Filter of a list of runs, which is sorted newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunQuery {
    pub rotation: Option<String>,
    /// Only runs of these rotations.
    pub rotations: Option<Vec<String>>,
    /// Only runs of rotations that match one of these patterns. `*` is any text and `?` one character.
    pub patterns: Option<Vec<String>>,
    pub state: Option<RunState>,
    /// Only runs that started before this one.
    pub before: Option<Uuid>,
    pub limit: u32,
}

/// Rows that a removal of old history deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    pub runs: u64,
    pub records: u64,
}

/// State of a rotation in the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct RotationRecord {
    /// Also a pause that is over.
    pub paused: Option<Pause>,
    /// When a worker first read it from a config.
    pub first_seen: Option<DateTime<Utc>>,
    pub last_success: Option<DateTime<Utc>>,
    /// When AWSCURRENT last moved: a successful run or a rollback.
    pub last_flip: Option<DateTime<Utc>>,
    /// When another party moved AWSCURRENT, as noticed; `None` after the next flip.
    #[serde(default)]
    pub changed: Option<DateTime<Utc>>,
    /// When the user of AWSPREVIOUS was locked; `None` after the next flip.
    pub retired: Option<DateTime<Utc>>,
    /// Set while AWSCURRENT does not sign in at the heartbeats.
    pub refused: Option<CurrentRefusal>,
    pub last_run: Option<Run>,
    /// The last run of a window, without its steps.
    pub last_in_window: Option<Run>,
    /// State of the secret at the last run or check, for `status`.
    pub seen: Option<SecretSummary>,
}

impl RotationRecord {
    /// The pause of the schedule that lasts at `now`.
    #[must_use]
    pub fn pause(&self, now: DateTime<Utc>) -> Option<&Pause> {
        self.paused.as_ref().filter(|pause| pause.lasts(now))
    }
}

/// Refusal of AWSCURRENT by the database, at a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CurrentRefusal {
    /// The first heartbeat that was refused.
    pub since: DateTime<Utc>,
    pub problem: Problem,
}

/// A position in the changes of the rotation records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub(in crate::journal) i64);

/// Changes of the rotation records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordChanges {
    /// The position after these changes. It is lower than an earlier one if the journal was replaced.
    pub revision: Revision,
    /// The rotations whose records changed. Some may have the record that they had.
    pub rotations: Vec<String>,
}

/// Engine, host and users of a secret when it was last observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretSummary {
    pub engine: String,
    pub host: Option<String>,
    /// `None`: not known, or a record of an older version.
    #[serde(default)]
    pub port: Option<u16>,
    pub active_user: String,
    pub standby_user: String,
}

/// The secret of a rotation in a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotationSecret {
    pub rotation: String,
    /// As the config has it.
    pub secret: String,
    /// When a worker or a command last had the rotation in its config.
    pub configured: DateTime<Utc>,
}

/// Another name for the records of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename {
    /// The former name, and its secret as recorded.
    pub from: RotationSecret,
    pub to: String,
    /// Whether the pause of the former name replaces one under the new name. Otherwise either counts.
    pub replaces_pause: bool,
    /// Whether the former name is that of another secret now. It keeps no record of this one then, and
    /// its runs get the new name.
    pub is_moved: bool,
}

/// The pair of users of a rotation, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairRecord {
    pub rotation: String,
    /// The ARN of the secret, else its name.
    pub secret: String,
    /// Host and port at which the master signs in.
    pub server: String,
    /// What the server reports as its identity. A server that was restored from a snapshot of another
    /// one can have the same.
    pub server_identity: Option<String>,
    pub base: String,
    pub clone: String,
    /// When a run of the rotation first succeeded with this pair.
    pub owned: Option<DateTime<Utc>>,
    /// When a run took over a standby that was not the secret's own (`standby = "adopt"`).
    pub adopted: Option<DateTime<Utc>>,
}

/// Connection slots at database hosts, shared by all workers of a journal.
#[async_trait]
pub trait SharedHostSlots: Send + Sync {
    /// Takes one of `per_host` slots of a host, if one is free. Dropping the guard frees the slot.
    /// The slot of a process that is gone is free when its lease ends.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn take(
        &self,
        host: &str,
        per_host: usize,
    ) -> Result<Option<Box<dyn Send + Sync>>, JournalError>;
}

/// The journal. Every method is one transaction.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Registers this process as a worker, as long as the journal is open.
    ///
    /// # Errors
    /// [`JournalError::Occupied`] if the journal supports one worker and has one.
    async fn register_worker(&self, worker: &str) -> Result<(), JournalError>;

    /// Whether several workers can use the journal.
    fn is_shared(&self) -> bool;

    /// The limit of writes to a store, by the key of its quota, that its workers share. `None`: each process
    /// has its own limit.
    fn store_writes(
        &self,
        _quota: &str,
        _writes_per_second: NonZeroU32,
    ) -> Option<Arc<dyn WriteLimiter>> {
        None
    }

    /// The slots at database hosts that its workers share. `None`: each process has its own.
    fn host_slots(&self, _tasks: &Tasks) -> Option<Arc<dyn SharedHostSlots>> {
        None
    }

    /// Claims a run, or reports why that is not possible.
    ///
    /// A running run whose lease has expired is taken over if it has the requested version id.
    /// Otherwise it ends as failed (`internal`, "its worker is gone"). The same applies to a lease
    /// that ends later than any lease granted now: the clock was set back, and a live worker would
    /// have renewed it.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn claim(&self, request: &ClaimRequest) -> Result<Claim, JournalError>;

    /// Extends a claim by `lease` from `now`. `false`: the claim belongs to another worker.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn renew(
        &self,
        token: ClaimToken,
        now: DateTime<Utc>,
        lease: Duration,
    ) -> Result<bool, JournalError>;

    /// Records the progress of a run.
    ///
    /// # Errors
    /// [`JournalError::Lost`] if the claim belongs to another worker; nothing is recorded then.
    async fn note(&self, token: ClaimToken, note: &Note) -> Result<(), JournalError>;

    /// Records the observed state of a secret outside a run.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn seen(&self, rotation: &str, seen: &SecretSummary) -> Result<(), JournalError>;

    /// Records the unwritten progress of a run, and ends the run or (`Deferred`) frees it for
    /// another attempt.
    ///
    /// A run that ends is recorded as an action too. A success also sets the rotation's last success
    /// and last flip, and exchanges the two users.
    /// A run that was interrupted in its step `finish` sets the last flip too: it may have moved
    /// AWSCURRENT.
    ///
    /// # Errors
    /// [`JournalError::Lost`] if the run was claimed again or ended; nothing is recorded then.
    async fn finish(
        &self,
        token: ClaimToken,
        note: &Note,
        outcome: &Outcome,
    ) -> Result<(), JournalError>;

    /// Ends abandoned runs: deferred, or running without a live lease. A run whose window has
    /// closed ends as missed, one without a window as failed. Each ended run is returned to one
    /// worker only.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn sweep(&self, now: DateTime<Utc>) -> Result<Vec<Run>, JournalError>;

    /// Records once how a window without a run ended, or (`Deferred`) that its run waits. Nothing is
    /// recorded if a run of the window, with any version id, has ended or is claimed. Returns the run
    /// if this call recorded it. A claim continues a waiting run by its `provisional` id.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn end_window(
        &self,
        request: &ClaimRequest,
        outcome: &Outcome,
    ) -> Result<Option<Run>, JournalError>;

    /// Records that the user of AWSPREVIOUS was locked. The next flip clears it.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn retired(&self, rotation: &str, record: &AuditRecord) -> Result<(), JournalError>;

    /// Records that a heartbeat was refused. The time of the first refusal is kept. The next flip,
    /// and the next accepted heartbeat, clear it.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn current_refused(
        &self,
        rotation: &str,
        refusal: &CurrentRefusal,
    ) -> Result<(), JournalError>;

    /// Records that a heartbeat was accepted. Writes nothing unless a refusal is recorded.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn current_accepted(&self, rotation: &str) -> Result<(), JournalError>;

    /// Records a move of AWSCURRENT to a version outside a run (rollback), and the pair as it is now.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn flipped(
        &self,
        rotation: &str,
        version: &VersionId,
        seen: &SecretSummary,
        record: &AuditRecord,
    ) -> Result<(), JournalError>;

    /// What is known of a label and of the version that carries it.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn known_version(&self, seen: &LabelledVersion) -> Result<KnownVersion, JournalError>;

    /// Records that a label moved, if it is known on `from`. `record` is added, and `true` returned,
    /// unless a run of this journal moved it or AWSCURRENT was not known.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn label_moved(
        &self,
        seen: &LabelledVersion,
        from: Option<&VersionId>,
        record: &AuditRecord,
    ) -> Result<bool, JournalError>;

    /// Adds a record of an action that changes nothing else in the journal.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn append(&self, record: &AuditRecord) -> Result<(), JournalError>;

    /// Records of actions, newest first.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditRecord>, JournalError>;

    /// One run.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn run(&self, id: Uuid) -> Result<Option<Run>, JournalError>;

    /// The run of a rotation with this version id.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn run_of(
        &self,
        rotation: &str,
        version: &VersionId,
    ) -> Result<Option<Run>, JournalError>;

    /// Runs, newest first.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn runs(&self, query: &RunQuery) -> Result<Vec<Run>, JournalError>;

    /// The records of all rotations, by name.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn rotation_records(&self) -> Result<HashMap<String, RotationRecord>, JournalError>;

    /// The records of these rotations, by name.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn rotation_records_of(
        &self,
        rotations: &[&str],
    ) -> Result<HashMap<String, RotationRecord>, JournalError>;

    /// The rotations whose records changed since a revision, but for the steps of their runs. `None`: only
    /// the present revision.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn changed_rotations(
        &self,
        since: Option<Revision>,
    ) -> Result<RecordChanges, JournalError>;

    /// The record of one rotation.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn rotation_record(&self, rotation: &str)
    -> Result<Option<RotationRecord>, JournalError>;

    /// The pairs that have one of these users, at this address or at a server with this identity;
    /// also this rotation's own.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn pairs(
        &self,
        server: &str,
        identity: Option<&str>,
        users: [&str; 2],
    ) -> Result<Vec<PairRecord>, JournalError>;

    /// The pairs of all rotations.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn all_pairs(&self) -> Result<Vec<PairRecord>, JournalError>;

    /// Records pairs that were read outside a run of their rotations. A rotation that has the same
    /// secret and pair in the journal keeps its record.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn pairs_seen(&self, pairs: &[PairRecord]) -> Result<(), JournalError>;

    /// Replaces the pair of a rotation.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn record_pair(&self, pair: &PairRecord) -> Result<(), JournalError>;

    /// The secrets of all rotations that were in a config.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn rotation_secrets(&self) -> Result<Vec<RotationSecret>, JournalError>;

    /// Records the names and secrets of the rotations in a config.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn record_secrets(
        &self,
        rotations: &[(String, String)],
        now: DateTime<Utc>,
    ) -> Result<(), JournalError>;

    /// Gives a rotation the secret, the pause, the last flip, the last success and the retirement of its
    /// former name. Does nothing if another process has recorded one of the names meanwhile.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn rename(&self, rename: &Rename) -> Result<(), JournalError>;

    /// Records when these rotations were first seen, unless an earlier time is recorded. A later
    /// time comes from a clock that was ahead, and is replaced.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn first_seen(
        &self,
        rotations: &[String],
        now: DateTime<Utc>,
    ) -> Result<(), JournalError>;

    /// Pauses a rotation's schedule, or resumes it (`None`).
    ///
    /// # Errors
    /// [`JournalError`]
    async fn set_paused(
        &self,
        rotation: &str,
        pause: Option<&Pause>,
        record: &AuditRecord,
    ) -> Result<(), JournalError>;

    /// Removes at most `limit` runs and at most `limit` records from before `before`, the oldest
    /// first. Of each rotation its newest success, its last run and its last run of a window stay,
    /// and their records. A run that has not ended stays too.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn prune(&self, before: DateTime<Utc>, limit: u32) -> Result<Pruned, JournalError>;

    /// Returns some of the space of removed rows to the file system. `false` if none is left, or if
    /// the server does so by itself.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn compact(&self) -> Result<bool, JournalError> {
        Ok(false)
    }

    /// Records a request with an idempotency key, unless the key is recorded. Returns what was recorded.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn begin_keyed(&self, request: &KeyedRequest) -> Result<KeyedState, JournalError>;

    /// Records the answer of a request, or (`None`) forgets its key.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn end_keyed(
        &self,
        request: &KeyedRequest,
        answer: Option<&serde_json::Value>,
    ) -> Result<(), JournalError>;

    /// Claims a listing of a store, unless it is not due or another worker lists. `false`: it is not
    /// the caller's.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn claim_listing(&self, claim: &ListingClaim) -> Result<bool, JournalError>;

    /// Records a complete listing, in one transaction.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn record_listing(
        &self,
        claim: &ListingClaim,
        listing: &Listing,
    ) -> Result<(), JournalError>;

    /// Records that a listing was not complete. The known secrets stay.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn listing_failed(
        &self,
        claim: &ListingClaim,
        problem: &Problem,
    ) -> Result<(), JournalError>;

    /// The state of the listings.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn listings(&self) -> Result<Vec<ListingState>, JournalError>;

    /// The secrets that listings have found, also those that are gone.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn known_secrets(&self) -> Result<Vec<KnownSecret>, JournalError>;

    /// Records which rotations of known secrets are armed. A change that another worker has recorded is
    /// not recorded again.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn record_arming(&self, changes: &[ArmingChange]) -> Result<(), JournalError>;

    /// Whether the journal can be read and written. It writes a row.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn ping(&self) -> Result<(), JournalError>;

    /// Closes the journal's connections, and waits for that. No call may follow.
    async fn close(&self);
}

impl std::fmt::Debug for dyn Journal + '_ {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Journal")
    }
}
