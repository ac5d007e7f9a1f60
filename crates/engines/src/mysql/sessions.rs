//! Open sessions of a user.
//!
//! # Failure modes
//! - Without PROCESS the master sees only its own sessions, and an empty list is wrong: the list is
//!   then not available.
//! - twinkey's own sign-in, just closed, is still listed, because the server removes it late: a
//!   list that is not empty is read again after a pause.
//! - A session of another user is ended: the process list compares names without case, so they are
//!   compared as bytes.
//! - On RDS no user has the privilege to end sessions: `mysql.rds_kill` does it there.
//! - The start of a session is not available: the process list has the start of the current command
//!   only.

use std::time::Duration;

use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Row};

use super::accounts;
use super::connect::{Connector, number_and_message};
use super::dialect::Dialect;
use super::inspect::facts::Master;
use crate::session_ending::{SessionEnding, WHAT};
use crate::{EngineError, Finding, Replication, Session, timeouts};

const REREAD_DELAY: Duration = Duration::from_millis(50);
/// Rounds until every session has ended.
const ROUNDS: u32 = 100;
/// `ER_NO_SUCH_THREAD`
pub(super) const NO_SUCH_THREAD: u16 = 1094;

/// `HOST` is `address:port`, or `localhost` for a socket. MySQL warns that
/// `performance_schema.processlist` replaces this table, but that one may be disabled.
const SESSIONS: &str = "SELECT CAST(HOST AS CHAR) FROM information_schema.PROCESSLIST \
     WHERE CAST(USER AS BINARY) = CAST(? AS BINARY) AND ID <> CONNECTION_ID() ORDER BY ID";

/// The clients of a user that use accounts of the pair: see `accounts.rs`.
#[derive(Debug)]
pub(super) struct Clients(Option<(Vec<String>, Vec<String>)>);

impl Clients {
    pub(super) const fn all() -> Self {
        Self(None)
    }

    /// The clients of the listed accounts, among all accounts of the user at `hosts`.
    pub(super) const fn of_accounts(listed: Vec<String>, hosts: Vec<String>) -> Self {
        Self(Some((listed, hosts)))
    }

    /// Whether a client, as `HOST` of the process list, is among them.
    fn include(&self, host: &str) -> bool {
        let Some((listed, hosts)) = &self.0 else {
            return true;
        };
        let client = host.rsplit_once(':').map_or(host, |(address, _)| address);
        // A client that matches no pattern is named by another form of its address.
        accounts::selected(hosts, client).is_none_or(|host| accounts::is_listed(Some(listed), host))
    }
}

pub(super) async fn of_user(
    connection: &mut MySqlConnection,
    connector: &Connector,
    user: &str,
    clients: &Clients,
) -> Result<Vec<Session>, EngineError> {
    let found = read(connection, connector, user, clients).await?;
    if found.is_empty() {
        return Ok(found);
    }
    tokio::time::sleep(REREAD_DELAY).await;
    read(connection, connector, user, clients).await
}

/// A number, or a word from MariaDB 12 on.
const READ_ONLY: &str = "SELECT CAST(@@global.read_only AS CHAR)";
/// Only privileges that the user has itself are listed, not those of a role.
const HAS_PROCESS: &str = "SELECT COUNT(*) FROM information_schema.USER_PRIVILEGES \
     WHERE PRIVILEGE_TYPE = 'PROCESS'";

/// What `signed_in` reads of a server as a replica, and the sessions of `user`. Without PROCESS it
/// sees only its own.
///
/// The lag needs a privilege that an application's user does not have. A server that accepts writes
/// can be a replica too. A server without an answer is not known as a replica: its identity tells
/// what it is.
pub(super) async fn at_reader(
    connection: &mut MySqlConnection,
    connector: &Connector,
    signed_in: &str,
    user: &str,
) -> Result<Replication, EngineError> {
    let explain =
        |error| connector.explain("reading whether the server is a replica", false, error);
    let query = sqlx::query_scalar(READ_ONLY).fetch_optional(&mut *connection);
    let read_only: Option<String> = timeouts::statement(query).await.map_err(explain)?;
    let query = sqlx::query_scalar(HAS_PROCESS).fetch_optional(&mut *connection);
    let processes: Option<i64> = timeouts::statement(query).await.map_err(explain)?;
    let sessions = if processes.is_some_and(|count| count > 0) || signed_in == user {
        let all = of_user(connection, connector, user, &Clients::all()).await?;
        Some(all)
    } else {
        None
    };
    Ok(Replication {
        is_replica: read_only
            .filter(|value| !matches!(&**value, "0" | "OFF"))
            .map(|_| true),
        lag: None,
        sessions,
    })
}

