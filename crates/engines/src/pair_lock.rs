//! Result of an attempt to take a pair's lock, and who holds it.
//!
//! Applications can reach every place that a lock can be in: PostgreSQL and MySQL let each user take
//! each lock, and DocumentDB has users that may write in every database. So the server's answer
//! "taken" does not show that a run has the lock. Only a user that may change the pair's users can
//! be a run. A holder without that right is a *bystander*, and a run works around its hold.
//!
//! # Invariants
//! Two runs never have the lock at once. An engine without leases has several keys for one lock. A
//! run takes a key that no other run can have taken, and then reads the holders of all keys. It has
//! the lock only if no other holder can be a run. Of two runs, the one that read later had its key
//! while the other held one too, so it saw that one.

use chrono::{DateTime, Utc};

/// Result of an attempt to take the pair's lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PairLock {
    Taken,
    /// Another run may hold it; nothing was taken.
    Held(LockHolder),
}

impl PairLock {
    #[must_use]
    pub const fn is_taken(&self) -> bool {
        matches!(self, Self::Taken)
    }
}

/// A session or a lease that holds a pair's lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockHolder {
    /// The name of the hold on the server, for example `process 4711`.
    pub id: String,
    /// `None` where the server or the master's privileges do not report it.
    pub user: Option<String>,
    /// The client's address.
    pub client: Option<String>,
    /// The client's application name.
    pub application: Option<String>,
    /// The start of the session or, where only this is reported, of its command or its lease.
    pub since: Option<DateTime<Utc>>,
    /// Whether the holder may change the pair's users. `true` if that is unknown.
    pub may_be_run: bool,
    /// What an administrator does to end the hold, as one statement or sentence.
    pub end: String,
}
