//! What the active clone has by a role that sessions of the base user do not have: pure.
//!
//! # Failure modes
//! - Sessions of the base user have an owner role. A clone of another tool has the privileges of the
//!   base user, which the owner role may lack: the run is refused.
//! - A role is a member of the one that it would have to be granted to, and the server refuses the
//!   statement of a hint: what the role has is granted one by one.
//! - A hint takes something from the active clone: a membership ends only when the base user has
//!   everything else that it gives.
//! - A role loses its objects when they are given to another: it inherits the new owner.
//! - Privileges on objects that all databases share are compared with sessions of one database, and
//!   sessions in another one have another role: each role of the sessions is compared.

use super::super::inspect::{Cycle, Facts, Membership, Obstacle, Owned, Through};
use super::super::preflight::granted_by;
use super::super::quote::ident;
use super::findings::{differs, own_memberships, same_for};
use crate::Finding;
use twinkey_core::secret::pair::Pair;

pub(super) fn findings(facts: &Facts, pair: &Pair) -> Vec<Finding> {
    let mut all: Vec<Finding> = facts
        .through
        .iter()
        .flat_map(|through| by_role(through, facts, pair))
        .collect();
    if facts.works_as_base(pair) {
        return all;
    }
    all.extend(roles_of_base(facts, pair));
    all.extend(roles_of_clone(facts, pair));
    all
}

/// Grants to a role, and its objects.
fn by_role(through: &Through, facts: &Facts, pair: &Pair) -> Vec<Finding> {
    let role_in = |database: &str| facts.session_role(pair, Some(database));
    let grants = through.grants.iter().map(|grant| {
        let to = role_in(&grant.database);
        let what = format!("{} in {:?}", grant.description, grant.database);
        let fix = grant.missing.clone().unwrap_or_else(|| same_for(to));
        lost(&what, &through.role, to, pair, fix)
    });
    let obstacles = through.obstacles.iter().map(|obstacle| {
        let Obstacle {
            database,
            object,
            fix,
            ..
        } = obstacle;
        let what = format!("{object} in {database:?}, which only a superuser may own,");
        lost(&what, &through.role, role_in(database), pair, fix.clone())
    });
    let owned = through.owned.iter().map(|owned| {
        let Owned { database, count } = owned;
        let what = format!("the ownership of {count} object(s) in {database:?}");
        let to = role_in(database);
        let fix = reassign(&through.role, to, facts, pair);
        lost(&what, &through.role, to, pair, fix)
    });
    let shared = through.shared.iter().map(|shared| {
        let (role, to) = (&through.role, &shared.works_as);
        let fix = if shared.moves {
            inheriting(role, to, &shared.statement, facts, pair)
        } else {
            shared.statement.clone()
        };
        lost(&shared.what, role, to, pair, fix)
    });
    let in_databases: Vec<Finding> = grants.chain(shared).collect();
    // The server refuses to reassign the others before.
    let objects: Vec<Finding> = if through.obstacles.is_empty() {
        owned.collect()
    } else {
        obstacles.collect()
    };
    [in_databases, objects].concat()
}

fn lost(what: &str, role: &str, works_as: &str, pair: &Pair, fix: String) -> Finding {
    let through = if role == pair.base {
        "through the base user".to_owned()
    } else if role == pair.clone {
        "of its own".to_owned()
    } else {
        format!("through {role:?}")
    };
    differs(
        format!(
            "the active clone has {what} {through}; sessions of the base user have the role {works_as:?} and lose it"
        ),
        fix,
    )
}

/// Memberships of the base user that the role of its sessions lacks.
fn roles_of_base(facts: &Facts, pair: &Pair) -> Vec<Finding> {
    let mut all = Vec::new();
    for role in facts.other_roles(pair) {
        let mut choices = facts.role_choices.iter();
        let Some(choice) = choices.find(|choice| choice.role == role) else {
            continue;
        };
        for lacked in &choice.lacks {
            let (groups, admin) = facts.cycle(&lacked.role, role).map_or_else(
                || (vec![lacked.role.as_str()], lacked.admin),
                |cycle| (grantable(cycle), false),
            );
            all.extend(groups.into_iter().map(|group| {
                let fix = join(group, role, (choice.inherits, admin), facts);
                lost(
                    &format!("membership in {group:?}"),
                    &pair.base,
                    role,
                    pair,
                    fix,
                )
            }));
        }
    }
    all
}

