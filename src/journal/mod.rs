//! The worker's own memory: runs, their steps, leases and pauses. It never holds a password, and
//! losing it loses history only: what a run does next is decided from the store and the database.
//!
//! What can go wrong, and what prevents it:
//! - two processes run one rotation at once: a run is claimed with a lease in one transaction;
//! - a worker dies in the middle: its lease runs out, and the next claim takes the run over, under
//!   the same version id;
//! - a worker that was suspended beyond its lease goes on writing about a run that is another's by now:
//!   each claim has a number ([`Hold`]), and every write about a run names it;
//! - a row says `running` for ever: only a live lease makes it so;
//! - several workers record the end of one window: the first one does, and the others are told.

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
use twinkey_stores::VersionId;
use twinkey_stores::throttle::Pace;

mod fault;
pub mod postgres;
mod run;
pub mod sqlite;
#[cfg(test)]
pub(crate) mod tests;

pub use fault::JournalError;
pub use postgres::PostgresJournal;
pub use run::{Hold, Run, RunState, Step, StepName, StepState, Trigger};
pub use sqlite::SqliteJournal;

/// What a claim asks for.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    pub rotation: String,
    pub trigger: Trigger,
    pub reason: Option<String>,
    pub window: Option<Window>,
    pub version_id: VersionId,
    pub worker: String,
    pub now: DateTime<Utc>,
    /// How long the claim holds without being renewed.
    pub lease: Duration,
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// It is the caller's now.
    Claimed(Box<Claimed>),
    /// This rotation has a run with a live lease, which holds for so long unless it is renewed.
    Running { run: Box<Run>, left: Duration },
    /// This window's run (same version id) has ended as succeeded, failed or missed.
    Over(Box<Run>),
}

/// A run that was given to somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// A new run, or another attempt of one that was deferred or whose worker is gone (same id, same
    /// version id, next attempt).
    pub run: Run,
    /// When AWSCURRENT of its rotation last moved.
    pub last_flip: Option<DateTime<Utc>>,
}

/// What a run has to tell, all of it in one write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Note {
    /// What it saw of its secret before it changed anything.
    pub seen: Option<Seen>,
    /// Where steps of its attempt stand; the last word on a step counts.
    pub steps: Vec<Step>,
}

impl Note {
    fn is_empty(&self) -> bool {
        self.seen.is_none() && self.steps.is_empty()
    }
}

/// How a run ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub state: RunState,
    pub error: Option<Problem>,
    pub now: DateTime<Utc>,
}

/// Which runs to list, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunQuery {
    pub rotation: Option<String>,
    pub state: Option<RunState>,
    /// Runs that started before this one.
    pub before: Option<Uuid>,
    pub limit: u32,
}

/// What is remembered of a rotation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct RotationMemory {
    pub paused: bool,
    /// When the worker first saw it in a config.
    pub first_seen: Option<DateTime<Utc>>,
    pub last_success: Option<DateTime<Utc>>,
    /// When AWSCURRENT last moved: a successful run or a rollback.
    pub last_flip: Option<DateTime<Utc>>,
    /// When the user of AWSPREVIOUS was locked, where that was since the last flip.
    pub retired: Option<DateTime<Utc>>,
    pub last_run: Option<Run>,
    /// The last run that had a window, without its steps.
    pub last_in_window: Option<Run>,
    /// What the last run or check saw, for `status`.
    pub seen: Option<Seen>,
}

/// What was last seen of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub engine: String,
    pub host: Option<String>,
    pub active_user: String,
    pub standby_user: String,
}

/// Limits that all workers of a journal keep together.
#[derive(Clone)]
pub struct SharedLimits {
    pub store_writes: Arc<dyn Pace>,
    pub hosts: Arc<dyn SharedPlaces>,
}

/// Places at database hosts that processes share.
#[async_trait]
pub trait SharedPlaces: Send + Sync {
    /// Takes a place at a host, of as many as `per_host`, if one is free. It is free again when what this gives
    /// is dropped, or this process is gone for as long as a lease.
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
    /// Makes this process a worker of the journal, for as long as the journal is open.
    ///
    /// # Errors
    /// [`JournalError::Occupied`], where only one may be at work.
    async fn occupy(&self, worker: &str) -> Result<(), JournalError>;

