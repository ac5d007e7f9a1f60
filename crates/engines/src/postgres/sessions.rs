//! Open sessions of a user.
//!
//! Sessions with the application name `twinkey` are excluded: they are sign-ins of a worker. Where
//! the master may not see a session's details (without `pg_read_all_stats`, which `pg_monitor`
//! includes), the session is counted without them.

use chrono::DateTime;
use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::connect::{APPLICATION, Connector};
use crate::{EngineError, Session, timeouts};

const SESSIONS: &str = "SELECT host(client_addr), nullif(application_name, ''), \
     (extract(epoch FROM backend_start) * 1000)::bigint \
     FROM pg_catalog.pg_stat_activity \
     WHERE usename = $1 AND pid <> pg_backend_pid() \
     AND application_name IS DISTINCT FROM $2 \
     AND coalesce(backend_type, 'client backend') = 'client backend' \
     ORDER BY backend_start NULLS LAST, pid";

pub(super) async fn of_user(
    connection: &mut PgConnection,
    connector: &Connector,
    user: &str,
) -> Result<Vec<Session>, EngineError> {
    let read = || async {
        sqlx::query(SESSIONS)
            .bind(user)
            .bind(APPLICATION)
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
                })
            })
            .collect::<Result<Vec<_>, sqlx::Error>>()
    };
    timeouts::statement(read())
        .await
        .map_err(|error| connector.explain("listing sessions", false, error))
}
