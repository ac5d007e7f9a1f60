//! The store's quota of writes for all workers of a journal.
//!
//! One row of each store holds the time until which the granted writes use up the quota. A worker advances
//! that time and waits for its share of it.
//!
//! # Failure modes
//! - The quota is exceeded because the clocks of workers differ or a response is slow. Times are
//!   the server's, and the response is a duration, which a slow response only prolongs.
//! - Each write costs a statement. A worker requests turns for all its waiting tasks, at most a
//!   tenth of a second's writes.
//! - A worker exits with unused turns. These are few, and they are lost.
//! - The journal is unavailable. Writes wait, and fail after [`PATIENCE`]. The quota is never
//!   guessed: no worker knows how many others there are. Without the journal a run's lease ends
//!   after seconds anyway.
//! - The server's clock is set back, and the granted time lies far ahead. More than an hour is
//!   discarded.

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
use twinkey_stores::throttle::WriteLimiter;

const PATIENCE: Duration = Duration::from_secs(30);
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// Write limiter that uses the row of the journal.
pub(in crate::journal) struct SharedWriteLimiter {
    journal: PostgresJournal,
    /// The key of its row; that of `[secrets]` is `secrets`.
    store: String,
    interval: Duration,
    /// The largest number of turns of one statement.
    max_turns: u32,
    waiting: AtomicU32,
    /// The times of granted turns that no task has taken.
    granted: Mutex<VecDeque<Instant>>,
}

/// Counts a task as waiting until it is dropped.
struct Waiting<'a>(&'a AtomicU32);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl SharedWriteLimiter {
    pub(in crate::journal) fn new(
        journal: PostgresJournal,
        store: &str,
        per_second: NonZeroU32,
    ) -> Self {
        Self {
            journal,
            store: store.to_owned(),
            interval: Duration::from_secs(1) / per_second.get(),
            max_turns: (per_second.get() / 10).max(1),
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
        let turns = self
            .waiting
            .load(Ordering::Relaxed)
            .clamp(1, self.max_turns);
        let wait = self.request_turns(turns).await?;
        let first = Instant::now() + wait;
        granted.extend((1..turns).map(|n| first + self.interval * n));
        Ok(first)
    }

    /// Requests turns, and returns the wait for the first.
    pub(in crate::journal) async fn request_turns(
        &self,
        turns: u32,
    ) -> Result<Duration, JournalError> {
        let seconds = (self.interval * turns).as_secs_f64();
        let statement = sqlx::query_scalar(
            "INSERT INTO store_quota AS q (one, store, used_until) VALUES (NULLIF($2 = 'secrets', false), $2, clock_timestamp() + make_interval(secs => $1))
             ON CONFLICT (store) DO UPDATE SET used_until = make_interval(secs => $1) +
                 CASE WHEN q.used_until > clock_timestamp() + interval '1 hour' THEN clock_timestamp()
                      ELSE GREATEST(q.used_until, clock_timestamp()) END
             RETURNING extract(epoch FROM used_until - clock_timestamp())::float8 - $1",
        )
        .bind(seconds)
        .bind(&self.store)
        .fetch_one(&self.journal.pool);
        let wait: f64 = self.journal.limited(async { Ok(statement.await?) }).await?;
        Ok(Duration::try_from_secs_f64(wait).unwrap_or_default())
    }
}

#[async_trait]
impl WriteLimiter for SharedWriteLimiter {
    async fn acquire(&self) -> Result<(), StoreError> {
        let started = Instant::now();
        loop {
            match self.next().await {
                Ok(turn) => {
                    sleep_until(turn).await;
                    return Ok(());
                }
                Err(error) if started.elapsed() >= PATIENCE => {
                    return Err(StoreError::Unavailable {
                        reason: format!("its write quota is in the journal: {error}"),
                    });
                }
                Err(_) => sleep(RETRY_INTERVAL).await,
            }
        }
    }
}
