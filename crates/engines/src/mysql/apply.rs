//! Execution of planned changes, without any decision.
//!
//! # Failure modes
//! - A crash leaves a half-made standby, because account statements are not transactional: the
//!   plan's order makes every prefix of the list harmless, and the next inspection finds the rest.
//! - A log shows the hash: account statements take no parameters, so the text holds it, and the
//!   driver's log is disabled.

use secrecy::ExposeSecret;
use sqlx::mysql::MySqlConnection;

use super::connect::Connector;
use crate::{EngineError, RenderedChange};

/// Executes `changes` in order.
pub(super) async fn apply(
    connection: &mut MySqlConnection,
    connector: &Connector,
    changes: &[RenderedChange],
) -> Result<(), EngineError> {
    for change in changes {
        let text = change.sent.expose_secret().to_owned();
        let secret = change.rendered_password.is_some();
        connector
            .run(connection, &change.shown, text, secret)
            .await?;
    }
    Ok(())
}
