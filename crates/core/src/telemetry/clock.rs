//! The one clock. Everything else is given the time as a value, or this.
//!
//! What can go wrong, and what prevents it:
//! - the wall clock is set while a task sleeps to a window: the sleep looks at the wall clock again
//!   at least every second;
//! - it is set back, and who waits a few seconds waits for hours: such waits are for a span of time, not
//!   for a time of the day ([`Clock::pass`]), and who plans by the clock is told ([`Clock::set_back`]);
//! - a time read here differs from itself after it went through the journal: it is cut to
//!   microseconds, the precision of the journal and of PostgreSQL;
//! - a test depends on how fast it runs: a manual clock stands still until its hand is moved.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use tokio::sync::watch;

/// The longest sleep before the wall clock is read again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// A clock that goes back by less is being adjusted, not set.
const ADJUSTMENT: TimeDelta = TimeDelta::seconds(5);

/// Tells the time, in UTC and whole microseconds. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Manual(watch::Sender<DateTime<Utc>>),
}

/// Moves a manual [`Clock`] and all its clones. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hand(watch::Sender<DateTime<Utc>>);

impl Clock {
    /// The machine's wall clock.
    #[must_use]
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `start` until its hand is moved: for tests.
    #[must_use]
    pub fn manual(start: DateTime<Utc>) -> (Self, Hand) {
        let (time, _) = watch::channel(whole_micros(start));
        (Self(Source::Manual(time.clone())), Hand(time))
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            #[expect(
                clippy::disallowed_methods,
                reason = "the one place that asks the system"
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
                // No `Duration` means a negative one: it is later already.
                while let Ok(left) = (deadline - self.now()).to_std()
                    && !left.is_zero()
                {
                    tokio::time::sleep(left.min(LOOK_AGAIN)).await;
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
    /// Returns once `span` has gone by, or the wall clock says so: setting it back makes no wait longer,
    /// and after a suspension none goes on.
    pub async fn pass(&self, span: Duration) {
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
    pub async fn set_back(&self) {
        let mut last = self.now();
        match &self.0 {
            Source::System => loop {
                tokio::time::sleep(LOOK_AGAIN).await;
                let now = self.now();
                if now + ADJUSTMENT < last {
                    return;
                }
                last = now;
            },
            Source::Manual(time) => {
                // As in `sleep_until`.
                let _ = time
                    .subscribe()
                    .wait_for(|now| {
                        let back = *now + ADJUSTMENT < last;
                        last = *now;
                        back
                    })
                    .await;
            }
        }
    }
}

impl Hand {
    /// Sets the clock, forwards or backwards, and wakes who sleeps.
    pub fn set(&self, to: DateTime<Utc>) {
        self.0.send_replace(whole_micros(to));
    }

    /// Moves the clock forwards and wakes who sleeps.
    pub fn advance(&self, by: TimeDelta) {
        self.0.send_modify(|now| *now = whole_micros(*now + by));
    }

    /// How many wait for the clock to move.
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
    async fn the_system_clock_sleeps_until_the_deadline_and_not_less() {
        let clock = Clock::system();
        let deadline = clock.now() + TimeDelta::milliseconds(30);
        clock.sleep_until(deadline).await;
        assert!(clock.now() >= deadline);
    }

    #[tokio::test]
    async fn a_deadline_that_is_past_or_far_past_does_not_sleep() {
        let clock = Clock::system();
        clock.sleep_until(clock.now()).await;
        clock.sleep_until(DateTime::UNIX_EPOCH).await;
        clock.sleep_until(DateTime::<Utc>::MIN_UTC).await;
        let (clock, _hand) = Clock::manual(DateTime::UNIX_EPOCH);
        clock.sleep_until(DateTime::<Utc>::MIN_UTC).await;
    }

    #[tokio::test]
    async fn a_manual_clock_stands_still_and_wakes_its_sleepers_when_its_hand_is_moved_far_enough()
    {
        let (clock, hand) = Clock::manual(DateTime::UNIX_EPOCH);
        let deadline = clock.now() + TimeDelta::seconds(10);
        let sleeper = {
            let clock = clock.clone();
            tokio::spawn(async move {
                clock.sleep_until(deadline).await;
                clock.now()
            })
        };
        hand.advance(TimeDelta::seconds(9));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        hand.advance(TimeDelta::seconds(1));
        assert_eq!(sleeper.await.unwrap(), deadline);
        assert_eq!(clock.now(), deadline);
    }

    #[tokio::test]
    async fn a_sleeper_still_wakes_when_the_hand_was_dropped_after_moving_it() {
        let (clock, hand) = Clock::manual(DateTime::UNIX_EPOCH);
        hand.set(DateTime::UNIX_EPOCH + TimeDelta::days(1));
        drop(hand);
        clock
            .sleep_until(DateTime::UNIX_EPOCH + TimeDelta::hours(1))
            .await;
    }

    #[tokio::test]
    async fn a_clock_that_is_set_back_makes_no_wait_longer_and_is_told_of() {
        let (clock, hand) = Clock::manual(DateTime::UNIX_EPOCH + TimeDelta::days(1));
        let waiting = |clock: Clock| async move { clock.pass(Duration::from_secs(10)).await };
        let told = |clock: Clock| async move { clock.set_back().await };
        let (waiter, watcher) = (
            tokio::spawn(waiting(clock.clone())),
            tokio::spawn(told(clock.clone())),
        );
        // Until both have looked at the clock.
        while hand.sleepers() < 2 {
            tokio::task::yield_now().await;
        }
        hand.advance(TimeDelta::seconds(6));
        tokio::task::yield_now().await;
        hand.set(DateTime::UNIX_EPOCH);
        watcher.await.unwrap();
        assert!(!waiter.is_finished());
        hand.advance(TimeDelta::seconds(4));
        waiter.await.unwrap();
    }

    #[test]
    fn every_time_is_in_whole_microseconds() {
        let (clock, _hand) = Clock::manual(DateTime::from_timestamp_nanos(1_234_567));
        assert_eq!(clock.now(), DateTime::from_timestamp_nanos(1_234_000));
        assert_eq!(Clock::system().now().timestamp_subsec_nanos() % 1_000, 0);
    }
}
