//! Open sessions of a user.
//!
//! A pooler executes `DISCARD ALL` between two clients (PgBouncer's `server_reset_query`). An idle session
//! with that last statement is one that it keeps open.
//!
//! Sessions with the application name `twinkey` are excluded: they are sign-ins of a worker. Where
//! the master may not see a session's details (without `pg_read_all_stats`, which `pg_monitor`
//! includes), the session is counted without them. When sessions are ended, the name excludes none:
//! any client can choose it.

use std::time::Duration;

use chrono::DateTime;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};

use super::connect::{APPLICATION, Connector};
use super::quote::{any_literal, ident};
use crate::session_ending::{SessionEnding, WHAT};
use crate::{EngineError, Finding, SOME_POOLER, Session, timeouts};

/// Rounds until every session has ended.
const ROUNDS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(50);

const SESSIONS: &str = "SELECT host(client_addr), nullif(application_name, ''), \
     (extract(epoch FROM backend_start) * 1000)::bigint, \
     coalesce(state = 'idle', false), \
     coalesce(state = 'idle' AND query = 'DISCARD ALL', false) \
     FROM pg_catalog.pg_stat_activity \
     WHERE usename = {user} AND pid <> pg_backend_pid() \
     AND application_name IS DISTINCT FROM {application} \
     AND coalesce(backend_type, 'client backend') = 'client backend' \
     ORDER BY backend_start NULLS LAST, pid";

pub(super) async fn of_user(
    connection: &mut PgConnection,
    connector: &Connector,
    user: &str,
) -> Result<Vec<Session>, EngineError> {
    let read = || async {
        // A user of the pair may read this through a pooler, which keeps prepared statements.
        let sessions = SESSIONS
            .replace("{user}", &any_literal(user))
            .replace("{application}", &any_literal(APPLICATION));
        sqlx::raw_sql(AssertSqlSafe(sessions))
            .fetch_all(connection)
            .await?
            .iter()
            .map(|row| {
                Ok(Session {
                    user: user.to_owned(),
                    client: row.try_get(0)?,
                    application: row.try_get(1)?,
                    since: row
                        .try_get::<Option<i64>, _>(2)?
                        .and_then(DateTime::from_timestamp_millis),
                    idle: row.try_get(3)?,
                    pooler: row.try_get::<bool, _>(4)?.then(|| SOME_POOLER.to_owned()),
                })
            })
            .collect::<Result<Vec<_>, sqlx::Error>>()
    };
    timeouts::statement(read())
        .await
        .map_err(|error| connector.explain("listing sessions", false, error))
}

/// `pg_terminate_backend` accepts members of `pg_signal_backend` and of the session's user.
const MAY_END: &str = "SELECT rolname::text, rolsuper \
     OR pg_has_role(oid, 'pg_signal_backend', 'USAGE') OR pg_has_role(oid, $1, 'USAGE') \
     FROM pg_catalog.pg_roles WHERE rolname = session_user";

/// The list is materialized: the function must see the sessions of one user only.
const END: &str = "WITH ended AS MATERIALIZED (\
     SELECT pid FROM pg_catalog.pg_stat_activity WHERE usename = $1 AND pid <> pg_backend_pid() \
     AND coalesce(backend_type, 'client backend') = 'client backend') \
     SELECT pid, pg_terminate_backend(pid) FROM ended";

/// The privilege that the master lacks to end the sessions of `user`.
pub(super) async fn cannot_end(
    connection: &mut PgConnection,
    connector: &Connector,
    user: &str,
) -> Result<Vec<Finding>, EngineError> {
    let query = sqlx::query_as::<_, (String, bool)>(MAY_END)
        .bind(user)
        .fetch_one(connection);
    let (master, may) = timeouts::statement(query)
        .await
        .map_err(|error| connector.explain("reading who may end sessions", false, error))?;
    if may {
        return Ok(Vec::new());
    }
    Ok(vec![Finding::lacks(
        format!("the master {master:?} may not end the sessions of {user:?}"),
        format!("GRANT pg_signal_backend TO {}", ident(&master)),
    )])
}

/// Ends all sessions of `user`; returns their number.
pub(super) async fn end(
    connection: &mut PgConnection,
    connector: &Connector,
    user: &str,
) -> Result<usize, EngineError> {
    let mut ending = SessionEnding::new(user, ROUNDS, PAUSE);
    loop {
        let query = sqlx::query_as::<_, (i32, bool)>(END)
            .bind(user)
            .fetch_all(&mut *connection);
        let found = timeouts::statement(query)
            .await
            .map_err(|error| connector.explain(WHAT, false, error))?;
        if found.is_empty() {
            return Ok(ending.count());
        }
        let ids = found.into_iter().map(|(pid, _)| pid).collect();
        ending.finish_round(ids).await?;
    }
}
