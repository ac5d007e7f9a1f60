//! Findings about the pair. Pure; `catalog/rights.rs` lists the rights that the admin lacks.

use std::collections::BTreeSet;

use chrono::NaiveDateTime;

use super::catalog::account;
use super::catalog::facts::{Facts, User};
use super::quote::{ident, with_case_setting};
use crate::{Finding, Severity};
use twinkey_core::code::Code;
use twinkey_core::secret::pair::Pair;

/// Reasons to refuse a rotation, warnings and notes.
pub(super) fn findings(facts: &Facts, pair: &Pair) -> Vec<Finding> {
    let mut all = refusals(facts, pair);
    if !facts.admin.superuser {
        all.push(Finding::new(
            Severity::Warning,
            format!(
                "the admin {:?} is no superuser: it may only change what its rights permit, and it may not disable the password of a retired user",
                facts.master
            ),
            Some(format!("ALTER USER {} CREATEUSER", ident(&facts.master))),
        ));
    }
    let kept: BTreeSet<_> = facts.databases.iter().flat_map(|d| &d.kept).collect();
    all.extend(kept.into_iter().map(|(statement, reason)| {
        Finding::new(
            Severity::Warning,
            format!(
                "the server refused to change an owner, and the clone keeps the object: {reason}"
            ),
            Some(with_case_setting(statement.clone())),
        )
    }));
    all.extend(facts.unanswered.iter().map(|what| {
        Finding::new(
            Severity::Warning,
            format!("{what}: the two users are not compared by it"),
            Some("compare the two users manually, and grant what is missing to both".into()),
        )
    }));
    let users = facts
        .databases
        .iter()
        .flat_map(|database| [(database, &database.active), (database, &database.standby)]);
    for (database, user) in users {
        all.extend(user.unknown_privileges.iter().map(|what| {
            Finding::new(
                Severity::Warning,
                format!(
                    "a privilege in the database {:?} is not copied: {what}",
                    database.name
                ),
                Some("grant it to both users of the pair manually".into()),
            )
        }));
    }
    all.extend(account::findings(facts));
    all.extend(uncopied(facts, pair));
    all
}

/// Why the server refuses the sign-in of the active user, as far as the admin sees it.
pub(super) fn sign_in_causes(facts: &Facts, pair: &Pair) -> Vec<Finding> {
    let name = pair.active_user();
    let Some(active) = &facts.active else {
        return vec![Finding::new(
            Severity::Note,
            format!("the user {name:?} does not exist"),
            Some("make the secret's user name that of a user of this server".into()),
        )];
    };
    let expired = active
        .valid_until
        .iter()
        .filter(|until| is_past(until, &facts.now));
    let causes = expired.map(|until| {
        Finding::new(
            Severity::Note,
            format!("the password of {name:?} expired at {until} (VALID UNTIL)"),
            Some(format!(
                "ALTER USER {} VALID UNTIL 'infinity', or a later date",
                ident(name)
            )),
        )
    });
    causes.collect()
}

/// Whether a time is before another one. Both are text like `2026-11-29 03:04:05`, in UTC.
fn is_past(time: &str, now: &str) -> bool {
    const FORM: &str = "%Y-%m-%d %H:%M:%S";
    let parsed = |text: &str| NaiveDateTime::parse_from_str(text.trim().get(..19)?, FORM).ok();
    parsed(time)
        .zip(parsed(now))
        .is_some_and(|(time, now)| time < now)
}

/// Findings about grants that only one user has and twinkey cannot copy.
///
/// A run would leave the users unequal, and a missing policy shows or hides rows.
fn uncopied(facts: &Facts, pair: &Pair) -> Vec<Finding> {
    let of = |user: &Option<User>| -> BTreeSet<String> {
        user.as_ref()
            .map(|user| user.uncopied.clone())
            .unwrap_or_default()
    };
    let cluster = ("the cluster", of(&facts.active), of(&facts.standby));
    let databases = facts.databases.iter().map(|database| {
        let (active, standby) = (&database.active, &database.standby);
        (
            database.name.as_str(),
            active.uncopied.clone(),
            standby.uncopied.clone(),
        )
    });
    let mut all = Vec::new();
    for (place, active, standby) in databases.chain([cluster]) {
        let sides = [
            (pair.active_user(), pair.standby_user(), &active, &standby),
            (pair.standby_user(), pair.active_user(), &standby, &active),
        ];
        for (has, lacks, one, other) in sides {
            all.extend(one.difference(other).map(|what| Finding {
                code: Some(Code::PrivilegesDiffer),
                ..Finding::new(
                    Severity::Error,
                    format!("{has:?} has {what} in {place}, {lacks:?} does not have it, and it cannot be copied"),
                    Some(format!(
                        "grant it to both users manually or revoke it; if {lacks:?} does not exist yet: CREATE USER {} PASSWORD DISABLE, and set standby = \"adopt\"",
                        ident(lacks)
                    )),
                )
            }));
        }
    }
    all
}

fn refusals(facts: &Facts, pair: &Pair) -> Vec<Finding> {
    let mut all = Vec::new();
    let users = [
        (pair.active_user(), &facts.active),
        (pair.standby_user(), &facts.standby),
    ];
    for (name, user) in users {
        let mut refuse = |what: &str, fix: String| {
            all.push(Finding::new(
                Severity::Error,
                format!("{name:?} {what} and cannot be rotated as an application's user"),
                Some(fix),
            ));
        };
        if name == facts.master {
            refuse(
                "is the admin itself",
                "use another user as the admin, or rotate this user by AWS's managed rotation"
                    .into(),
            );
        } else if user.as_ref().is_some_and(|user| user.superuser) {
            refuse(
                "is a superuser",
                format!(
                    "ALTER USER {} NOCREATEUSER, or create another user for the application",
                    ident(name)
                ),
            );
        }
    }
    if facts.active.is_none() {
        all.push(Finding::new(
            Severity::Error,
            format!("the active user {:?} does not exist", pair.active_user()),
            Some("set the secret's user name to an existing user of this server".into()),
        ));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_time_before_the_servers_is_past() {
        let now = "2026-11-29 03:04:05";
        for (time, expected) in [
            ("2026-11-29 03:04:04+00", true),
            ("2026-11-29 03:04:05+00", false),
            ("2099-01-02 03:04:05", false),
            ("infinity", false),
            ("ü", false),
        ] {
            assert_eq!(is_past(time, now), expected, "{time}");
        }
        assert!(!is_past("2020-01-01 00:00:00", ""), "unknown");
    }
}
