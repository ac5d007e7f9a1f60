//! The form of the new password: pure.
//!
//! # Failure modes
//! - A client that supports md5 only cannot sign in after the flip: the standby's password has the form
//!   of the active user's. RDS hides that form. Then `password_encryption` is assumed, which an
//!   upgraded server changed without the stored passwords, and the server's request at the active
//!   user's sign-in decides.

use super::super::inspect::Facts;
use super::super::quote::ident;
use crate::{
    Change, ChangeKind, Finding, OtherForm, PasswordForm, Severity, Statement, StoredForm,
};
use twinkey_core::secret::pair::Pair;

/// Sets the password in the form that the master reads, else in that of `password_encryption`.
pub(super) fn assumed(facts: &Facts, pair: &Pair) -> Vec<Change> {
    let is_md5 = facts.active_is_md5.unwrap_or_else(|| is_default(facts));
    vec![set_password(pair, is_md5)]
}

/// The other form, where the master cannot read the active user's.
pub(super) fn other(facts: &Facts, pair: &Pair) -> Option<OtherForm> {
    if facts.active_is_md5.is_some() {
        return None;
    }
    let is_md5 = !is_default(facts);
    Some(OtherForm {
        form: if is_md5 {
            StoredForm::Md5
        } else {
            StoredForm::ScramSha256
        },
        set_password: vec![set_password(pair, is_md5)],
        finding: finding(facts, Some(is_md5)),
        replaces: finding(facts, None),
    })
}

/// The warning about md5. `is_md5` is the form of the active user's password, if it is known.
pub(super) fn finding(facts: &Facts, is_md5: Option<bool>) -> Option<Finding> {
    let what = match is_md5 {
        Some(true) => "the active user's password is stored as md5; the standby's will be too",
        None if is_default(facts) => {
            "password_encryption is md5 on this server; passwords are stored as md5"
        }
        _ => return None,
    };
    Some(Finding::new(
        Severity::Warning,
        what.into(),
        Some("when all clients support SCRAM, set password_encryption to scram-sha-256 and set the active user's password again".into()),
    ))
}

/// New passwords of this server are stored as md5.
fn is_default(facts: &Facts) -> bool {
    facts.password_encryption == "md5"
}

fn set_password(pair: &Pair, is_md5: bool) -> Change {
    let username = pair.standby_user();
    let (form, why) = if is_md5 {
        let username = username.to_owned();
        (
            PasswordForm::PostgresMd5 { username },
            "as an md5 hash like the active user's: its clients may not support SCRAM",
        )
    } else {
        (PasswordForm::ScramSha256, "as a SCRAM verifier")
    };
    Change {
        kind: ChangeKind::Password,
        database: None,
        statement: Statement::with_password(
            format!("ALTER ROLE {} LOGIN PASSWORD '", ident(username)),
            form,
            "'",
        ),
        why: format!(
            "the pending password, {why}; set last, so that only a complete standby signs in"
        ),
    }
}
