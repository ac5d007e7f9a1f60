//! Who is signed in as a user.
//!
//! What can go wrong, and what prevents it:
//! - the master sees its own sessions only (no PROCESS), and "nobody" is wrong: then it cannot be known;
//! - our own proof, closed a moment ago, is still listed: the server takes a moment to clear it away,
//!   so a list that is not empty is read once more;
//! - when a session began is not to be had here (the process list says since when it does what it does
//!   now): it is left out rather than guessed.

use std::time::Duration;

use sqlx::Row;
use sqlx::mysql::MySqlConnection;

use super::connect::Peer;
use crate::{EngineError, Session, proof};

const A_MOMENT: Duration = Duration::from_millis(50);

/// `HOST` is `address:port`, or only `localhost` for a socket. There in both servers, in MySQL with the
/// warning that `performance_schema.processlist` will take its place; that one may be switched off.
const SESSIONS: &str = "SELECT CAST(HOST AS CHAR) FROM information_schema.PROCESSLIST \
     WHERE USER = ? AND ID <> CONNECTION_ID() ORDER BY ID";

pub(super) async fn of_user(
    connection: &mut MySqlConnection,
    peer: &Peer,
    user: &str,
) -> Result<Vec<Session>, EngineError> {
    let found = read(connection, peer, user).await?;
    if found.is_empty() {
        return Ok(found);
    }
    tokio::time::sleep(A_MOMENT).await;
    read(connection, peer, user).await
}

async fn read(
    connection: &mut MySqlConnection,
    peer: &Peer,
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
    proof::answer(read)
        .await
        .map_err(|error| peer.explain("listing sessions", false, error))
}
