//! Authorization of callers. Every action authorizes its caller before it reads a secret, so that
//! no path skips it and no caller learns whether another caller's secret exists.

use super::super::naming::name_of;
use super::super::refusal::{Refusal, RefusalKind};
use super::action::Action;

/// Caller of an action.
pub trait Caller: Send + Sync {
    /// Whether the caller may perform an action on a secret; without a name, on any secret.
    fn may(&self, action: Action, secret: Option<&str>) -> bool;

    /// The ARN of the caller, for messages.
    fn arn(&self) -> String;
}

/// Caller with all permissions, behind a router that requires no signature.
pub struct Unrestricted;

impl Caller for Unrestricted {
    fn may(&self, _: Action, _: Option<&str>) -> bool {
        true
    }

    fn arn(&self) -> String {
        "arn:aws:iam::000000000000:root".to_owned()
    }
}

/// Refuses an action that the caller may not perform on a secret, with the message of AWS.
pub(super) fn require(caller: &dyn Caller, action: Action, secret_id: &str) -> Result<(), Refusal> {
    if caller.may(action, Some(name_of(secret_id))) {
        return Ok(());
    }
    Err(denied(caller, action, secret_id))
}

/// Refuses an action that the caller may not perform on any secret.
pub(super) fn require_any(caller: &dyn Caller, action: Action) -> Result<(), Refusal> {
    if caller.may(action, None) {
        return Ok(());
    }
    Err(denied(caller, action, "*"))
}

fn denied(caller: &dyn Caller, action: Action, resource: &str) -> Refusal {
    let (arn, action) = (caller.arn(), action.name());
    Refusal::new(
        RefusalKind::AccessDenied,
        format!(
            "User: {arn} is not authorized to perform: secretsmanager:{action} on resource: {resource} \
             because no identity-based policy allows the secretsmanager:{action} action"
        ),
    )
}
