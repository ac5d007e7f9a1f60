//! Attributes and limits of the two roles: pure. The base user is the source.

use super::super::inspect::{Facts, Role};
use super::super::preflight;
use super::super::quote::{ident, literal};
use crate::{Change, ChangeKind, Finding, PostgresOptions, Severity};
use twinkey_core::secret::pair::{Pair, PairMember};

/// The attributes that a run copies.
pub(in super::super) const ALL: [&str; 3] = ["CREATEDB", "CREATEROLE", "BYPASSRLS"];

/// Adds the statements that make the standby's attributes and limits equal.
pub(super) fn compare(
    facts: &Facts,
    pair: &Pair,
    options: &PostgresOptions,
    differences: &mut Vec<Change>,
    findings: &mut Vec<Finding>,
) {
    for (attribute, on) in differing(facts, pair, options) {
        let text = format!(
            "ALTER ROLE {} {}{attribute}",
            ident(pair.standby_user()),
            if on { "" } else { "NO" }
        );
        let to_clone = pair.active == PairMember::Base;
        if options.set_role && to_clone && !preflight::may_set_attribute(facts, attribute) {
            findings.push(Finding::new(
                Severity::Note,
                format!("the master may not set {attribute} on the clone; its sessions have the base user's attribute anyway"),
                Some(text),
            ));
        } else {
            let why = format!("{attribute} is as the active user's");
            differences.push(Change::plain(ChangeKind::Setting, text, why));
        }
    }
    limits(facts, pair, differences, findings);
}

/// Attributes to change on the standby, with their new values.
///
/// Sessions with the role setting have the attributes of the base user. A clone that another tool
/// made has its own: the base user is given those that it lacks.
pub(in super::super) fn differing(
    facts: &Facts,
    pair: &Pair,
    options: &PostgresOptions,
) -> Vec<(&'static str, bool)> {
    let standby = pair.active.other();
    let to_base = standby == PairMember::Base;
    if options.set_role && to_base && facts.works_as_base(pair) {
        return Vec::new();
    }
    if to_base {
        let lacks = |attribute: &&str| facts.without(pair, attribute).contains(pair.base.as_str());
        return ALL.into_iter().filter(lacks).map(|a| (a, true)).collect();
    }
    let Some(source) = facts.role(pair.active) else {
        return Vec::new();
    };
    let none = Role::default();
    let target = facts.role(standby).unwrap_or(&none);
    [
        ("CREATEDB", source.createdb, target.createdb),
        ("CREATEROLE", source.createrole, target.createrole),
        ("BYPASSRLS", source.bypassrls, target.bypassrls),
    ]
    .into_iter()
    .filter(|(_, wanted, is)| wanted != is)
    .map(|(name, wanted, _)| (name, wanted))
    .collect()
}

/// Limits of the user that signs in.
fn limits(facts: &Facts, pair: &Pair, differences: &mut Vec<Change>, findings: &mut Vec<Finding>) {
    let Some(base) = &facts.base else {
        return;
    };
    if pair.active == PairMember::Clone {
        limits_of_base(base, facts, pair, differences, findings);
        return;
    }
    let clone = facts.clone.as_ref();
    if clone.map_or(-1, |role| role.connection_limit) != base.connection_limit {
        differences.push(connection_limit(
            &pair.clone,
            base.connection_limit,
            "the connection limit is as the active user's",
        ));
    }
    if clone.and_then(|role| role.valid_until.as_ref()) != base.valid_until.as_ref() {
        let why = "the password expires as the active user's";
        differences.push(valid_until(
            &pair.clone,
            base.valid_until.as_deref(),
            why.into(),
        ));
    }
}

/// The base user keeps its limits while it is the standby. Only an expiry that has passed and a
/// limit of no connections are replaced: no password would sign in.
fn limits_of_base(
    base: &Role,
    facts: &Facts,
    pair: &Pair,
    differences: &mut Vec<Change>,
    findings: &mut Vec<Finding>,
) {
    let Some(clone) = &facts.clone else {
        return;
    };
    if base.expired && !clone.expired {
        differences.push(valid_until(
            &pair.base,
            clone.valid_until.as_deref(),
            format!(
                "it passed on {}: no password of the base user would sign in",
                base.valid_until.as_deref().unwrap_or_default()
            ),
        ));
    } else if base.valid_until != clone.valid_until {
        let until = |role: &Role| role.valid_until.clone().unwrap_or("infinity".into());
        findings.push(differs("VALID UNTIL", &until(clone), &until(base)));
    }
    if base.connection_limit == 0 && clone.connection_limit != 0 {
        differences.push(connection_limit(
            &pair.base,
            clone.connection_limit,
            "it is 0: no session of the base user would be accepted",
        ));
    } else if base.connection_limit != clone.connection_limit {
        let limit = |role: &Role| role.connection_limit.to_string();
        findings.push(differs("CONNECTION LIMIT", &limit(clone), &limit(base)));
    }
}

/// A finding about a value of the active clone that differs from the base user's.
pub(super) fn differs(what: &str, clone: &str, base: &str) -> Finding {
    Finding::new(
        Severity::Note,
        format!(
            "{what} of the active clone is {clone}, of the base user {base}; the base user's stays, and the clone gets it when it is the standby"
        ),
        None,
    )
}

fn connection_limit(user: &str, limit: i32, why: &str) -> Change {
    Change::plain(
        ChangeKind::Setting,
        format!("ALTER ROLE {} CONNECTION LIMIT {limit}", ident(user)),
        why,
    )
}

fn valid_until(user: &str, until: Option<&str>, why: String) -> Change {
    Change::plain(
        ChangeKind::Setting,
        format!(
            "ALTER ROLE {} VALID UNTIL {}",
            ident(user),
            literal(until.unwrap_or("infinity"))
        ),
        why,
    )
}
