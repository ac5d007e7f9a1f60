//! Who asks, and what they may do: asked by every action before it looks at a secret, so that there is no
//! way around it, and nobody learns whether a secret is there that is not theirs to know of.

use super::super::naming::name_of;
use super::super::refusal::{Refusal, RefusalKind};
use super::action::Action;

/// Who asks.
pub trait Caller: Send + Sync {
    /// Whether they may do this with the secret of that name; without a name, with any at all.
    fn may(&self, action: Action, secret: Option<&str>) -> bool;

    /// Who they are, as AWS's messages say it: a user's ARN.
    fn arn(&self) -> String;
}

/// Those who may do everything: behind a router that asks for no signature.
pub struct Unrestricted;

impl Caller for Unrestricted {
    fn may(&self, _: Action, _: Option<&str>) -> bool {
        true
    }

    fn arn(&self) -> String {
        "arn:aws:iam::000000000000:root".to_owned()
    }
}

/// Refuses as AWS does where this caller may not do this with this secret, however it is written.
pub(super) fn require(caller: &dyn Caller, action: Action, secret_id: &str) -> Result<(), Refusal> {
    if caller.may(action, Some(name_of(secret_id))) {
        return Ok(());
    }
    Err(denied(caller, action, secret_id))
}

/// Refuses where this caller may not do this at all.
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
