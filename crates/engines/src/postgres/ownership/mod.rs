//! Objects that the clone owns and privileges granted to it, by an older tool or by hand: pure.
//!
//! # Failure modes
//! - DROP OWNED drops a table: it is not used. REASSIGN OWNED hands objects over, and privileges
//!   are revoked object by object.
//! - The master keeps a temporary membership: the transaction that needs it also revokes it, and
//!   restores an earlier grant of the same grantor, which both statements name.
//! - The active clone loses a privilege that it uses: its objects go to the base user, whose
//!   privileges it has. Its own privileges are revoked only while it is the standby.
//! - The server refuses a new owner in the middle of a run: `check` reports first what the base user
//!   lacks, or that only a superuser may own the object.
//! - REVOKE revokes the grants of one role: of the first one with the grant option that the master
//!   inherits, such as the clone. The master takes the owner's role where there is another than the owner.
//! - Others lose what the clone granted to them: REVOKE would be refused, so the clone's grant stays.

mod findings;
mod through;

use std::collections::BTreeSet;

pub(super) use self::findings::left_alone;
use super::inspect::{Facts, Grant, Obstacle, Owned, RoleRights};
use super::quote::ident;
use super::remedies;
use crate::{Change, ChangeKind, Finding, Severity};
use twinkey_core::secret::pair::{Pair, PairMember};

/// Changes in other databases, each of which needs a connection of its own.
pub(super) fn in_other_databases(facts: &Facts, pair: &Pair) -> Vec<Change> {
    databases(facts)
        .into_iter()
        .filter(|database| *database != facts.database)
        .flat_map(|database| {
            let mut changes = in_database(facts, pair, database);
            for change in &mut changes {
                change.database = Some(database.to_owned());
            }
            changes
        })
        .collect()
}

/// Databases in which the clone has objects or grants, and that allow connections.
fn databases(facts: &Facts) -> BTreeSet<&str> {
    let owned = facts.owned.iter().map(|owned| owned.database.as_str());
    let granted = facts.grants.iter().map(|grant| grant.database.as_str());
    let all = owned.chain(granted);
    all.filter(|database| !is_closed(facts, database)).collect()
}

/// Changes in the rotation's own database.
pub(super) fn in_own_database(facts: &Facts, pair: &Pair) -> Vec<Change> {
    in_database(facts, pair, &facts.database)
}

/// Findings about databases that a run does not change, because they allow no connections.
pub(super) fn closed_databases(facts: &Facts) -> Vec<Finding> {
    facts
        .databases
        .iter()
        .filter(|database| !database.allows_connections)
        .map(|database| {
            Finding::new(
                Severity::Note,
                format!(
                    "database {:?} allows no connections; what the clone has there stays",
                    database.name
                ),
                None,
            )
        })
        .collect()
}

fn is_closed(facts: &Facts, database: &str) -> bool {
    let mut closed = facts.databases.iter().filter(|d| !d.allows_connections);
    closed.any(|closed| closed.name == database)
}

/// Objects of the clone that only a superuser may own.
pub(super) fn for_superusers(facts: &Facts) -> Vec<Finding> {
    let only = facts.obstacles.iter().filter(|o| o.lacks.is_none());
    only.map(|obstacle| {
        Finding::new(
            Severity::Error,
            format!(
                "the clone owns {} in {:?}, which only a superuser may own: it cannot be given to the base user",
                obstacle.object, obstacle.database
            ),
            Some(obstacle.fix.clone()),
        )
    })
    .collect()
}

