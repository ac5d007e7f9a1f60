//! Objects that the clone owns and privileges granted to it, by an older tool or by hand: pure.
//!
//! # Failure modes
//! - DROP OWNED drops a table: it is not used. REASSIGN OWNED hands objects over, and privileges
//!   are revoked object by object.
//! - The master keeps a temporary membership: the transaction that needs it also revokes it, and
//!   restores an earlier grant.
//! - The active clone loses a privilege that it uses: its objects go to the base user, whose
//!   privileges it has. Its own privileges are revoked only while it is the standby.
//! - The flip to the base user loses a privilege that only the active clone has: the run is refused.
//!   What the base user has by any grant, membership or ownership is no such privilege.

use std::collections::BTreeSet;

use super::inspect::{Facts, Grant, Membership, Owned, RoleRights};
use super::quote::ident;
use crate::{Change, ChangeKind, Finding, Severity};
use twinkey_core::code::Code;
use twinkey_core::secret::pair::{Pair, PairMember};

/// Changes in other databases, each of which needs a connection of its own.
pub(super) fn in_other_databases(facts: &Facts, pair: &Pair) -> Vec<Change> {
    let owned = facts.owned.iter().map(|owned| &owned.database);
    let granted = facts.grants.iter().map(|grant| &grant.database);
    let databases: BTreeSet<&String> = owned.chain(granted).collect();
    databases
        .into_iter()
        .filter(|database| **database != facts.database)
        .flat_map(|database| {
            let mut changes = in_database(facts, pair, database);
            for change in &mut changes {
                change.database = Some(database.clone());
            }
            changes
        })
        .collect()
}

/// Changes in the rotation's own database.
pub(super) fn in_own_database(facts: &Facts, pair: &Pair) -> Vec<Change> {
    in_database(facts, pair, &facts.database)
}

/// Findings about privileges of the clone that stay, with the reason.
pub(super) fn left_alone(facts: &Facts, pair: &Pair) -> Vec<Finding> {
    if pair.active == PairMember::Base {
        return facts
            .grants
            .iter()
            .filter(|grant| !revocable(grant, facts, pair))
            .map(|grant| {
                Finding::new(
                    Severity::Warning,
                    format!(
                        "{} in {:?} was granted to the clone itself, and the master cannot revoke it",
                        grant.description, grant.database
                    ),
                    grant.object.as_ref().map(|object| revoke(object, pair)),
                )
            })
            .collect();
    }
    let own_grants = facts.grants.iter().map(|grant| {
        let what = format!("{} in {:?}", grant.description, grant.database);
        let revoked = grant.object.is_some();
        (what, grant.held, revoked, grant.missing.clone())
    });
    let own_memberships = facts
        .memberships
        .iter()
        .filter(|m| m.member == pair.clone && m.role != pair.base)
        .map(|m| {
            let fix = membership_for_base(m, facts, pair);
            (
                format!("membership in {:?}", m.role),
                m.held,
                true,
                Some(fix),
            )
        });
    let inert = facts.becomes_base(pair);
    own_grants
        .chain(own_memberships)
        .map(|(what, held, revoked, missing)| {
            let harmless = if inert {
                Some("its sessions do not use it")
            } else {
                held.then_some("the base user has it too")
            };
            if let Some(why) = harmless {
                let later = if revoked {
                    "; it is revoked when the clone is the standby"
                } else {
                    ""
                };
                return Finding::new(
                    Severity::Note,
                    format!("the clone has {what} of its own, and {why}{later}"),
                    None,
                );
            }
            let base = ident(&pair.base);
            let fix =
                missing.unwrap_or_else(|| format!("grant the same to {base}, then try again"));
            Finding {
                code: Some(Code::PrivilegesDiffer),
                ..Finding::new(
                    Severity::Error,
                    format!(
                        "the clone is active and has {what} of its own, which the base user lacks"
                    ),
                    Some(fix),
                )
            }
        })
        .collect()
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

fn in_database(facts: &Facts, pair: &Pair, database: &str) -> Vec<Change> {
    let mut changes = Vec::new();
    let grants = facts
        .grants
        .iter()
        .filter(|grant| grant.database == database);
    let (mut needs_base, mut needs_clone) = (false, false);
    if pair.active == PairMember::Base {
        for grant in grants.filter(|grant| revocable(grant, facts, pair)) {
            if let Some(object) = &grant.object {
                needs_base |= !grant.as_owner;
                changes.push(Change::plain(
                    ChangeKind::Revoke,
                    revoke(object, pair),
                    "it was granted to the clone itself, not to the base user",
                ));
            }
        }
    }
    if let Some(Owned { count, .. }) = facts.owned.iter().find(|owned| owned.database == database) {
        (needs_base, needs_clone) = (true, true);
        let (base, clone) = (ident(&pair.base), ident(&pair.clone));
        changes.push(Change::plain(
            ChangeKind::Ownership,
            format!("REASSIGN OWNED BY {clone} TO {base}"),
            format!("{count} object(s) belong to the clone; the base user could not alter them"),
        ));
    }
    let borrow_clone = needs_clone && !facts.over_clone.usage;
    let borrow_base = needs_base && !(facts.over_base.usage && facts.over_base.set);
    if borrow_clone {
        wrap(&mut changes, facts, &pair.clone, facts.over_clone);
    }
    if borrow_base {
        wrap(&mut changes, facts, &pair.base, facts.over_base);
    }
    changes
}

/// Surrounds the changes with a temporary membership of the master in `role`.
fn wrap(changes: &mut Vec<Change>, facts: &Facts, role: &str, power: RoleRights) {
    let (role, master) = (ident(role), ident(&facts.master.name));
    let (give, take) = if facts.version >= 160_000 {
        let with = |inherit: bool, set: bool| {
            let word = |on| if on { "TRUE" } else { "FALSE" };
            format!(
                "GRANT {role} TO {master} WITH INHERIT {}, SET {}",
                word(inherit),
                word(set)
            )
        };
        let take = power.own_grant.map_or_else(
            || format!("REVOKE {role} FROM {master}"),
            |before| with(before.inherit, before.set),
        );
        (with(true, true), take)
    } else {
        (
            format!("GRANT {role} TO {master}"),
            format!("REVOKE {role} FROM {master}"),
        )
    };
    let why = "the master may make the next change only as a member";
    changes.insert(0, Change::plain(ChangeKind::Ownership, give, why));
    changes.push(Change::plain(
        ChangeKind::Ownership,
        take,
        "the master is a member only for these changes",
    ));
}

fn revoke(object: &str, pair: &Pair) -> String {
    format!(
        "REVOKE ALL PRIVILEGES ON {object} FROM {}",
        ident(&pair.clone)
    )
}

/// Whether the master can revoke it: REVOKE affects the owner's grants, if the master has the
/// owner's privileges.
fn revocable(grant: &Grant, facts: &Facts, pair: &Pair) -> bool {
    let may_be_owner = grant.as_owner
        || grant.owner.as_ref() == Some(&pair.base)
            && (facts.over_base.admin || facts.version < 160_000);
    grant.object.is_some() && grant.by_owner && may_be_owner
}
