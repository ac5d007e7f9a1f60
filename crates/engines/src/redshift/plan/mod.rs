//! Changes that make the standby equal to the active user, derived from facts. Pure.
//!
//! `catalog/diff` describes the privileges of a pair.
//!
//! # Failure modes
//! - An incomplete standby signs in. It is created with a password that is not stored, and the
//!   pending digest is the last change.
//! - An interruption between two batches leaves a part of the changes. The remaining differences
//!   are found by the next inspection.
//! - No transaction spans two databases. Changes in other databases come first, those in the
//!   secret's database and the password last.

use super::catalog::facts::{DigestForm, Facts};
use super::catalog::{account, defaults, diff, rights};
use super::preflight;
use super::quote::ident;
use crate::{Change, ChangeKind, Inspection, PasswordForm, StandbyAccess, Statement};
use twinkey_core::secret::pair::Pair;

/// The changes that make the standby equal, and the findings.
pub(super) fn plan(facts: &Facts, pair: &Pair) -> Inspection {
    Inspection {
        session_role: None,
        obstacles: preflight::sign_in_causes(facts, pair),
        standby_obstacles: Vec::new(),
        other_form: None,
        server: facts.server.clone(),
        standby_exists: facts.standby.is_some(),
        readable: true,
        differences: differences(facts, pair),
        set_password: vec![set_password(facts, pair)],
        // Only a superuser can read it.
        standby_access: StandbyAccess::Unknown,
        cloned_by_aws: false,
        retire: (facts.standby.iter()).map(|_| retire(pair)).collect(),
        // A user has one password, so that a sign-in is sufficient.
        holds_password: None,
        findings: preflight::findings(facts, pair),
        missing: rights::missing(facts, pair),
    }
}

fn differences(facts: &Facts, pair: &Pair) -> Vec<Change> {
    let mut all = Vec::new();
    if facts.active.is_none() {
        return all;
    }
    if facts.standby.is_none() {
        let (form, _) = digest_form(facts, pair);
        all.push(Change {
            kind: ChangeKind::Create,
            database: None,
            statement: Statement::with_password(
                format!("CREATE USER {} PASSWORD '", ident(pair.standby_user())),
                PasswordForm::Unfinished(Box::new(form)),
                "'",
            ),
            why: "it does not exist; this password is not stored, so that no sign-in succeeds until it is complete".into(),
        });
    }
    let (own, others): (Vec<_>, Vec<_>) = facts
        .databases
        .iter()
        .partition(|database| database.name == facts.database);
    for database in others {
        let mut changes = diff::changes(database, pair);
        changes.extend(defaults::changes(&database.defaults, pair));
        for change in &mut changes {
            change.database = Some(database.name.clone());
        }
        all.extend(changes);
    }
    all.extend(account::changes(facts, pair));
    for database in own {
        all.extend(diff::changes(database, pair));
        all.extend(defaults::changes(&database.defaults, pair));
    }
    all
}

fn retire(pair: &Pair) -> Change {
    Change::plain(
        ChangeKind::Retire,
        format!("ALTER USER {} PASSWORD DISABLE", ident(pair.standby_user())),
        "it is no longer in use; the next password enables its sign-in again",
    )
}

/// The form in which the active user's password is stored, and why.
fn digest_form(facts: &Facts, pair: &Pair) -> (PasswordForm, &'static str) {
    let form = facts.active.as_ref().and_then(|user| user.digest_form);
    match form {
        Some(DigestForm::Sha256) => (
            PasswordForm::RedshiftSha256,
            "as a sha256 digest, as the active user's is",
        ),
        Some(DigestForm::Md5) | None => (
            PasswordForm::RedshiftMd5 {
                username: pair.standby_user().to_owned(),
            },
            "as an md5 digest",
        ),
    }
}

fn set_password(facts: &Facts, pair: &Pair) -> Change {
    let username = pair.standby_user();
    let (slot, why) = digest_form(facts, pair);
    Change {
        kind: ChangeKind::Password,
        database: None,
        statement: Statement::with_password(
            format!("ALTER USER {} PASSWORD '", ident(username)),
            slot,
            "'",
        ),
        why: format!(
            "the pending password, {why}; last, so that a user that can sign in is complete"
        ),
    }
}

#[cfg(test)]
mod tests;
