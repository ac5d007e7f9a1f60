//! Lease of a run, as this process sees it.
//!
//! # Failure modes
//! - A suspended process resumes after its lease expired and changes what another worker owns. Work
//!   under a lease is not polled before the lease is valid by the clocks of this machine; renewals
//!   confirm it in the journal.
//! - One clock stands still with the process or the machine, or is set. Both the wall clock and the
//!   monotonic clock must confirm the lease.
//! - The journal does not answer. The lease is valid for its granted duration and no longer.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::journal::{ClaimToken, Journal, JournalError};
use twinkey_core::telemetry::Clock;

/// Duration of a claim that is not renewed.
pub const LEASE: Duration = Duration::from_secs(15);
/// Interval of renewals.
pub const RENEWAL: Duration = Duration::from_secs(5);

/// A claim that is renewed until another worker takes it.
pub(super) struct Lease<'a> {
    hold: ClaimToken,
    journal: &'a dyn Journal,
    clock: &'a Clock,
    until: Mutex<(DateTime<Utc>, Instant)>,
}

impl<'a> Lease<'a> {
    /// A claim that was just granted.
    pub(super) fn new(hold: ClaimToken, journal: &'a dyn Journal, clock: &'a Clock) -> Self {
        Self {
            hold,
            journal,
            clock,
            until: Mutex::new((clock.now() + LEASE, Instant::now() + LEASE)),
        }
    }

    fn is_valid(&self) -> bool {
        let (by_wall, by_span) = *self.until.lock();
        self.clock.now() < by_wall && Instant::now() < by_span
    }

    /// Polls `work` only while the lease is valid, or `always`.
    ///
    /// Poll it after [`renew_until_lost`](Self::renew_until_lost), which makes the lease valid
    /// again or ends the run.
    pub(super) async fn while_valid<T>(
        &self,
        always: impl Fn() -> bool,
        work: impl Future<Output = T>,
    ) -> T {
        let mut work = pin!(work);
        poll_fn(|context| {
            if self.is_valid() || always() {
                work.as_mut().poll(context)
            } else {
                Poll::Pending
            }
        })
        .await
    }

    /// Renews the lease; returns when it is lost.
    pub(super) async fn renew_until_lost(&self) {
        loop {
            self.clock.sleep(RENEWAL).await;
            // Read before the request, because the lease starts when the journal grants it.
            let (now, asked) = (self.clock.now(), Instant::now());
            match self.journal.renew(self.hold, now, LEASE).await {
                Ok(true) => {
                    let mut until = self.until.lock();
                    *until = (now + LEASE, asked + LEASE);
                }
                Ok(false) | Err(JournalError::Lost { .. }) => return,
                Err(error) => {
                    tracing::warn!(run = %self.hold.run, %error, "run lease not renewed");
                    if !self.is_valid() {
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
    use crate::journal::tests::fixture::{at, by, claimed, request};
    use crate::journal::{Run, SqliteJournal};
    use twinkey_core::telemetry::clock::ClockControl;

    struct Held {
        journal: SqliteJournal,
        run: Run,
        clock: Clock,
        control: ClockControl,
        _folder: tempfile::TempDir,
    }

    async fn held() -> Held {
        let folder = tempfile::tempdir().unwrap();
        let journal = SqliteJournal::open(&folder.path().join("j.db")).await;
        let journal = journal.unwrap();
        let mut request = request("orders", 1);
        request.lease = LEASE;
        let run = claimed(&journal, &request).await;
        let (clock, control) = Clock::manual(at(0));
        Held {
            journal,
            run,
            clock,
            control,
            _folder: folder,
        }
    }

    fn poll(work: &mut Pin<&mut impl Future<Output = ()>>) {
        let mut context = Context::from_waker(Waker::noop());
        assert!(work.as_mut().poll(&mut context).is_pending());
    }

    #[tokio::test]
    async fn work_is_polled_only_while_its_lease_is_valid() {
        let held = held().await;
        let lease = Lease::new(held.run.claim_token(), &held.journal, &held.clock);
        let polls = AtomicU32::new(0);
        let mut work = pin!(lease.while_valid(
            || false,
            poll_fn(|_| {
                polls.fetch_add(1, Ordering::Relaxed);
                Poll::<()>::Pending
            })
        ));
        poll(&mut work);
        tokio::select! {
            biased;
            () = lease.renew_until_lost() => panic!("no other worker took it"),
            () = async {
                held.control.set(at(15));
                poll(&mut work);
                assert_eq!(polls.load(Ordering::Relaxed), 1, "the lease expired");
                while !lease.is_valid() {
                    tokio::task::yield_now().await;
                }
            } => {}
        }
        poll(&mut work);
        assert_eq!(polls.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_lease_is_lost_when_another_worker_takes_the_run() {
        let held = held().await;
        let lease = Lease::new(held.run.claim_token(), &held.journal, &held.clock);
        let late = by("b", at(16), request("orders", 1));
        claimed(&held.journal, &late).await;
        tokio::join!(lease.renew_until_lost(), async { held.control.set(at(17)) });
        assert!(!lease.is_valid());
    }
}
