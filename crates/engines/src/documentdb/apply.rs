//! Changes are carried out as planned, to the letter.
//!
//! What can go wrong, and what prevents it:
//! - a cut leaves half of it, for nothing here is transactional: the plan's order makes every beginning of the
//!   list harmless, and the next look finds the rest;
//! - the pair's lock has run out: it is renewed before each command, and who lost it stops;
//! - a retry finds other commands in the way: nothing here reads or decides;
//! - the password leaks: the driver's log leaves these commands out, and an error repeats nothing that could quote one.

use mongodb::bson::Document;
use secrecy::ExposeSecret;

use super::connect::Connection;
use super::lock::Held;
use crate::{EngineError, Filled};

/// Carries `changes` out in order, in `own` where they name no other database.
pub(super) async fn apply(
    connection: &Connection,
    lock: Option<&Held>,
    own: &str,
    changes: &[Filled],
) -> Result<(), EngineError> {
    for change in changes {
        if let Some(lock) = lock {
            lock.renew().await?;
        }
        let command = command(change.sent.expose_secret(), &change.shown)?;
        let database = change.database.as_deref().unwrap_or(own);
        let secret = change.filling.is_some();
        let done = connection.ask(database, command).await;
        done.map_err(|failure| connection.explain(&change.shown, secret, failure))?;
    }
    Ok(())
}

/// The command that is `text`, called `shown` where it is none.
pub(super) fn command(text: &str, shown: &str) -> Result<Document, EngineError> {
    serde_json::from_str(text).map_err(|error| EngineError::Refused {
        what: shown.to_owned(),
        // Where, and not what: the text may hold a password.
        reason: format!("it is no command in JSON (column {})", error.column()),
        hint: "a command is one JSON object, such as {\"ping\": 1}".into(),
    })
}