/// Privileges that the changes need: those of the base user as the new owner of the clone's
/// objects, one finding for each statement, and CONNECT of the master.
pub(super) fn missing(facts: &Facts, pair: &Pair) -> Vec<Finding> {
    let mut all: Vec<Finding> = facts
        .databases
        .iter()
        .filter(|database| database.allows_connections && !database.may_connect)
        .map(|database| {
            Finding::lacks(
                format!(
                    "the master {:?} may not connect to the database {:?}, where the pair has objects or grants",
                    facts.master.name, database.name
                ),
                format!(
                    "GRANT CONNECT ON DATABASE {} TO {}",
                    ident(&database.name),
                    ident(&facts.master.name)
                ),
            )
        })
        .collect();
    all.extend(owner_rights(facts, pair));
    let with_grant = facts
        .obstacles
        .iter()
        .filter(|o| o.lacks.is_some() && !facts.master.superuser);
    let obstacles: Vec<&Obstacle> = with_grant.collect();
    for same in obstacles.chunk_by(|a, b| (&a.database, &a.fix) == (&b.database, &b.fix)) {
        let [first, rest @ ..] = same else { continue };
        let more = match rest.len() {
            0 => String::new(),
            more => format!(" and {more} more object(s)"),
        };
        all.push(Finding::lacks(
            format!(
                "the base user {:?} lacks {} in {:?}; without it the server does not make it the owner of the clone's {}{more}",
                pair.base,
                first.lacks.as_deref().unwrap_or_default(),
                first.database,
                first.object
            ),
            first.fix.clone(),
        ));
    }
    all
}

/// ADMIN OPTION on the owner roles that get objects of the clone.
fn owner_rights(facts: &Facts, pair: &Pair) -> Vec<Finding> {
    let owned = facts.owned.iter();
    let owners: BTreeSet<&str> = owned
        .map(|owned| facts.session_role(pair, Some(&owned.database)))
        .filter(|owner| {
            let rights = facts.rights_on(owner, pair);
            *owner != pair.base && !rights.grants && !(rights.usage && rights.set)
        })
        .collect();
    let needed = facts.version >= 160_000 && !facts.master.superuser;
    let master = &facts.master.name;
    owners
        .into_iter()
        .filter(|_| needed)
        .map(|owner| {
            Finding::lacks(
                format!("the master {master:?} has no ADMIN OPTION on {owner:?}, the role of the base user's sessions, which becomes the owner of the clone's objects"),
                remedies::admin_option(owner, master),
            )
        })
        .collect()
}

/// Whether the changes need the privileges of a role by a temporary membership.
pub(super) fn needs_membership(facts: &Facts, pair: &Pair) -> bool {
    let mut grants = facts.grants.iter();
    let revokes_as_owner = pair.active == PairMember::Base
        && grants.any(|grant| revocable(grant, facts, pair) && !grant.as_owner);
    revokes_as_owner || !facts.owned.is_empty()
}

/// Whether a run revokes something from the clone that the clone will not have by the base user.
pub(super) fn revokes_beyond_base(facts: &Facts, pair: &Pair) -> bool {
    let by_base = |database| facts.session_role(pair, Some(database)) == pair.base;
    let mut grants = facts.grants.iter().filter(|g| revocable(g, facts, pair));
    let mut memberships = facts
        .memberships
        .iter()
        .filter(|m| m.member == pair.clone && m.role != pair.base && m.revocable && !m.held);
    memberships.next().is_some()
        || grants.any(|g| !g.held || g.missing_at_login.is_some() || !by_base(&g.database))
}

/// Whether objects of the clone go to a role whose privileges the clone will not have by the base
/// user.
pub(super) fn leaves_pair(facts: &Facts, pair: &Pair) -> bool {
    let clone_inherits = pair.active == PairMember::Base
        || facts.memberships.iter().any(|m| {
            let by_role = || facts.clone.as_ref().is_some_and(|clone| clone.inherit);
            m.member == pair.clone && m.role == pair.base && m.inherit.unwrap_or_else(by_role)
        });
    let by_base = |owner: &str| {
        let mut choices = facts.role_choices.iter();
        owner == pair.base || choices.any(|c| c.role == owner && c.held)
    };
    let mut owned = facts.owned.iter();
    owned.any(|owned| !clone_inherits || !by_base(facts.session_role(pair, Some(&owned.database))))
}

fn in_database(facts: &Facts, pair: &Pair, database: &str) -> Vec<Change> {
    let mut changes = Vec::new();
    let grants = facts
        .grants
        .iter()
        .filter(|grant| grant.database == database);
    let owner = facts.session_role(pair, Some(database));
    if pair.active == PairMember::Base {
        for grant in grants.filter(|grant| revocable(grant, facts, pair)) {
            changes.extend(revocation(grant, pair));
        }
    }
    if let Some(Owned { count, .. }) = facts.owned.iter().find(|owned| owned.database == database) {
        changes.push(Change::plain(
            ChangeKind::Ownership,
            format!(
                "REASSIGN OWNED BY {} TO {}",
                ident(&pair.clone),
                ident(owner)
            ),
            format!("{count} object(s) belong to the clone; the base user could not alter them"),
        ));
    }
    for (role, rights) in joined_in(facts, pair, database) {
        wrap(&mut changes, facts, role, &rights);
    }
    changes
}

