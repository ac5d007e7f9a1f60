//! Checks of user names that the engines share.

use super::EngineError;

/// Checks that the name is not empty, holds no NUL, and has at most `limit` bytes.
///
/// # Errors
/// [`EngineError::UserName`], with `whose` limit it exceeds.
pub(super) fn check(name: &str, limit: usize, whose: &str) -> Result<(), EngineError> {
    if name.is_empty() {
        return refuse(name, "it is empty");
    }
    if name.contains('\0') {
        return refuse(name, "it holds a NUL character");
    }
    if name.len() > limit {
        let bytes = name.len();
        let reason = format!("it has {bytes} bytes, and {whose} takes at most {limit}");
        return refuse(name, reason);
    }
    Ok(())
}

/// # Errors
/// [`EngineError::UserName`], always.
pub(super) fn refuse(name: &str, reason: impl Into<String>) -> Result<(), EngineError> {
    Err(EngineError::UserName {
        name: name.to_owned(),
        reason: reason.into(),
    })
}
