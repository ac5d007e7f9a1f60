//! The pair's lock: a named lock (`GET_LOCK`), which the server keeps until the connection ends.
//!
//! The lock has several names. A run takes the first name that no bystander holds.
//!
//! # Failure modes
//! - An application holds a name. A holder without CREATE USER cannot change a user, and so is no
//!   run: the run takes the next name. An application that holds all names is ended, if the master
//!   may do that.
//! - Two runs hold different names, because a bystander released the first one. A run reads the
//!   holders of all names after it has taken its own, and releases it if another holder may be a
//!   run ([`crate::pair_lock`]).
//! - A run of version 0.1 takes the first name when a bystander releases it, and knows no other.
//!   Before its changes, a run takes the first name too, or reads its holder again.
//! - The master does not see other users' sessions (no PROCESS). The holder may then be a run.

use std::fmt::Write as _;
use std::time::Duration;

use aws_lc_rs::digest;
use chrono::DateTime;
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Row};

use super::connect::{Connector, number_and_message};
use super::dialect::Dialect;
use super::inspect::facts::Master;
use super::sessions::NO_SUCH_THREAD;
use crate::pair_lock::{LockHolder, PairLock};
use crate::{EngineError, timeouts};
use twinkey_core::secret::pair::Pair;

/// Number of a lock's names.
const NAMES: usize = 8;
/// Attempts at one name whose holder ended meanwhile.
const ATTEMPTS: usize = 3;
const WHAT: &str = "taking the pair's lock";
/// Pauses until the server has freed the lock of a session that was ended.
const ENDING_PAUSES: u32 = 40;
const ENDING_PAUSE: Duration = Duration::from_millis(25);

/// The connection with its context.
pub(super) struct Server<'a> {
    pub connection: &'a mut MySqlConnection,
    pub connector: &'a Connector,
    pub dialect: &'a Dialect,
    pub master: &'a Master,
}

/// The lock of one session.
#[derive(Debug, Default)]
pub(super) struct Lock {
    /// The pair and the names that this session holds.
    held: Option<(Pair, Vec<String>)>,
}

impl Lock {
    /// Takes the lock, unless another run may have it.
    pub(super) async fn take(
        &mut self,
        server: &mut Server<'_>,
        pair: &Pair,
    ) -> Result<PairLock, EngineError> {
        let first = first_name(&pair.base);
        let bystander = match server.attempt(pair, &first).await? {
            Attempt::Taken => return self.taken(server, pair, first).await,
            Attempt::Held(holder) if holder.may_be_run => return Ok(PairLock::Held(holder)),
            Attempt::Held(bystander) => bystander,
        };
        tracing::warn!(pair = %pair.base, holder = %bystander.id, user = ?bystander.user, client = ?bystander.client, "pair lock held by a session that is no run");
        for name in further_names(&first) {
            match server.attempt(pair, &name).await? {
                Attempt::Taken => return self.taken(server, pair, name).await,
                Attempt::Held(run) if run.may_be_run => return Ok(PairLock::Held(run)),
                Attempt::Held(_) => {}
            }
        }
        // No session takes all names by chance.
        if !server.end(&bystander).await? {
            return Ok(PairLock::Held(bystander));
        }
        match server.attempt_after_end(pair, &first).await? {
            Attempt::Taken => self.taken(server, pair, first).await,
            Attempt::Held(holder) => Ok(PairLock::Held(holder)),
        }
    }

    /// Reads the other holders after this session took a name, and frees it if one may be a run.
    async fn taken(
        &mut self,
        server: &mut Server<'_>,
        pair: &Pair,
        name: String,
    ) -> Result<PairLock, EngineError> {
        self.held = Some((pair.clone(), vec![name]));
        let others = server.holders(pair).await?;
        let Some(run) = others.into_iter().find(|holder| holder.may_be_run) else {
            return Ok(PairLock::Taken);
        };
        self.release(server.connection)
            .await
            .map_err(|error| server.connector.explain(WHAT, false, error))?;
        Ok(PairLock::Held(run))
    }

