//! Changes with the password in their slots, as they are sent: what comes last between a plan and its database.
//!
//! What can go wrong, and what prevents it:
//! - a password in a text is shown: what is sent is [`Sensitive`], and beside it is what may be shown;
//! - a run waits while the stored form of a password is made, which takes thousands of rounds: it is made apart from the
//!   database's connection, beside whatever else the run waits for.

use super::{Change, EngineError};
use twinkey_core::secret::Sensitive;

/// One change, as it is sent.
#[derive(Debug, Clone)]
pub struct Filled {
    /// The database in which it is carried out, where that is not the rotation's own.
    pub database: Option<String>,
    /// As `plan` prints it, with `***` for what is in the slot.
    pub shown: String,
    pub sent: Sensitive,
    /// What is in the slot, if there is one.
    pub filling: Option<Sensitive>,
}

/// The changes in order, `password` in their slots.
///
/// # Errors
/// Those of [`Slot::fill`](super::Slot::fill).
pub fn fill(changes: &[Change], password: &Sensitive) -> Result<Vec<Filled>, EngineError> {
    let filled = |change: &Change| {
        let statement = &change.statement;
        let shown = statement.to_string();
        let (sent, filling) = match statement.slot() {
            None => (shown.clone().into(), None),
            Some(slot) => {
                let filling = slot.fill(password)?;
                (statement.filled(&filling), Some(filling))
            }
        };
        Ok(Filled {
            database: change.database.clone(),
            shown,
            sent,
            filling,
        })
    };
    changes.iter().map(filled).collect()
}