/// Memberships of the clone in roles that are members of the base user.
fn roles_of_clone(facts: &Facts, pair: &Pair) -> Vec<Finding> {
    let inherits = facts.base.as_ref().is_some_and(|base| base.inherit);
    let cycles = facts.cycles.iter().filter(|c| c.target == pair.base);
    let reached = cycles.flat_map(|cycle| grantable(cycle).into_iter().map(move |r| (cycle, r)));
    let reached = reached.map(|(cycle, role)| {
        let fix = join(role, &pair.base, (inherits, false), facts);
        lost(
            &format!("membership in {role:?}"),
            &cycle.role,
            &pair.base,
            pair,
            fix,
        )
    });
    let ends = own_memberships(facts, pair)
        .filter(|m| !m.held)
        .filter_map(|m| {
            let cycle = facts.cycle(&m.role, &pair.base)?;
            (!facts.lacks(cycle)).then(|| end(m, facts, pair))
        });
    reached.chain(ends).collect()
}

/// The roles of a cycle that can be granted to its target.
fn grantable(cycle: &Cycle) -> Vec<&str> {
    let reached = cycle.reaches.iter().filter(|reached| !reached.is_member);
    reached.map(|reached| reached.role.as_str()).collect()
}

/// Ends a membership of the clone that the base user cannot have.
fn end(m: &Membership, facts: &Facts, pair: &Pair) -> Finding {
    let revoke = format!("REVOKE {} FROM {}", ident(&m.role), ident(&pair.clone));
    let cascade = if m.handed_on { " CASCADE" } else { "" };
    differs(
        format!(
            "the clone is active and a member of {0:?}, which is a member of {1:?}: the base user has the same privileges, but cannot become a member of {0:?}",
            m.role, pair.base
        ),
        granted_by(facts, revoke, &m.grantor) + cascade,
    )
}

/// Grants `role` to a member that inherits it, with or without ADMIN OPTION.
fn join(role: &str, member: &str, (inherits, admin): (bool, bool), facts: &Facts) -> String {
    let grant = format!("GRANT {} TO {}", ident(role), ident(member));
    if facts.version >= 160_000 {
        let admin = if admin { ", ADMIN TRUE" } else { "" };
        return format!("{grant} WITH INHERIT TRUE, SET TRUE{admin}");
    }
    let admin = if admin { " WITH ADMIN OPTION" } else { "" };
    if inherits {
        format!("{grant}{admin}")
    } else {
        format!("{grant}{admin}; ALTER ROLE {} INHERIT", ident(member))
    }
}

/// Gives the objects of a role to the role of the base user's sessions.
fn reassign(role: &str, owner: &str, facts: &Facts, pair: &Pair) -> String {
    let reassign = format!("REASSIGN OWNED BY {} TO {}", ident(role), ident(owner));
    inheriting(role, owner, &reassign, facts, pair)
}

/// A statement that gives objects of `role` to `owner`. The first must inherit the second, or it would
/// lose them; the clone has them by the base user.
fn inheriting(role: &str, owner: &str, statement: &str, facts: &Facts, pair: &Pair) -> String {
    let role = if role == pair.clone { &pair.base } else { role };
    let mut choices = facts.role_choices.iter();
    let base_inherits = owner == pair.base || choices.any(|c| c.role == owner && c.held);
    let of_cycles = facts
        .cycles
        .iter()
        .filter(|cycle| cycle.target == owner || cycle.target == pair.base && base_inherits);
    let mut reached = of_cycles.flat_map(|cycle| &cycle.reaches);
    let inherits = if role == pair.base {
        base_inherits
    } else {
        reached.any(|reached| reached.role == role && reached.inherits)
    };
    if inherits {
        statement.to_owned()
    } else {
        format!("{}; {statement}", join(owner, role, (false, false), facts))
    }
}