    /// Whether other workers may be at work on it too.
    fn is_shared(&self) -> bool;

    /// The limits that its workers share. `None`: each process has its own.
    fn shared_limits(&self, _writes_per_second: NonZeroU32) -> Option<SharedLimits> {
        None
    }

    /// Claims a run, or says why not. A running row whose lease has run out is taken over when its
    /// version id is the request's, else ended as failed (`internal`, "its worker is gone"). So is one
    /// whose lease ends later than any that could be granted now: the clock has been set back since, and
    /// whoever is alive renews.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn claim(&self, request: &ClaimRequest) -> Result<Claim, JournalError>;

    /// Holds a claim for another `lease` from `now`. `false`: it is no longer this worker's.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn renew(
        &self,
        hold: Hold,
        now: DateTime<Utc>,
        lease: Duration,
    ) -> Result<bool, JournalError>;

    /// Records what a run tells.
    ///
    /// # Errors
    /// [`JournalError::Lost`] where the claim is no longer this worker's; nothing is recorded then.
    async fn note(&self, hold: Hold, note: &Note) -> Result<(), JournalError>;

    /// Records what was seen of a secret outside a run.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn seen(&self, rotation: &str, seen: &Seen) -> Result<(), JournalError>;

    /// Records what a run still had to tell, and ends it, or (`Deferred`) frees it for another attempt. A success
    /// also sets the rotation's last success and last flip, and the two users change places; the end of a run that
    /// was cut off in its step `finish` sets the last flip too, for it may have moved AWSCURRENT.
    ///
    /// # Errors
    /// [`JournalError::Lost`] where somebody has claimed or ended it since; nothing is recorded then.
    async fn finish(&self, hold: Hold, note: &Note, outcome: &Outcome) -> Result<(), JournalError>;

    /// Ends what nobody works on any more: runs that are running without a live lease, or deferred, and
    /// whose window has closed (missed) or who have none (failed). Gives what it ended, which no other
    /// worker is given.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn sweep(&self, now: DateTime<Utc>) -> Result<Vec<Run>, JournalError>;

    /// Records how a window ended that its worker has no run of: once, and never over a run of that window
    /// that has ended or is held, whatever its version id. Gives the run if it was recorded now.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn end_window(
        &self,
        request: &ClaimRequest,
        outcome: &Outcome,
    ) -> Result<Option<Run>, JournalError>;

    /// Records that the user of AWSPREVIOUS was locked. The next flip makes that past.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn retired(&self, rotation: &str, at: DateTime<Utc>) -> Result<(), JournalError>;

    /// Records that AWSCURRENT was moved outside a run (rollback).
    ///
    /// # Errors
    /// [`JournalError`]
    async fn flipped(&self, rotation: &str, at: DateTime<Utc>) -> Result<(), JournalError>;

    /// One run.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn run(&self, id: Uuid) -> Result<Option<Run>, JournalError>;

    /// The run of a rotation that has this version id.
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

    /// Everything remembered, by rotation.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn memory(&self) -> Result<HashMap<String, RotationMemory>, JournalError>;

    /// What is remembered of one rotation.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn memory_of(&self, rotation: &str) -> Result<Option<RotationMemory>, JournalError>;

    /// Remembers when these rotations were first seen, where it is not remembered yet, or was by a clock
    /// that was ahead.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn first_seen(
        &self,
        rotations: &[String],
        now: DateTime<Utc>,
    ) -> Result<(), JournalError>;

    /// Pauses or resumes a rotation's schedule.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn set_paused(&self, rotation: &str, paused: bool) -> Result<(), JournalError>;

    /// Whether the journal can be read and written.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn ping(&self) -> Result<(), JournalError>;

    /// Closes the journal's connections, and waits for that. No call may follow.
    async fn close(&self);
}
