//! The pair's lock: an advisory lock, which the server keeps until the connection ends.
//!
//! The first key depends on the pair only. Every user may take it, so a run takes it or, if a
//! bystander holds it, an entry: a second lock whose second number is random.
//!
//! # Failure modes
//! - An application holds the first key. A holder that is neither a superuser nor has CREATEROLE
//!   cannot change a user, and so is no run. The run takes an entry, which cannot be taken first.
//! - Two runs hold different keys. A run reads the holders of all keys after it has taken its own,
//!   and releases it if another holder may be a run ([`crate::pair_lock`]). Two runs with entries
//!   can both do so; each tries a few times more after a random time.
//! - A run of version 0.1 takes the first key when a bystander releases it, and reads no entries.
//!   Before its changes, a run with an entry takes the first key too, or reads the holders again.
//! - A prepared transaction holds the first key, also after a restart. It is no run.

use std::time::Duration;

use aws_lc_rs::{digest, rand};
use chrono::DateTime;
use serde::Deserialize;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row};

use super::connect::Connector;
use super::quote::literal;
use crate::pair_lock::{LockHolder, PairLock};
use crate::{EngineError, timeouts};
use twinkey_core::secret::pair::Pair;

/// Attempts of two runs that both take an entry.
const ATTEMPTS: u32 = 4;
/// Longest pause between two of them.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
const WHAT: &str = "taking the pair's lock";
const READ: &str = "reading the holders of the pair's lock";

/// The holders of the pair's keys in this database, without this session.
const HOLDERS: &str = include_str!("lock_holders.sql");

/// Keys of a pair's lock. Advisory locks belong to a database, and all workers of a pair connect to
/// the database in its secret.
struct Keys {
    first: i64,
    /// The first number of every entry.
    entries: i32,
    /// The query of the holders.
    holders: String,
}

impl Keys {
    fn of(pair: &Pair) -> Self {
        let hash = |what: &str| {
            let text = format!("twinkey/{what}/{}", pair.base);
            let hash = digest::digest(&digest::SHA256, text.as_bytes());
            let mut first = [0_u8; 8];
            first.copy_from_slice(&hash.as_ref()[..8]);
            u64::from_be_bytes(first)
        };
        let (first, entries) = (hash("pair"), hash("entry") >> 32);
        let users = format!("{}, {}", literal(&pair.base), literal(&pair.clone));
        Self {
            first: first.cast_signed(),
            entries: u32::try_from(entries).unwrap_or_default().cast_signed(),
            holders: HOLDERS
                .replace("{high}", &(first >> 32).to_string())
                .replace("{low}", &(first & u64::from(u32::MAX)).to_string())
                .replace("{entries}", &entries.to_string())
                // Last, because a user's name may contain a placeholder.
                .replace("{pair}", &users),
        }
    }

    /// The arguments of the functions for the first key.
    fn first(&self) -> String {
        format!("'{}'", self.first)
    }

    /// The arguments for a new entry.
    fn entry(&self) -> Result<String, EngineError> {
        let mut number = [0_u8; 4];
        random(&mut number)?;
        Ok(format!("{}, {}", self.entries, i32::from_be_bytes(number)))
    }
}

fn random(bytes: &mut [u8]) -> Result<(), EngineError> {
    rand::fill(bytes).map_err(|_| EngineError::Refused {
        what: WHAT.into(),
        reason: "the operating system returned no random bytes".into(),
        hint: "check the random number generator of the worker's machine".into(),
    })
}

/// Result of an attempt to take one key.
enum Attempt {
    Taken,
    /// Another run may have a key. This session has none.
    Run(LockHolder),
    /// The key is taken, by sessions that are no runs.
    Bystanders(Vec<LockHolder>),
}

/// The lock of one session.
#[derive(Debug, Default)]
pub(super) struct Lock {
    /// The pair whose lock is an entry, because a bystander has the first key.
    entered: Option<Pair>,
}

impl Lock {
    /// Takes the lock, unless another run may have it.
    pub(super) async fn take(
        &mut self,
        connection: &mut PgConnection,
        connector: &Connector,
        pair: &Pair,
    ) -> Result<PairLock, EngineError> {
        self.entered = None;
        let keys = Keys::of(pair);
        let mut attempts = ATTEMPTS;
        loop {
            match attempt(connection, connector, &keys, &keys.first()).await? {
                Attempt::Taken => return Ok(PairLock::Taken),
                Attempt::Run(run) => return Ok(PairLock::Held(run)),
                Attempt::Bystanders(all) => warn(pair, &all),
            }
            attempts -= 1;
            match attempt(connection, connector, &keys, &keys.entry()?).await? {
                Attempt::Taken => {
                    self.entered = Some(pair.clone());
                    return Ok(PairLock::Taken);
                }
                Attempt::Run(run) if attempts == 0 => return Ok(PairLock::Held(run)),
                Attempt::Run(_) | Attempt::Bystanders(_) => pause().await?,
            }
        }
    }