/// Roles that the changes in a database make the master a member of, with its rights on them.
fn joined_in<'a>(
    facts: &'a Facts,
    pair: &'a Pair,
    database: &str,
) -> impl Iterator<Item = (&'a str, RoleRights)> {
    let mut grants = facts.grants.iter();
    let needs_base = pair.active == PairMember::Base
        && grants.any(|grant| {
            let of_base = grant.owner.as_ref() == Some(&pair.base);
            grant.database == database
                && revocable(grant, facts, pair)
                && (!grant.as_owner || grant.other_grantor && of_base)
        });
    let hands_over = facts.owned.iter().any(|owned| owned.database == database);
    let owner = facts.session_role(pair, Some(database));
    let is_base = owner == pair.base;
    let over_owner = facts.rights_on(owner, pair);
    let lacks = |rights: &RoleRights| !(rights.usage && rights.set);
    let (over_base, over_clone) = (facts.over_base.clone(), facts.over_clone.clone());
    let of_clone = (hands_over && !over_clone.usage).then_some((pair.clone.as_str(), over_clone));
    let of_base = ((needs_base || hands_over && is_base) && lacks(&over_base))
        .then_some((pair.base.as_str(), over_base));
    let of_owner = (hands_over && !is_base && lacks(&over_owner)).then_some((owner, over_owner));
    [of_clone, of_base, of_owner].into_iter().flatten()
}

/// Roles that a run makes the master a member of.
pub(super) fn joined<'a>(facts: &'a Facts, pair: &'a Pair) -> BTreeSet<&'a str> {
    let all = databases(facts).into_iter();
    all.flat_map(|database| joined_in(facts, pair, database).map(|(role, _)| role))
        .collect()
}

/// Surrounds the changes with a temporary membership of the master in `role`.
fn wrap(changes: &mut Vec<Change>, facts: &Facts, role: &str, power: &RoleRights) {
    let (role, master) = (ident(role), ident(&facts.master.name));
    let (give, take) = if facts.version >= 160_000 {
        let by = power.grantor.as_deref();
        let by = by.map_or_else(String::new, |by| format!(" GRANTED BY {}", ident(by)));
        let with = |inherit: bool, set: bool| {
            let word = |on| if on { "TRUE" } else { "FALSE" };
            format!(
                "GRANT {role} TO {master} WITH INHERIT {}, SET {}{by}",
                word(inherit),
                word(set)
            )
        };
        let take = power.own_grant.map_or_else(
            || format!("REVOKE {role} FROM {master}{by}"),
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

/// The statements that revoke the grant. REVOKE affects the grants of one role. If the master inherits
/// another role with the grant option, that could be this role: it takes the owner's.
fn revocation(grant: &Grant, pair: &Pair) -> Vec<Change> {
    let (Some(object), Some(owner)) = (&grant.object, &grant.owner) else {
        return Vec::new();
    };
    let plain = |text, why| Change::plain(ChangeKind::Revoke, text, why);
    let revoke = plain(
        revoke(object, pair),
        "it was granted to the clone itself, not to the base user",
    );
    if !grant.other_grantor {
        return vec![revoke];
    }
    let (set, why) = (
        "SET LOCAL ROLE",
        "another role has the grant option: revoke as the owner",
    );
    vec![
        plain(format!("{set} {}", ident(owner)), why),
        revoke,
        plain(format!("{set} NONE"), "the master continues"),
    ]
}

/// Whether the master can revoke it: REVOKE affects the owner's grants, if the master has the
/// owner's privileges and the clone did not grant them to others.
fn revocable(grant: &Grant, facts: &Facts, pair: &Pair) -> bool {
    let may_be_owner = grant.as_owner && (grant.sets_owner || !grant.other_grantor)
        || grant.owner.as_ref() == Some(&pair.base)
            && (facts.over_base.grants || facts.version < 160_000);
    grant.object.is_some() && grant.by_owner && may_be_owner && !grant.handed_on
}