async fn read(
    connection: &mut MySqlConnection,
    connector: &Connector,
    user: &str,
    clients: &Clients,
) -> Result<Vec<Session>, EngineError> {
    let read = async {
        let rows = sqlx::query(SESSIONS).bind(user).fetch_all(connection);
        let hosts = rows.await?.into_iter().map(|row| row.try_get(0));
        let hosts: Vec<Option<String>> = hosts.collect::<Result<_, sqlx::Error>>()?;
        let hosts = hosts.into_iter().map(Option::unwrap_or_default);
        Ok(hosts
            .filter(|host| clients.include(host))
            .map(|host| Session {
                user: user.to_owned(),
                client: host.rsplit_once(':').map(|(address, _)| address.to_owned()),
                application: None,
                since: None,
                idle: false,
                pooler: None,
            })
            .collect())
    };
    timeouts::statement(read)
        .await
        .map_err(|error| connector.explain("listing sessions", false, error))
}

/// The privileges that the master lacks to end the sessions of another user.
pub(super) async fn cannot_end(
    connection: &mut MySqlConnection,
    connector: &Connector,
    master: &Master,
    dialect: &Dialect,
) -> Result<Vec<Finding>, EngineError> {
    let mut all = Vec::new();
    let account = &master.account;
    if !master.sees_sessions() {
        all.push(Finding::lacks(
            format!("the master {account} does not see the sessions that it should end"),
            format!("GRANT PROCESS ON *.* TO {account}"),
        ));
    }
    if !master.ends_sessions() && !has_rds_kill(connection, connector, master).await? {
        let right = if !dialect.is_mariadb() {
            "CONNECTION_ADMIN"
        } else if dialect.version < (10, 5) {
            "SUPER"
        } else {
            "CONNECTION ADMIN"
        };
        all.push(Finding::lacks(
            format!("the master {account} may not end the sessions of other users"),
            format!("GRANT {right} ON *.* TO {account}"),
        ));
    }
    Ok(all)
}

async fn has_rds_kill(
    connection: &mut MySqlConnection,
    connector: &Connector,
    master: &Master,
) -> Result<bool, EngineError> {
    if !master.calls_rds_kill() {
        return Ok(false);
    }
    let query = sqlx::query_scalar::<_, i64>(
        "SELECT COUNT(*) FROM information_schema.ROUTINES \
         WHERE ROUTINE_SCHEMA = 'mysql' AND ROUTINE_NAME = 'rds_kill'",
    )
    .fetch_one(connection);
    let found = timeouts::statement(query).await;
    found
        .map(|found| found > 0)
        .map_err(|error| connector.explain("looking for mysql.rds_kill", false, error))
}

/// Ends the sessions of `user` that `clients` includes; returns their number.
pub(super) async fn end(
    connection: &mut MySqlConnection,
    connector: &Connector,
    master: &Master,
    user: &str,
    clients: &Clients,
) -> Result<usize, EngineError> {
    let explain = |error| connector.explain(WHAT, false, error);
    let mut ending = SessionEnding::new(user, ROUNDS, REREAD_DELAY);
    loop {
        let query = sqlx::query_as::<_, (u64, Option<String>)>(
            "SELECT CAST(ID AS UNSIGNED), CAST(HOST AS CHAR) FROM information_schema.PROCESSLIST \
             WHERE CAST(USER AS BINARY) = CAST(? AS BINARY) AND ID <> CONNECTION_ID()",
        )
        .bind(user)
        .fetch_all(&mut *connection);
        let rows = timeouts::statement(query).await.map_err(explain)?;
        let ids: Vec<u64> = rows
            .into_iter()
            .filter(|(_, host)| clients.include(host.as_deref().unwrap_or_default()))
            .map(|(id, _)| id)
            .collect();
        if ids.is_empty() {
            return Ok(ending.count());
        }
        for id in &ids {
            let kill = if master.ends_sessions() {
                format!("KILL {id}")
            } else {
                format!("CALL mysql.rds_kill({id})")
            };
            let kill = sqlx::raw_sql(AssertSqlSafe(kill));
            match timeouts::statement(kill.execute(&mut *connection)).await {
                Ok(_) => {}
                Err(sqlx::Error::Database(error))
                    if number_and_message(&*error).0 == NO_SUCH_THREAD => {}
                Err(error) => return Err(explain(error)),
            }
        }
        ending.finish_round(ids).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_of_other_accounts_are_left_alone() {
        let text = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect();
        let clients = Clients::of_accounts(text(&["%"]), text(&["%", "10.%", "localhost"]));
        for (host, included) in [
            ("192.168.0.1:5000", true),
            ("10.0.0.1:5000", false),
            ("localhost", false),
            ("localhost:5000", false),
        ] {
            assert_eq!(clients.include(host), included, "{host}");
            assert!(Clients::all().include(host));
        }
    }
}
