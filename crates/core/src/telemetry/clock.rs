//! The only clock. Everything else receives the time as a value, or this clock.
//!
//! # Failure modes
//! - The wall clock is set while a task sleeps until a window. The sleep reads the wall clock at
//!   least every second.
//! - The clock is set back, and a wait of seconds takes hours. Such waits are for a duration
//!   ([`Clock::sleep`]). Tasks that plan by the clock await [`Clock::wait_for_rollback`].
//! - A time differs from itself after the journal stored it. It is cut to microseconds, the
//!   precision of the journal and of PostgreSQL.
//! - A test depends on its speed. A manual clock stands still until its [`ClockControl`] moves it.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use tokio::sync::watch;

/// The longest sleep before the wall clock is read again.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// A smaller step back is an adjustment of the clock, not a rollback.
const MAX_ADJUSTMENT: TimeDelta = TimeDelta::seconds(5);

/// Clock in UTC and whole microseconds. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Manual(watch::Sender<DateTime<Utc>>),
}

/// Control of a manual [`Clock`] and all its clones. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ClockControl(watch::Sender<DateTime<Utc>>);

impl Clock {
    /// The wall clock of the machine.
    #[must_use]
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock for tests that stands at `start` until its control moves it.
    #[must_use]
    pub fn manual(start: DateTime<Utc>) -> (Self, ClockControl) {
        let (time, _) = watch::channel(whole_micros(start));
        (Self(Source::Manual(time.clone())), ClockControl(time))
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            #[expect(
                clippy::disallowed_methods,
                reason = "the only place that reads the system clock"
            )]
            Source::System => whole_micros(Utc::now()),
            Source::Manual(time) => *time.borrow(),
        }
    }

    /// Returns once [`now`](Self::now) is `deadline` or later, within a few milliseconds; after the
    /// wall clock was set, within a second.
    pub async fn sleep_until(&self, deadline: DateTime<Utc>) {
        match &self.0 {
            Source::System => {
                // `to_std` fails for a negative duration: the deadline has passed.
                while let Ok(left) = (deadline - self.now()).to_std()
                    && !left.is_zero()
                {
                    tokio::time::sleep(left.min(POLL_INTERVAL)).await;
                }
            }
            Source::Manual(time) => {
                // Fails only when every sender is gone, and `self` holds one.
                let _ = time.subscribe().wait_for(|now| *now >= deadline).await;
            }
        }
    }
}

impl Clock {
    /// Returns after `span` by the monotonic clock or by the wall clock, whichever is first.
    /// Setting the wall clock back does not prolong the wait; after a suspension the wait ends.
    pub async fn sleep(&self, span: Duration) {
        let deadline = TimeDelta::from_std(span)
            .ok()
            .and_then(|span| self.now().checked_add_signed(span))
            .unwrap_or(DateTime::<Utc>::MAX_UTC);
        match &self.0 {
            Source::System => tokio::select! {
                () = self.sleep_until(deadline) => {}
                () = tokio::time::sleep(span) => {}
            },
            Source::Manual(time) => {
                let (mut last, mut deadline) = (self.now(), deadline);
                // As in `sleep_until`.
                let _ = time
                    .subscribe()
                    .wait_for(|now| {
                        if *now < last {
                            deadline -= last - *now;
                        }
                        last = *now;
                        last >= deadline
                    })
                    .await;
            }
        }
    }

    /// Returns when the wall clock has been set back.
    pub async fn wait_for_rollback(&self) {
        let mut last = self.now();
        match &self.0 {
            Source::System => loop {
                tokio::time::sleep(POLL_INTERVAL).await;
                let now = self.now();
                if now + MAX_ADJUSTMENT < last {
                    return;
                }
                last = now;
            },
            Source::Manual(time) => {
                // As in `sleep_until`.
                let _ = time
                    .subscribe()
                    .wait_for(|now| {
                        let back = *now + MAX_ADJUSTMENT < last;
                        last = *now;
                        back
                    })
                    .await;
            }
        }
    }
}

impl ClockControl {
    /// Sets the clock, forwards or backwards, and wakes sleeping tasks.
    pub fn set(&self, to: DateTime<Utc>) {
        self.0.send_replace(whole_micros(to));
    }

    /// Moves the clock forwards and wakes sleeping tasks.
    pub fn advance(&self, by: TimeDelta) {
        self.0.send_modify(|now| *now = whole_micros(*now + by));
    }

    /// The number of tasks that wait for the clock to move.
    #[must_use]
    pub fn sleepers(&self) -> usize {
        self.0.receiver_count()
    }
}

fn whole_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    time.trunc_subsecs(6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn system_clock_sleeps_at_least_until_the_deadline() {
        let clock = Clock::system();
        let deadline = clock.now() + TimeDelta::milliseconds(30);
        clock.sleep_until(deadline).await;
        assert!(clock.now() >= deadline);
    }

    #[tokio::test]
    async fn a_past_deadline_does_not_sleep() {
        let clock = Clock::system();
        clock.sleep_until(clock.now()).await;
        clock.sleep_until(DateTime::UNIX_EPOCH).await;
        clock.sleep_until(DateTime::<Utc>::MIN_UTC).await;
        let (clock, _control) = Clock::manual(DateTime::UNIX_EPOCH);
        clock.sleep_until(DateTime::<Utc>::MIN_UTC).await;
    }

    #[tokio::test]
    async fn manual_clock_wakes_sleepers_when_moved_far_enough() {
        let (clock, control) = Clock::manual(DateTime::UNIX_EPOCH);
        let deadline = clock.now() + TimeDelta::seconds(10);
        let sleeper = {
            let clock = clock.clone();
            tokio::spawn(async move {
                clock.sleep_until(deadline).await;
                clock.now()
            })
        };
        control.advance(TimeDelta::seconds(9));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        control.advance(TimeDelta::seconds(1));
        assert_eq!(sleeper.await.unwrap(), deadline);
        assert_eq!(clock.now(), deadline);
    }

    #[tokio::test]
    async fn a_sleeper_wakes_after_the_control_was_dropped() {
        let (clock, control) = Clock::manual(DateTime::UNIX_EPOCH);
        control.set(DateTime::UNIX_EPOCH + TimeDelta::days(1));
        drop(control);
        clock
            .sleep_until(DateTime::UNIX_EPOCH + TimeDelta::hours(1))
            .await;
    }

    #[tokio::test]
    async fn a_rollback_prolongs_no_wait_and_is_reported() {
        let (clock, control) = Clock::manual(DateTime::UNIX_EPOCH + TimeDelta::days(1));
        let waiting = |clock: Clock| async move { clock.sleep(Duration::from_secs(10)).await };
        let watching = |clock: Clock| async move { clock.wait_for_rollback().await };
        let (waiter, watcher) = (
            tokio::spawn(waiting(clock.clone())),
            tokio::spawn(watching(clock.clone())),
        );
        // Until both tasks have read the clock.
        while control.sleepers() < 2 {
            tokio::task::yield_now().await;
        }
        control.advance(TimeDelta::seconds(6));
        tokio::task::yield_now().await;
        control.set(DateTime::UNIX_EPOCH);
        watcher.await.unwrap();
        assert!(!waiter.is_finished());
        control.advance(TimeDelta::seconds(4));
        waiter.await.unwrap();
    }

    #[test]
    fn times_are_whole_microseconds() {
        let (clock, _control) = Clock::manual(DateTime::from_timestamp_nanos(1_234_567));
        assert_eq!(clock.now(), DateTime::from_timestamp_nanos(1_234_000));
        assert_eq!(Clock::system().now().timestamp_subsec_nanos() % 1_000, 0);
    }
}
