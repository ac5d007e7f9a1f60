//! How long a proof of a sign-in may take, a statement, and a farewell, on every engine that is spoken to over a
//! connection.
//!
//! What can go wrong: the server's limits end what the server still hears of. Where the network falls silent in the
//! middle of a statement, nobody ends it but we.

use std::io;
use std::time::Duration;

use super::EngineError;

/// For everything that a proof of a sign-in asks, the probes included.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

/// For the answer to one statement: more than the 30 s that the server is told, whose own words are the better ones.
const ANSWER: Duration = Duration::from_secs(35);

/// For the last words on a connection, which nobody may have to wait for.
const FAREWELL: Duration = Duration::from_secs(2);

/// What the server answers to one statement. Where it falls silent that is an error of the connection, which is of
/// no use any more.
pub(super) async fn answer<T>(
    asked: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(ANSWER, asked).await {
        Ok(answer) => answer,
        Err(_) => {
            let silent = format!("no answer within {} seconds", ANSWER.as_secs());
            Err(sqlx::Error::Io(io::Error::new(
                io::ErrorKind::TimedOut,
                silent,
            )))
        }
    }
}

/// Says the last words on a connection, if the server hears them in time: what they free is free a moment
/// later too, when the server notices that the connection is gone. Gives the answer, if there was one in time.
pub(super) async fn farewell<T>(words: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(FAREWELL, words).await.ok()
}

/// The proof, or that the server at `host` and `port` did not answer in time.
pub(super) async fn in_time<T>(
    host: &str,
    port: u16,
    proof: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, EngineError> {
    match tokio::time::timeout(LIMIT, proof).await {
        Ok(result) => result,
        Err(_) => Err(EngineError::Unreachable {
            host: host.to_owned(),
            port,
            reason: format!(
                "no answer within {} seconds of the sign-in",
                LIMIT.as_secs()
            ),
        }),
    }
}
