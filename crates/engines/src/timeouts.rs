//! Time limits of a sign-in, a statement and a close, on engines that twinkey connects to.
//!
//! # Failure modes
//! - The network drops packets in the middle of a statement, so the server's own limit cannot end
//!   the wait: these limits end it here.

use std::time::Duration;

use super::EngineError;

/// For all of a sign-in, its checks included.
pub(super) const SIGN_IN_LIMIT: Duration = Duration::from_secs(30);

/// For the answer to one statement. Longer than the server's own limit of 30 s, whose error message
/// says more.
#[cfg(any(feature = "mysql", feature = "postgres"))]
const STATEMENT_LIMIT: Duration = Duration::from_secs(35);

/// For the last message on a connection, which callers wait for.
#[cfg(any(feature = "mysql", feature = "postgres"))]
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// The server's answer to one statement. A timeout is an error of the connection, which must not be
/// used again.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(super) async fn statement<T>(
    execution: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(STATEMENT_LIMIT, execution).await {
        Ok(answer) => answer,
        Err(_) => {
            let reason = format!("no answer within {} seconds", STATEMENT_LIMIT.as_secs());
            Err(sqlx::Error::Io(std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                reason,
            )))
        }
    }
}

/// Sends the last message on a connection; `None` on a timeout. What the message frees is then
/// freed a moment later, when the server notices the end of the connection.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(super) async fn close_gracefully<T>(closing: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(CLOSE_LIMIT, closing).await.ok()
}

/// The result of a sign-in at `host` and `port`, or [`EngineError::Unreachable`] on a timeout.
pub(super) async fn sign_in<T>(
    host: &str,
    port: u16,
    signing_in: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, EngineError> {
    match tokio::time::timeout(SIGN_IN_LIMIT, signing_in).await {
        Ok(result) => result,
        Err(_) => Err(EngineError::Unreachable {
            host: host.to_owned(),
            port,
            reason: format!(
                "no answer within {} seconds of the sign-in",
                SIGN_IN_LIMIT.as_secs()
            ),
        }),
    }
}
