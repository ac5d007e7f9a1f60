//! The mark of a running server ([`crate::mark`]): a named lock. Every user may ask for its holder.

use sqlx::mysql::MySqlConnection;

use super::connect::Connector;
use crate::{EngineError, mark, timeouts};

/// Takes the lock, and returns its name.
pub(super) async fn place(
    connection: &mut MySqlConnection,
    connector: &Connector,
) -> Result<Option<String>, EngineError> {
    let name = format!("twinkey/server/{:016x}", mark::random()?);
    let query = sqlx::query_scalar::<_, Option<i64>>("SELECT GET_LOCK(?, 0)")
        .bind(&name)
        .fetch_one(connection);
    let taken = timeouts::statement(query)
        .await
        .map_err(|error| connector.explain("marking the server", false, error))?;
    Ok((taken == Some(1)).then_some(name))
}

/// Frees the lock.
pub(super) async fn remove(
    connection: &mut MySqlConnection,
    connector: &Connector,
    mark: &str,
) -> Result<(), EngineError> {
    let query = sqlx::query_scalar::<_, Option<i64>>("SELECT RELEASE_LOCK(?)")
        .bind(mark)
        .fetch_one(connection);
    timeouts::statement(query)
        .await
        .map_err(|error| connector.explain("removing the mark of the server", false, error))?;
    Ok(())
}

/// Whether a session of this server holds the lock.
pub(super) async fn is_seen(
    connection: &mut MySqlConnection,
    connector: &Connector,
    mark: &str,
) -> Result<Option<bool>, EngineError> {
    let query = sqlx::query_scalar::<_, i64>("SELECT CAST(IS_USED_LOCK(?) IS NOT NULL AS SIGNED)")
        .bind(mark)
        .fetch_one(connection);
    let seen = timeouts::statement(query)
        .await
        .map_err(|error| connector.explain("reading the mark of the server", false, error))?;
    Ok(Some(seen == 1))
}