    /// Confirms before a change that no other run has the first name, which a bystander may have
    /// released.
    ///
    /// # Errors
    /// [`EngineError::Busy`] if another run may have it.
    pub(super) async fn confirm(&mut self, server: &mut Server<'_>) -> Result<(), EngineError> {
        let Some((pair, held)) = &mut self.held else {
            return Ok(());
        };
        let first = first_name(&pair.base);
        if held.contains(&first) {
            return Ok(());
        }
        match server.attempt(pair, &first).await? {
            Attempt::Taken => held.push(first),
            Attempt::Held(run) if run.may_be_run => {
                return Err(EngineError::Busy {
                    what: "changing the standby".into(),
                    reason: format!("another run took the pair's lock, {}", run.id),
                });
            }
            Attempt::Held(_) => {}
        }
        Ok(())
    }

    /// Whether this session holds a name.
    pub(super) const fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Frees the names of this session. `false`: the server says that it held none.
    pub(super) async fn release(&mut self, connection: &mut MySqlConnection) -> sqlx::Result<bool> {
        let mut freed = true;
        for name in self.held.take().map(|(_, names)| names).unwrap_or_default() {
            let query = sqlx::query_scalar::<_, Option<i64>>("SELECT RELEASE_LOCK(?)")
                .bind(name)
                .fetch_one(&mut *connection);
            freed &= timeouts::statement(query).await? == Some(1);
        }
        Ok(freed)
    }
}

/// Result of an attempt to take one name.
enum Attempt {
    Taken,
    Held(LockHolder),
}

/// Row of the process list.
struct Process {
    user: String,
    host: Option<String>,
    /// Start of the current command, in seconds since the epoch.
    since: Option<i64>,
}

