//! The mark of a running server ([`crate::mark`]): an advisory lock. Every user sees those of all
//! databases in `pg_locks`.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};

use super::connect::Connector;
use crate::{EngineError, mark, timeouts};

/// Takes the lock, and returns its key.
pub(super) async fn place(
    connection: &mut PgConnection,
    connector: &Connector,
) -> Result<String, EngineError> {
    let key = mark::random()?;
    let sql = format!("SELECT pg_catalog.pg_advisory_lock('{key}')");
    let query = sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection);
    timeouts::statement(query)
        .await
        .map_err(|error| connector.explain("marking the server", false, error))?;
    Ok(key.to_string())
}

/// Frees the lock.
pub(super) async fn remove(
    connection: &mut PgConnection,
    connector: &Connector,
    mark: &str,
) -> Result<(), EngineError> {
    let Ok(key) = mark.parse::<i64>() else {
        return Ok(());
    };
    let sql = format!("SELECT pg_catalog.pg_advisory_unlock('{key}')");
    let query = sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection);
    timeouts::statement(query)
        .await
        .map_err(|error| connector.explain("removing the mark of the server", false, error))?;
    Ok(())
}

/// Whether a session of this server holds the lock.
pub(super) async fn is_seen(
    connection: &mut PgConnection,
    connector: &Connector,
    mark: &str,
) -> Result<Option<bool>, EngineError> {
    let Ok(key) = mark.parse::<i64>().map(i64::cast_unsigned) else {
        return Ok(None);
    };
    let (high, low) = (key >> 32, key & u64::from(u32::MAX));
    let sql = format!(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' \
         AND classid = '{high}'::oid AND objid = '{low}'::oid AND objsubid = 1)"
    );
    let query = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(connection);
    let row = timeouts::statement(query).await;
    let seen = row.and_then(|row| row.try_get(0));
    seen.map(Some)
        .map_err(|error| connector.explain("reading the mark of the server", false, error))
}
