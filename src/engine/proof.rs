//! How long a proof of a sign-in may take, on every engine that is spoken to over a connection.

use std::time::Duration;

use super::EngineError;

/// For everything that a proof of a sign-in asks, the probes included.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

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
