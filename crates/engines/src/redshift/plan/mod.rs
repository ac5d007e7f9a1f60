//! Facts to changes: pure. `diff.rs` says how a pair works.
//!
//! What can go wrong, and what prevents it:
//! - the standby signs in half-made: it is created with its password disabled, and the digest comes last;
//! - a cut between two batches leaves what nobody finds: each is a difference, so the next look finds it;
//! - two databases are changed in one transaction, which there is not: what takes place in other
//!   databases comes first, the secret's own and the password last.

use super::facts::{Facts, Form};
use super::quote::ident;
use super::{account, defaults, diff, preflight};
use crate::{Change, ChangeKind, Inspection, Slot, Statement};
use twinkey_core::secret::pair::Pair;

/// What would make the standby equal, and what to tell about it.
pub(super) fn plan(facts: &Facts, pair: &Pair) -> Inspection {
    Inspection {
        server: facts.server.clone(),
        standby_exists: facts.standby.is_some(),
        differences: differences(facts, pair),
        set_password: vec![set_password(facts, pair)],
        retire: (facts.standby.iter()).map(|_| retire(pair)).collect(),
        // A user has one password, and who signs in has proved it.
        holds_password: None,
        findings: preflight::findings(facts, pair),
        missing: preflight::missing(facts),
    }
}

fn differences(facts: &Facts, pair: &Pair) -> Vec<Change> {
    let mut all = Vec::new();
    if facts.active.is_none() {
        return all;
    }
    if facts.standby.is_none() {
        all.push(Change::plain(
            ChangeKind::Create,
            format!(
                "CREATE USER {} PASSWORD DISABLE",
                ident(pair.standby_user())
            ),
            "it does not exist; it cannot sign in until it is complete",
        ));
    }
    let (own, others): (Vec<_>, Vec<_>) = facts
        .places
        .iter()
        .partition(|place| place.database == facts.database);
    for place in others {
        let mut changes = diff::changes(place, pair);
        changes.extend(defaults::changes(&place.defaults, pair));
        for change in &mut changes {
            change.database = Some(place.database.clone());
        }
        all.extend(changes);
    }
    all.extend(account::changes(facts, pair));
    for place in own {
        all.extend(diff::changes(place, pair));
        all.extend(defaults::changes(&place.defaults, pair));
    }
    all
}

fn retire(pair: &Pair) -> Change {
    Change::plain(
        ChangeKind::Retire,
        format!("ALTER USER {} PASSWORD DISABLE", ident(pair.standby_user())),
        "nobody lives on it any more; the next password lets it sign in again",
    )
}

fn set_password(facts: &Facts, pair: &Pair) -> Change {
    let username = pair.standby_user();
    let form = facts.active.as_ref().and_then(|user| user.form);
    let (slot, why) = match form {
        Some(Form::Sha256) => (
            Slot::RedshiftSha256,
            "as a sha256 digest, as the active user's is",
        ),
        Some(Form::Md5) | None => (
            Slot::RedshiftMd5 {
                username: username.to_owned(),
            },
            "as an md5 digest",
        ),
    };
    Change {
        kind: ChangeKind::Password,
        database: None,
        statement: Statement::with_password(
            format!("ALTER USER {} PASSWORD '", ident(username)),
            slot,
            "'",
        ),
        why: format!("the pending password, {why}; last, so that whoever signs in is complete"),
    }
}

#[cfg(test)]
mod tests;
