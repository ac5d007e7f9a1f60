//! Causes of a refused sign-in of the active user, as the master sees them: pure.
//!
//! A server answers "password authentication failed" for a wrong password, for a user that does not
//! exist and for a password that has expired. The catalogue says which it is.

use super::inspect::Facts;
use super::quote::ident;
use crate::{Finding, Severity};
use twinkey_core::secret::pair::Pair;

/// The causes, each with its remedy. They matter only if the sign-in was refused.
pub(super) fn causes(facts: &Facts, pair: &Pair) -> Vec<Finding> {
    let name = pair.active_user();
    let user = ident(name);
    let Some(role) = facts.role(pair.active) else {
        return vec![cause(
            format!("the user {name:?} does not exist on this server"),
            "make the secret's user name that of a user of this server".into(),
        )];
    };
    let mut all = Vec::new();
    if !role.login {
        all.push(cause(
            format!("{name:?} has NOLOGIN"),
            format!("find out who set it, then ALTER ROLE {user} LOGIN"),
        ));
    }
    if role.expired {
        let until = role.valid_until.as_deref().unwrap_or_default();
        all.push(cause(
            format!("the password of {name:?} expired at {until} (VALID UNTIL)"),
            format!("ALTER ROLE {user} VALID UNTIL 'infinity', or a later date"),
        ));
    }
    let by_token = facts
        .memberships
        .iter()
        .any(|m| m.role == "rds_iam" && m.member == name);
    if by_token {
        all.push(cause(
            format!("{name:?} is a member of rds_iam, whose members sign in with tokens only"),
            format!("REVOKE rds_iam FROM {user}"),
        ));
    }
    all
}

fn cause(what: String, fix: String) -> Finding {
    Finding::new(Severity::Note, what, Some(fix))
}
