//! Changes are carried out as planned, to the letter; only the password's slot is filled here.
//!
//! What can go wrong, and what prevents it:
//! - a cut leaves half of it, for account statements are not transactional here: the plan's order
//!   makes every beginning of the list harmless, and the next look finds the rest;
//! - a retry finds other statements in the way: nothing here reads or decides;
//! - the hash leaks: it is put into the text just before it is sent, as a text statement (account
//!   statements take no parameters), and the driver's log is off.

use secrecy::ExposeSecret;
use sqlx::mysql::MySqlConnection;

use super::connect::Peer;
use crate::engine::{Change, EngineError};
use crate::secret::Sensitive;

/// Carries `changes` out in order.
pub(super) async fn apply(
    connection: &mut MySqlConnection,
    peer: &Peer,
    changes: &[Change],
    password: &Sensitive,
) -> Result<(), EngineError> {
    for change in changes {
        let shown = change.statement.to_string();
        match change.statement.slot() {
            None => peer.run(connection, &shown, shown.clone(), false).await?,
            Some(slot) => {
                let filling = slot.fill(password)?;
                let text = change.statement.filled(&filling).expose_secret().to_owned();
                peer.run(connection, &shown, text, true).await?;
            }
        }
    }
    Ok(())
}
