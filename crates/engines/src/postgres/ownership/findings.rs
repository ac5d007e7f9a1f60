//! Findings about the clone's own privileges, which a run does not change or which would be lost: pure.
//!
//! # Failure modes
//! - The flip to the base user loses a privilege that only the active clone has: the run is refused.
//!   What the base user has by any grant, membership or ownership is no such privilege.
//! - A privilege that the server checks at the sign-in is compared with the wrong role: it is the
//!   base user's, also where its sessions have another role.

use super::super::inspect::{Facts, Grant, Membership};
use super::super::quote::ident;
use super::{revocable, revoke, through};
use crate::{Finding, Severity};
use twinkey_core::code::Code;
use twinkey_core::secret::pair::{Pair, PairMember};

/// The server checks this role at the sign-in (PostgreSQL 16 and later).
const RESERVED_CONNECTIONS: &str = "pg_use_reserved_connections";

/// A privilege of the clone itself.
struct OwnPrivilege {
    what: String,
    /// Why its loss does not matter.
    harmless: Option<&'static str>,
    /// It is revoked when the clone is the standby.
    revoked: bool,
    fix: Option<String>,
}

/// Findings about privileges of the clone that stay, with the reason.
pub(in super::super) fn left_alone(facts: &Facts, pair: &Pair) -> Vec<Finding> {
    if pair.active == PairMember::Base {
        let kept = facts.grants.iter();
        let kept = kept.filter(|grant| !grant.personal && !revocable(grant, facts, pair));
        return kept
            .map(|grant| stays(grant, pair))
            .chain(through_clone(facts, pair))
            .collect();
    }
    let grants = facts
        .grants
        .iter()
        .map(|grant| own_grant(grant, facts, pair));
    let memberships = own_memberships(facts, pair);
    grants
        .chain(memberships.filter_map(|m| own_membership(m, facts, pair)))
        .map(|own| compared(own, pair))
        .chain(through::findings(facts, pair))
        .collect()
}

/// A grant of the standby that a run does not revoke.
fn stays(grant: &Grant, pair: &Pair) -> Finding {
    let what = format!(
        "{} in {:?} was granted to the clone itself",
        grant.description, grant.database
    );
    let statement = grant.object.as_ref().map(|object| revoke(object, pair));
    if grant.handed_on {
        return Finding::new(
            Severity::Warning,
            format!("{what}, which granted it to others; it stays, because they would lose it"),
            statement.map(|text| {
                format!("grant it to them as the owner of the object, then {text} CASCADE")
            }),
        );
    }
    Finding::new(
        Severity::Warning,
        format!("{what}, and the master cannot revoke it"),
        statement,
    )
}

/// What the base user has only because it is a member of the clone, which a run cannot keep.
fn through_clone(facts: &Facts, pair: &Pair) -> Vec<Finding> {
    if facts.in_clone.is_empty() {
        return Vec::new();
    }
    let grants = facts.grants.iter();
    let grants = grants.filter(|grant| !grant.held && !grant.personal);
    let grants = grants.map(|grant| {
        let what = format!("{} in {:?}", grant.description, grant.database);
        (what, grant.missing.clone())
    });
    let is_direct = |m: &Membership| {
        let mut all = facts.memberships.iter();
        all.any(|other| other.member == pair.base && other.role == m.role)
    };
    let memberships = own_memberships(facts, pair)
        .filter(|m| !is_direct(m))
        .map(|m| {
            let fix = membership_for_base(m, facts, pair);
            (format!("membership in {:?}", m.role), Some(fix))
        });
    grants
        .chain(memberships)
        .map(|(what, fix)| {
            differs(
                format!("the base user has {what} only as a member of the clone"),
                fix.unwrap_or_else(|| same_for(&pair.base)),
            )
        })
        .collect()
}

pub(super) fn own_memberships<'a>(
    facts: &'a Facts,
    pair: &'a Pair,
) -> impl Iterator<Item = &'a Membership> {
    let all = facts.memberships.iter();
    all.filter(|m| m.member == pair.clone && m.role != pair.base)
}

fn own_grant(grant: &Grant, facts: &Facts, pair: &Pair) -> OwnPrivilege {
    let unused = facts.works_as_base(pair);
    let in_sessions = grant.missing.clone().filter(|_| !unused);
    let all = grant.missing_at_login.iter().cloned().chain(in_sessions);
    let statements: Vec<String> = all.collect();
    OwnPrivilege {
        what: format!("{} in {:?}", grant.description, grant.database),
        harmless: match (&grant.missing_at_login, grant.held) {
            (Some(_), _) => None,
            (None, true) => Some(HELD),
            (None, false) => unused.then_some(UNUSED),
        },
        revoked: grant.object.is_some(),
        fix: (!statements.is_empty()).then(|| statements.join("; ")),
    }
}

/// `None`: [`through::findings`] has what the base user lacks of it, or that it has to end.
fn own_membership(m: &Membership, facts: &Facts, pair: &Pair) -> Option<OwnPrivilege> {
    let works_as = facts.session_role(pair, Some(&facts.database));
    let held = m.held || !m.admin && m.role == works_as;
    let unused = facts.works_as_base(pair) && m.role != RESERVED_CONNECTIONS;
    if !held && !unused && facts.cycle(&m.role, &pair.base).is_some() {
        return None;
    }
    Some(OwnPrivilege {
        what: format!("membership in {:?}", m.role),
        harmless: if held {
            Some(HELD)
        } else {
            unused.then_some(UNUSED)
        },
        revoked: true,
        fix: Some(membership_for_base(m, facts, pair)),
    })
}

const UNUSED: &str = "its sessions do not use it";
const HELD: &str = "the base user has it too";

fn compared(own: OwnPrivilege, pair: &Pair) -> Finding {
    let what = own.what;
    let Some(why) = own.harmless else {
        return differs(
            format!("the clone is active and has {what} of its own, which the base user lacks"),
            own.fix.unwrap_or_else(|| same_for(&pair.base)),
        );
    };
    let later = if own.revoked {
        "; it is revoked when the clone is the standby"
    } else {
        ""
    };
    Finding::new(
        Severity::Note,
        format!("the clone has {what} of its own, and {why}{later}"),
        None,
    )
}

pub(super) fn differs(what: String, fix: String) -> Finding {
    Finding {
        code: Some(Code::PrivilegesDiffer),
        ..Finding::new(Severity::Error, what, Some(fix))
    }
}

pub(super) fn same_for(base: &str) -> String {
    format!("grant the same to {}, then try again", ident(base))
}

/// The statement that gives the base user a membership of the clone.
fn membership_for_base(m: &Membership, facts: &Facts, pair: &Pair) -> String {
    let base = ident(&pair.base);
    let inherits = facts.base.as_ref().is_some_and(|base| base.inherit);
    let clone_inherits = facts.clone.as_ref().is_some_and(|clone| clone.inherit);
    let word = |on: bool| if on { "TRUE" } else { "FALSE" };
    let with = match (m.inherit, m.set) {
        (Some(inherit), Some(set)) => {
            let admin = if m.admin { ", ADMIN TRUE" } else { "" };
            format!(" WITH INHERIT {}, SET {}{admin}", word(inherit), word(set))
        }
        _ if m.admin => " WITH ADMIN OPTION".to_owned(),
        _ => String::new(),
    };
    let grant = format!("GRANT {} TO {base}{with}", ident(&m.role));
    if m.inherit.is_none() && clone_inherits && !inherits {
        format!("{grant}; ALTER ROLE {base} INHERIT")
    } else {
        grant
    }
}