    /// Confirms before a change that no other run has the first key, which a bystander may have
    /// released.
    ///
    /// # Errors
    /// [`EngineError::Busy`] if another run may have it.
    pub(super) async fn confirm(
        &mut self,
        connection: &mut PgConnection,
        connector: &Connector,
    ) -> Result<(), EngineError> {
        let Some(pair) = &self.entered else {
            return Ok(());
        };
        let keys = Keys::of(pair);
        match attempt(connection, connector, &keys, &keys.first()).await? {
            Attempt::Taken => self.entered = None,
            Attempt::Bystanders(_) => {}
            Attempt::Run(run) => {
                return Err(EngineError::Busy {
                    what: "changing the standby".into(),
                    reason: format!("another run took the pair's lock, {}", run.id),
                });
            }
        }
        Ok(())
    }
}

fn warn(pair: &Pair, bystanders: &[LockHolder]) {
    for holder in bystanders {
        tracing::warn!(pair = %pair.base, holder = %holder.id, user = ?holder.user, client = ?holder.client, "pair lock held by a session that is no run");
    }
}

/// A random time in which another run can end its attempt.
async fn pause() -> Result<(), EngineError> {
    let mut part = [0_u8; 1];
    random(&mut part)?;
    tokio::time::sleep(LONGEST_PAUSE * u32::from(part[0]) / 255).await;
    Ok(())
}

/// Tries to take a key, then reads the holders of all keys, in one round trip.
async fn attempt(
    connection: &mut PgConnection,
    connector: &Connector,
    keys: &Keys,
    key: &str,
) -> Result<Attempt, EngineError> {
    let failed = |error| connector.explain(WHAT, false, error);
    let sql = format!(
        "SELECT pg_catalog.pg_try_advisory_lock({key}); {}",
        keys.holders
    );
    let query = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut *connection);
    let rows = timeouts::statement(query).await.map_err(failed)?;
    let [taken, holders] = rows.as_slice() else {
        return Err(unexpected("the server did not answer both statements"));
    };
    let taken: bool = taken.try_get(0).map_err(failed)?;
    let (runs, bystanders): (Vec<_>, Vec<_>) = read(holders, connector)?
        .into_iter()
        .partition(|h| h.may_be_run);
    match runs.into_iter().next() {
        Some(run) => {
            if taken {
                let free = format!("SELECT pg_catalog.pg_advisory_unlock({key})");
                let query = sqlx::raw_sql(AssertSqlSafe(free)).execute(connection);
                timeouts::statement(query).await.map_err(failed)?;
            }
            Ok(Attempt::Run(run))
        }
        None if taken => Ok(Attempt::Taken),
        None => Ok(Attempt::Bystanders(bystanders)),
    }
}

/// The holders of the pair's lock, without taking it.
pub(super) async fn holders(
    connection: &mut PgConnection,
    connector: &Connector,
    pair: &Pair,
) -> Result<Vec<LockHolder>, EngineError> {
    let query = sqlx::raw_sql(AssertSqlSafe(Keys::of(pair).holders)).fetch_one(connection);
    let row = timeouts::statement(query)
        .await
        .map_err(|error| connector.explain(READ, false, error))?;
    read(&row, connector)
}

#[derive(Deserialize)]
struct Holder {
    pid: Option<i32>,
    user: Option<String>,
    client: Option<String>,
    application: Option<String>,
    since: Option<i64>,
    prepared: Option<String>,
    may_be_run: bool,
}

fn read(row: &PgRow, connector: &Connector) -> Result<Vec<LockHolder>, EngineError> {
    let text: String = row
        .try_get(0)
        .map_err(|error| connector.explain(READ, false, error))?;
    let all: Vec<Holder> = serde_json::from_str(&text)
        .map_err(|error| unexpected(&format!("the answer cannot be parsed: {error}")))?;
    Ok(all.into_iter().map(LockHolder::from).collect())
}

fn unexpected(reason: &str) -> EngineError {
    EngineError::Refused {
        what: READ.into(),
        reason: reason.into(),
        hint: "check the server's version: it may be a fork of PostgreSQL, or not supported".into(),
    }
}

impl From<Holder> for LockHolder {
    fn from(holder: Holder) -> Self {
        let (id, end) = match (holder.prepared, holder.pid) {
            (None, Some(pid)) => (
                format!("process {pid}"),
                format!("SELECT pg_terminate_backend({pid})"),
            ),
            (Some(gid), _) => (
                format!("the prepared transaction {gid:?}"),
                format!("ROLLBACK PREPARED {}", literal(&gid)),
            ),
            (None, None) => (
                "a prepared transaction".into(),
                "roll back the transaction that pg_prepared_xacts lists".into(),
            ),
        };
        Self {
            id,
            user: holder.user,
            client: holder.client,
            application: holder.application,
            since: holder.since.and_then(DateTime::from_timestamp_millis),
            may_be_run: holder.may_be_run,
            end,
        }
    }
}
