//! What a person should know before a run, and what the admin lacks: pure.

use std::collections::BTreeSet;

use super::account;
use super::facts::{Facts, User};
use super::quote::ident;
use crate::{Finding, Severity};
use twinkey_core::code::Code;
use twinkey_core::secret::pair::Pair;

/// What is refused, and what is worth knowing.
pub(super) fn findings(facts: &Facts, pair: &Pair) -> Vec<Finding> {
    let mut all = refusals(facts, pair);
    if !facts.sees_all {
        all.push(Finding {
            code: Some(Code::PrivilegesDiffer),
            ..Finding::new(
                Severity::Warning,
                format!(
                    "the admin {:?} does not see all rows of the svv_* views: what it does not see is not copied",
                    facts.master
                ),
                Some(format!(
                    "ALTER USER {} SYSLOG ACCESS UNRESTRICTED, or give it a role with ACCESS SYSTEM TABLE",
                    ident(&facts.master)
                )),
            )
        });
    }
    if !facts.superuser && facts.has_roles {
        all.push(Finding::new(
            Severity::Warning,
            format!(
                "the admin {:?} is no superuser: whether its roles are enough shows when a statement is refused",
                facts.master
            ),
            Some("use a superuser, who alone may set default privileges of other users".into()),
        ));
    }
    let rights = facts
        .places
        .iter()
        .flat_map(|place| [(place, &place.active), (place, &place.standby)]);
    for (place, rights) in rights {
        all.extend(rights.unknown.iter().map(|what| {
            Finding::new(
                Severity::Warning,
                format!(
                    "in {:?} there is a privilege that is not copied: {what}",
                    place.database
                ),
                Some("grant it to both users of the pair by hand".into()),
            )
        }));
    }
    all.extend(account::findings(facts));
    all.extend(beyond(facts, pair));
    all
}

/// What one of the two has and the other has not, and no statement of ours copies: a run would make
/// them unequal without a word, and a missing policy shows rows, or hides them.
fn beyond(facts: &Facts, pair: &Pair) -> Vec<Finding> {
    let of = |user: &Option<User>| -> BTreeSet<String> {
        user.as_ref()
            .map(|user| user.beyond.clone())
            .unwrap_or_default()
    };
    let cluster = ("the cluster", of(&facts.active), of(&facts.standby));
    let places = facts.places.iter().map(|place| {
        let (active, standby) = (&place.active, &place.standby);
        (
            place.database.as_str(),
            active.beyond.clone(),
            standby.beyond.clone(),
        )
    });
    let mut all = Vec::new();
    for (place, active, standby) in places.chain([cluster]) {
        let sides = [
            (pair.active_user(), pair.standby_user(), &active, &standby),
            (pair.standby_user(), pair.active_user(), &standby, &active),
        ];
        for (has, lacks, one, other) in sides {
            all.extend(one.difference(other).map(|what| Finding {
                code: Some(Code::PrivilegesDiffer),
                ..Finding::new(
                    Severity::Error,
                    format!("{has:?} has {what} in {place}, {lacks:?} has not, and it is not copied"),
                    Some(format!(
                        "give it to both by hand, or take it; where {lacks:?} is not there yet: CREATE USER {} PASSWORD DISABLE",
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
                format!("{name:?} {what}, and is not rotated as an application's user"),
                Some(fix),
            ));
        };
        if name == facts.master {
            refuse(
                "is the admin itself",
                "let another user be the admin, or rotate it by its own managed rotation".into(),
            );
        } else if user.as_ref().is_some_and(|user| user.superuser) {
            refuse(
                "is a superuser",
                format!(
                    "ALTER USER {} NOCREATEUSER, or make another user for the application",
                    ident(name)
                ),
            );
        }
    }
    if facts.active.is_none() {
        all.push(Finding::new(
            Severity::Error,
            format!("the active user {:?} does not exist", pair.active_user()),
            Some("make the secret's user name that of a user of this server".into()),
        ));
    }
    all
}

/// What the admin lacks to carry the changes out.
pub(super) fn missing(facts: &Facts) -> Vec<Finding> {
    if facts.superuser || facts.has_roles {
        return Vec::new();
    }
    vec![Finding::lacks(
        format!(
            "the admin {:?} is no superuser and has no role: it may neither create users nor grant what is not its own",
            facts.master
        ),
        format!("ALTER USER {} CREATEUSER", ident(&facts.master)),
    )]
}
