//! Mark of a running server: a lock whose name is random, which every session there sees.
//!
//! # Failure modes
//! - Two servers report one identity, because one was restored from a snapshot of the other. No
//!   session at one of them sees a lock of the other, and no application guesses its name.

use aws_lc_rs::rand;

use crate::EngineError;

/// A number that no other session uses.
///
/// # Errors
/// [`EngineError::Refused`] if the operating system has no random bytes.
pub fn random() -> Result<i64, EngineError> {
    let mut bytes = [0_u8; 8];
    rand::fill(&mut bytes).map_err(|_| EngineError::Refused {
        what: "marking the server".into(),
        reason: "the operating system returned no random bytes".into(),
        hint: "check the random number generator of the worker's machine".into(),
    })?;
    Ok(i64::from_be_bytes(bytes))
}
