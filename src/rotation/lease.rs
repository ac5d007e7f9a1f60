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
use twinkey_core::telemetry::Clock;

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

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::{Context, Waker};

    use super::*;
    use crate::journal::tests::sentences::{at, by, claimed, request};
    use crate::journal::{Run, SqliteJournal};
    use twinkey_core::telemetry::clock::Hand;

    struct Held {
        journal: SqliteJournal,
        run: Run,
        clock: Clock,
        hand: Hand,
        _folder: tempfile::TempDir,
    }

    async fn held() -> Held {
        let folder = tempfile::tempdir().unwrap();
        let journal = SqliteJournal::open(&folder.path().join("j.db")).await;
        let journal = journal.unwrap();
        let mut request = request("orders", 1);
        request.lease = LEASE;
        let run = claimed(&journal, &request).await;
        let (clock, hand) = Clock::manual(at(0));
        Held {
            journal,
            run,
            clock,
            hand,
            _folder: folder,
        }
    }

    fn poll(work: &mut Pin<&mut impl Future<Output = ()>>) {
        let mut context = Context::from_waker(Waker::noop());
        assert!(work.as_mut().poll(&mut context).is_pending());
    }

    #[tokio::test]
    async fn work_is_not_even_looked_at_once_its_lease_has_run_out_and_goes_on_when_it_is_renewed()
    {
        let held = held().await;
        let lease = Lease::new(held.run.hold(), &held.journal, &held.clock);
        let polls = AtomicU32::new(0);
        let mut work = pin!(lease.under(poll_fn(|_| {
            polls.fetch_add(1, Ordering::Relaxed);
            Poll::<()>::Pending
        })));
        poll(&mut work);
        tokio::select! {
            biased;
            () = lease.lost() => panic!("nobody has taken it"),
            () = async {
                held.hand.set(at(15));
                poll(&mut work);
                assert_eq!(polls.load(Ordering::Relaxed), 1, "the lease is over");
                while !lease.holds() {
                    tokio::task::yield_now().await;
                }
            } => {}
        }
        poll(&mut work);
        assert_eq!(polls.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_lease_is_lost_when_another_worker_has_taken_the_run_over() {
        let held = held().await;
        let lease = Lease::new(held.run.hold(), &held.journal, &held.clock);
        let late = by("b", at(16), request("orders", 1));
        claimed(&held.journal, &late).await;
        tokio::join!(lease.lost(), async { held.hand.set(at(17)) });
        assert!(!lease.holds());
    }
}
