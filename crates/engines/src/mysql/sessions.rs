//! Open sessions of a user.
//!
//! # Failure modes
//! - Without PROCESS the master sees only its own sessions, and an empty list is wrong: the list is
//!   then not available.
//! - twinkey's own sign-in, just closed, is still listed, because the server removes it late: a
//!   list that is not empty is read again after a pause.
//! - The start of a session is not available: the process list has the start of the current command
//!   only.

use std::time::Duration;

use sqlx::Row;
use sqlx::mysql::MySqlConnection;

use super::connect::Connector;
use crate::{EngineError, Session, timeouts};

const REREAD_DELAY: Duration = Duration::from_millis(50);

/// `HOST` is `address:port`, or `localhost` for a socket. MySQL warns that
/// `performance_schema.processlist` replaces this table, but that one may be disabled.
const SESSIONS: &str = "SELECT CAST(HOST AS CHAR) FROM information_schema.PROCESSLIST \
     WHERE USER = ? AND ID <> CONNECTION_ID() ORDER BY ID";

pub(super) async fn of_user(
    connection: &mut MySqlConnection,
    connector: &Connector,
    user: &str,
) -> Result<Vec<Session>, EngineError> {
    let found = read(connection, connector, user).await?;
    if found.is_empty() {
        return Ok(found);
    }
    tokio::time::sleep(REREAD_DELAY).await;
    read(connection, connector, user).await
}

async fn read(
    connection: &mut MySqlConnection,
    connector: &Connector,
    user: &str,
) -> Result<Vec<Session>, EngineError> {
    let read = async {
        sqlx::query(SESSIONS)
            .bind(user)
            .fetch_all(connection)
            .await?
            .iter()
            .map(|row| {
                let host: Option<String> = row.try_get(0)?;
                Ok(Session {
                    user: user.to_owned(),
                    client: host.and_then(|host| {
                        let (address, _) = host.rsplit_once(':')?;
                        Some(address.to_owned())
                    }),
                    application: None,
                    since: None,
                })
            })
            .collect::<Result<Vec<_>, sqlx::Error>>()
    };
    timeouts::statement(read)
        .await
        .map_err(|error| connector.explain("listing sessions", false, error))
}
