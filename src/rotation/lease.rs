//! The claim on a run, as this process knows it.
//!
//! What can go wrong, and what prevents it:
//! - a process that was suspended for longer than its lease goes on where it stood, and changes something that
//!   is another worker's by now: whatever is done under a lease is not even looked at again before the lease is
//!   known to hold, first by the clocks of this machine, then by the journal;
//! - one of the clocks stood still with the process or the machine, or was set: both have to say that it holds;
//! - the journal cannot be asked: the lease holds for as long as it was granted, and no longer.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::journal::{Hold, Journal, JournalError};
use crate::telemetry::Clock;

/// How long a claim holds without being renewed.
pub const LEASE: Duration = Duration::from_secs(15);
/// How often it is renewed.
pub const RENEWAL: Duration = Duration::from_secs(5);

/// A claim that is kept up.
pub(super) struct Lease<'a> {
    hold: Hold,
    journal: &'a dyn Journal,
    clock: &'a Clock,
    until: Mutex<(DateTime<Utc>, Instant)>,
}

impl<'a> Lease<'a> {
    /// A claim that has just been granted.
    pub(super) fn new(hold: Hold, journal: &'a dyn Journal, clock: &'a Clock) -> Self {
        Self {
            hold,
            journal,
            clock,
            until: Mutex::new((clock.now() + LEASE, Instant::now() + LEASE)),
        }
    }

    fn holds(&self) -> bool {
        let (by_wall, by_span) = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        self.clock.now() < by_wall && Instant::now() < by_span
    }

    /// Carries out `work` only while the lease holds, and stands still where it does not.
    ///
    /// To be polled after [`lost`](Self::lost), which knows how it goes on then.
    pub(super) async fn under<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|context| {
            if self.holds() {
                work.as_mut().poll(context)
            } else {
                Poll::Pending
            }
        })
        .await
    }

    /// Renews the lease until it is lost.
    pub(super) async fn lost(&self) {
        loop {
            self.clock.pass(RENEWAL).await;
            // From before the question: whatever time the answer takes is the lease's.
            let (now, asked) = (self.clock.now(), Instant::now());
            match self.journal.renew(self.hold, now, LEASE).await {
                Ok(true) => {
                    let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
                    *until = (now + LEASE, asked + LEASE);
                }
                Ok(false) | Err(JournalError::Lost { .. }) => return,
                Err(error) => {
                    tracing::warn!(run = %self.hold.run, %error, "the run's lease could not be renewed");
                    if !self.holds() {
                        return;
                    }
                }
            }
        }
    }
}
