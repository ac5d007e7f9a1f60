//! Execution of planned changes.
//!
//! # Failure modes
//! - An interruption leaves a part of the changes, because commands are not transactional. Every
//!   prefix of the list is harmless, and the next inspection finds the rest.
//! - The pair's lock has expired. It is renewed before each command, and a failure ends the run.
//! - The password leaks. The driver does not log these commands, and errors show no message that
//!   could quote one.

use mongodb::bson::Document;
use secrecy::ExposeSecret;

use super::connect::Connection;
use super::lock::HeldLock;
use crate::{EngineError, RenderedChange};

/// Applies `changes` in order, in the database `own` unless they name another.
pub(super) async fn apply(
    connection: &Connection,
    lock: Option<&HeldLock>,
    own: &str,
    changes: &[RenderedChange],
) -> Result<(), EngineError> {
    for change in changes {
        if let Some(lock) = lock {
            lock.renew().await?;
        }
        let command = command(change.sent.expose_secret(), &change.shown)?;
        let database = change.database.as_deref().unwrap_or(own);
        let secret = change.rendered_password.is_some();
        let done = connection.try_run(database, command).await;
        done.map_err(|failure| connection.explain(&change.shown, secret, failure))?;
    }
    Ok(())
}

/// Parses the command `text`; an error shows `shown` instead of it.
pub(super) fn command(text: &str, shown: &str) -> Result<Document, EngineError> {
    serde_json::from_str(text).map_err(|error| EngineError::Refused {
        what: shown.to_owned(),
        // Only the position: the text may contain a password.
        reason: format!("it is not a JSON object (column {})", error.column()),
        hint: "write a command as one JSON object, such as {\"ping\": 1}".into(),
    })
}
