//! Listings of the stores for `[[discover]]`, and the secrets that they found.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::AuditRecord;
use twinkey_core::code::Problem;
use twinkey_stores::ListedSecret;

/// Time after which another worker repeats a listing that has not ended.
const CLAIMED_FOR: TimeDelta = TimeDelta::minutes(5);
/// Time after which a listing that failed is repeated.
const RETRIED_AFTER: TimeDelta = TimeDelta::minutes(1);
/// Time for which a secret that is gone stays recorded, with the reason.
pub(super) const GONE_FOR: TimeDelta = TimeDelta::days(30);

/// A secret as a listing found it, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownSecret {
    /// The name of the `[[store]]`; empty for `[secrets]`.
    pub store: String,
    pub listed: ListedSecret,
    /// Why it is not found any more, as a sentence about the secret.
    pub gone: Option<String>,
    /// The name that its rotation has, or had.
    pub rotation: Option<String>,
    /// When its rotation was armed; `None` while it is not.
    pub armed: Option<DateTime<Utc>>,
    /// Why it is refused, as recorded.
    pub refusal: Option<String>,
}

/// Request to be the worker that lists.
#[derive(Debug, Clone)]
pub struct ListingClaim {
    /// The store and the filters.
    pub query: String,
    pub store: String,
    pub worker: String,
    pub now: DateTime<Utc>,
    /// The time between two listings.
    pub every: Duration,
    /// Whether it is claimed although it is not due.
    pub at_once: bool,
}

impl ListingClaim {
    /// The latest time at which a listing can be due; a later one was recorded by a clock that was ahead,
    /// or for a longer `every`.
    pub(super) fn latest(&self) -> DateTime<Utc> {
        self.after(TimeDelta::MAX)
    }

    /// When another worker may list while this listing has not ended.
    pub(super) fn claimed_until(&self) -> DateTime<Utc> {
        self.after(CLAIMED_FOR)
    }

    /// When a listing that failed is due again.
    pub(super) fn retried(&self) -> DateTime<Utc> {
        self.after(RETRIED_AFTER)
    }

    /// `every` from now, or `most`.
    fn after(&self, most: TimeDelta) -> DateTime<Utc> {
        let every = TimeDelta::from_std(self.every).unwrap_or(TimeDelta::MAX);
        let at = self.now.checked_add_signed(every.min(most));
        at.unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

/// The secrets of a complete listing.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    pub found: Vec<ListedSecret>,
    /// ARNs of known secrets that it does not have any more, with the reason.
    pub gone: Vec<(String, String)>,
}

/// State of the listings of one query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListingState {
    pub query: String,
    pub store: String,
    pub asked: DateTime<Utc>,
    /// When a listing was last complete.
    pub listed: Option<DateTime<Utc>>,
    /// Why the last listing was not complete.
    pub problem: Option<Problem>,
    /// Grows when a listing changes the secrets.
    pub revision: i64,
}

/// A secret whose rotation is armed or disarmed, or that is refused for another reason than before.
#[derive(Debug, Clone)]
pub struct ArmingChange {
    /// The secret as it was read.
    pub before: KnownSecret,
    pub rotation: Option<String>,
    pub armed: Option<DateTime<Utc>>,
    pub refusal: Option<String>,
    /// `None` if the change is no action, because nothing was armed.
    pub record: Option<AuditRecord>,
}

impl ArmingChange {
    /// The name that its rotation has, would have or had.
    #[must_use]
    pub fn rotation_name(&self) -> Option<&str> {
        (self.rotation.as_deref()).or(self.before.rotation.as_deref())
    }
}