impl Server<'_> {
    async fn attempt(&mut self, pair: &Pair, name: &str) -> Result<Attempt, EngineError> {
        for _ in 0..ATTEMPTS {
            let query = sqlx::query_as::<_, (Option<i64>, Option<u64>)>(
                "SELECT GET_LOCK(?, 0), CAST(IS_USED_LOCK(?) AS UNSIGNED)",
            )
            .bind(name)
            .bind(name)
            .fetch_one(&mut *self.connection);
            let (taken, id) = timeouts::statement(query)
                .await
                .map_err(|error| self.connector.explain(WHAT, false, error))?;
            if taken == Some(1) {
                return Ok(Attempt::Taken);
            }
            if let Some(id) = id
                && let Some(holder) = self.holder(pair, id).await?
            {
                return Ok(Attempt::Held(holder));
            }
        }
        Ok(Attempt::Held(LockHolder {
            id: "a connection that ended".into(),
            user: None,
            client: None,
            application: None,
            since: None,
            may_be_run: true,
            end: "wait for the next attempt".into(),
        }))
    }

    /// An attempt at the name of a session that was just ended: the server frees it a little later.
    async fn attempt_after_end(&mut self, pair: &Pair, name: &str) -> Result<Attempt, EngineError> {
        let mut pauses = ENDING_PAUSES;
        loop {
            let attempt = self.attempt(pair, name).await?;
            if pauses == 0 || matches!(attempt, Attempt::Taken) {
                return Ok(attempt);
            }
            pauses -= 1;
            tokio::time::sleep(ENDING_PAUSE).await;
        }
    }

    /// The other holders of the lock's names.
    pub(super) async fn holders(&mut self, pair: &Pair) -> Result<Vec<LockHolder>, EngineError> {
        let first = first_name(&pair.base);
        let names: Vec<String> = std::iter::once(first.clone())
            .chain(further_names(&first))
            .collect();
        let read = vec!["CAST(IS_USED_LOCK(?) AS UNSIGNED)"; names.len()].join(", ");
        let sql = format!("SELECT CAST(CONNECTION_ID() AS UNSIGNED), {read}");
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for name in names {
            query = query.bind(name);
        }
        let explain = |error| {
            self.connector
                .explain("reading the holders of the pair's lock", false, error)
        };
        let row = timeouts::statement(query.fetch_one(&mut *self.connection))
            .await
            .map_err(explain)?;
        let own: u64 = row.try_get(0).map_err(explain)?;
        let mut ids = Vec::new();
        for column in 1..=NAMES {
            let id: Option<u64> = row.try_get(column).map_err(explain)?;
            ids.extend(id.filter(|id| *id != own && !ids.contains(id)));
        }
        let mut all = Vec::new();
        for id in ids {
            all.extend(self.holder(pair, id).await?);
        }
        Ok(all)
    }

    /// The session with this id; `None` if it ended.
    async fn holder(&mut self, pair: &Pair, id: u64) -> Result<Option<LockHolder>, EngineError> {
        let process = self.process(id).await?;
        if process.is_none() && self.master.sees_sessions() {
            return Ok(None);
        }
        let user = process.as_ref().map(|process| process.user.clone());
        let may_be_run = match &user {
            Some(user) => self.may_be_run(pair, user).await?,
            None => true,
        };
        let end = if user.is_some() {
            format!("KILL {id}")
        } else {
            format!(
                "GRANT PROCESS ON *.* TO {}, so that a run sees whose connection {id} is",
                self.master.account
            )
        };
        let process = process.as_ref();
        Ok(Some(LockHolder {
            id: format!("connection {id}"),
            user,
            client: process
                .and_then(|process| process.host.as_deref())
                .and_then(|host| Some(host.rsplit_once(':')?.0.to_owned())),
            application: None,
            since: process
                .and_then(|process| process.since)
                .and_then(|since| DateTime::from_timestamp(since, 0)),
            may_be_run,
            end,
        }))
    }

    async fn process(&mut self, id: u64) -> Result<Option<Process>, EngineError> {
        let query = sqlx::query(
            "SELECT CAST(USER AS CHAR), CAST(HOST AS CHAR), \
             CAST(UNIX_TIMESTAMP() - TIME AS SIGNED) \
             FROM information_schema.PROCESSLIST WHERE ID = ?",
        )
        .bind(id)
        .fetch_optional(&mut *self.connection);
        let read = async {
            let Some(row) = timeouts::statement(query).await? else {
                return Ok(None);
            };
            Ok(Some(Process {
                user: row.try_get(0)?,
                host: row.try_get(1)?,
                since: row.try_get(2)?,
            }))
        };
        read.await.map_err(|error| {
            self.connector
                .explain("reading the holder of the pair's lock", false, error)
        })
    }

    /// Whether a run can sign in as this user: it may change users, by itself or by a role. `true`
    /// if the master cannot read that.
    async fn may_be_run(&mut self, pair: &Pair, user: &str) -> Result<bool, EngineError> {
        if user == self.connector.user || user == self.master.account.user {
            return Ok(true);
        }
        if user == pair.base || user == pair.clone {
            return Ok(false);
        }
        if !self.master.reads_accounts() {
            return Ok(true);
        }
        let roles = if self.dialect.is_mariadb() {
            "SELECT Role FROM mysql.roles_mapping JOIN held ON User = held.name"
        } else {
            "SELECT FROM_USER FROM mysql.role_edges JOIN held ON TO_USER = held.name"
        };
        let sql = format!(
            "WITH RECURSIVE held (name) AS (\
             SELECT User FROM mysql.user WHERE User = ? UNION {roles}) \
             SELECT COUNT(*) FROM mysql.user WHERE User IN (SELECT name FROM held) \
             AND 'Y' IN (Create_user_priv, Super_priv)"
        );
        let query = sqlx::query_scalar::<_, i64>(AssertSqlSafe(sql))
            .bind(user)
            .fetch_one(&mut *self.connection);
        let accounts = timeouts::statement(query).await.map_err(|error| {
            self.connector
                .explain("reading the rights of the lock's holder", false, error)
        })?;
        Ok(accounts > 0)
    }

    /// Ends a session that is no run. `false`: the master may not.
    async fn end(&mut self, bystander: &LockHolder) -> Result<bool, EngineError> {
        let what = "ending the session that holds the pair's lock";
        let query = sqlx::raw_sql(AssertSqlSafe(bystander.end.clone()));
        match timeouts::statement(query.execute(&mut *self.connection)).await {
            Ok(_) => Ok(true),
            Err(sqlx::Error::Database(error)) => {
                Ok(number_and_message(&*error).0 == NO_SUCH_THREAD)
            }
            Err(error) => Err(self.connector.explain(what, false, error)),
        }
    }
}

fn further_names(first: &str) -> impl Iterator<Item = String> {
    (2..=NAMES).map(move |number| format!("{first}#{number}"))
}

/// The name that version 0.1 uses: a hash, because a lock's name has at most 64 characters (MySQL
/// manual, "Locking Functions"), and a user's may have more.
fn first_name(base: &str) -> String {
    let hash = digest::digest(&digest::SHA256, base.as_bytes());
    let mut name = "twinkey/pair/".to_owned();
    for byte in hash.as_ref().iter().take(16) {
        // Writing to a String cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}
