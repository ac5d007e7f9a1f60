//! The store's quota of writes, shared by all workers of a journal.
//!
//! One row says until when the writes granted so far use up the quota. Whoever wants to write moves that time on,
//! and waits for its own share of it.
//!
//! What can go wrong, and what prevents it:
//! - the quota is exceeded because the workers' clocks differ, or an answer is slow: times are the server's, and what
//!   is told is how long to wait, which a slow answer only makes longer;
//! - each write costs a statement: a worker asks for all its tasks that wait, up to a tenth of a second's writes;
//! - a worker dies with turns that it does not use: so few of them are lost;
//! - the journal is down: nothing is written until it is back, and the caller is told after [`PATIENCE`]. The quota
//!   is never guessed at, for no worker knows how many others there are; and without the journal a run's lease
//!   ends after seconds anyway;
//! - the server's clock is set back, and the granted time lies far ahead: more than an hour of it is forgotten.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, sleep_until};

use super::PostgresJournal;
use crate::journal::JournalError;
use twinkey_stores::StoreError;
use twinkey_stores::throttle::Pace;

const PATIENCE: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(500);

/// Turns to write, by the journal's row.
pub(in crate::journal) struct SharedPace {
    journal: PostgresJournal,
    interval: Duration,
    /// How many turns one statement takes at most.
    most: u32,
    waiting: AtomicU32,
    /// When the turns are that were granted and not taken yet.
    granted: Mutex<VecDeque<Instant>>,
}

/// Counts somebody as waiting.
struct Waiting<'a>(&'a AtomicU32);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl SharedPace {
    pub(in crate::journal) fn new(journal: PostgresJournal, per_second: NonZeroU32) -> Self {
        Self {
            journal,
            interval: Duration::from_secs(1) / per_second.get(),
            most: (per_second.get() / 10).max(1),
            waiting: AtomicU32::new(0),
            granted: Mutex::default(),
        }
    }

    async fn next(&self) -> Result<Instant, JournalError> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        let mut granted = self.granted.lock().await;
        if let Some(turn) = granted.pop_front() {
            return Ok(turn);
        }
        let turns = self.waiting.load(Ordering::Relaxed).clamp(1, self.most);
        let wait = self.ask(turns).await?;
        let first = Instant::now() + wait;
        granted.extend((1..turns).map(|n| first + self.interval * n));
        Ok(first)
    }

    /// Takes so many turns; how long until the first.
    pub(in crate::journal) async fn ask(&self, turns: u32) -> Result<Duration, JournalError> {
        let seconds = (self.interval * turns).as_secs_f64();
        let statement = sqlx::query_scalar(
            "INSERT INTO store_quota AS q (used_until) VALUES (clock_timestamp() + make_interval(secs => $1))
             ON CONFLICT (one) DO UPDATE SET used_until = make_interval(secs => $1) +
                 CASE WHEN q.used_until > clock_timestamp() + interval '1 hour' THEN clock_timestamp()
                      ELSE GREATEST(q.used_until, clock_timestamp()) END
             RETURNING extract(epoch FROM used_until - clock_timestamp())::float8 - $1",
        )
        .bind(seconds)
        .fetch_one(&self.journal.pool);
        let wait: f64 = self.journal.limited(async { Ok(statement.await?) }).await?;
        Ok(Duration::try_from_secs_f64(wait).unwrap_or_default())
    }
}

#[async_trait]
impl Pace for SharedPace {
    async fn turn(&self) -> Result<(), StoreError> {
        let begun = Instant::now();
        loop {
            match self.next().await {
                Ok(turn) => {
                    sleep_until(turn).await;
                    return Ok(());
                }
                Err(error) if begun.elapsed() >= PATIENCE => {
                    return Err(StoreError::Unavailable {
                        reason: format!("its quota is kept in the journal: {error}"),
                    });
                }
                Err(_) => sleep(AGAIN).await,
            }
        }
    }
}
