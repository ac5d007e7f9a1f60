//! Differences between the object privileges of the active user and the standby. Pure.
//!
//! Redshift users cannot be members of each other. Each user of a pair therefore has all privileges
//! on the objects of the other. Objects of the clone change their owner to the base user while the
//! clone is the standby.
//!
//! # Invariants
//! - No change affects the active user or its objects.
//! - Objects of the standby get no GRANT or REVOKE, because an owner's privileges cannot be
//!   changed.
//! - A privilege that the active user has as the owner is not revoked from the standby, which had it
//!   as the owner before.
//! - REVOKE on a table also revokes privileges on its columns; those that remain are granted again.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{DatabaseFacts, UserPrivileges};
use super::grants::{
    GrantChange, Grants, Object, PrivilegeSet, UNDOCUMENTED_ON_TABLES, statements,
};
use crate::{Change, ChangeKind};
use twinkey_core::secret::pair::{Pair, PairMember};

type ByObject = BTreeMap<Object, Vec<String>>;

/// Privileges to change in one database, by kind of change.
#[derive(Debug, Default)]
struct GrantChanges {
    revoke: ByObject,
    revoke_option: ByObject,
    grant: ByObject,
    grant_with_option: ByObject,
    /// On objects of the active user.
    grant_owned: ByObject,
}

/// The changes in one database, in order.
pub(in crate::redshift) fn changes(facts: &DatabaseFacts, pair: &Pair) -> Vec<Change> {
    let handed_over = handed_over(facts, pair);
    let mut all: Vec<Change> = handed_over
        .keys()
        .filter_map(|object| object.change_owner_statement(&pair.base))
        .map(|text| {
            Change::plain(
                ChangeKind::Ownership,
                text,
                "the base user owns the pair's objects, and the clone has privileges on them",
            )
        })
        .collect();
    let grant_changes = grant_changes(facts, &handed_over);
    let user = pair.standby_user();
    let mut add = |kind, change, on: &ByObject, why: &str| {
        let texts = statements(change, on, user);
        all.extend(texts.into_iter().map(|text| Change::plain(kind, text, why)));
    };
    let (revoke, grant) = (ChangeKind::Revoke, ChangeKind::Grant);
    let plain = GrantChange::Grant { option: false };
    let with_option = GrantChange::Grant { option: true };
    add(
        revoke,
        GrantChange::Revoke,
        &grant_changes.revoke,
        "the active user does not have it",
    );
    add(
        revoke,
        GrantChange::RevokeOption,
        &grant_changes.revoke_option,
        "the active user has it without the grant option",
    );
    add(grant, plain, &grant_changes.grant, "the active user has it");
    add(
        grant,
        with_option,
        &grant_changes.grant_with_option,
        "the active user has it, with the grant option",
    );
    add(
        grant,
        with_option,
        &grant_changes.grant_owned,
        "the active user owns it",
    );
    all
}

/// Objects of the clone, the standby, that the base user is to own. A model cannot change its owner,
/// and the server may refuse another one.
fn handed_over<'a>(facts: &'a DatabaseFacts, pair: &Pair) -> BTreeMap<&'a Object, bool> {
    if pair.active != PairMember::Base {
        return BTreeMap::new();
    }
    let owned = facts.standby.owned.iter();
    owned
        .filter(|(object, _)| {
            let change = object.change_owner_statement(&pair.base);
            change.is_some_and(|statement| !facts.kept.contains_key(&statement))
        })
        .map(|(object, view)| (object, *view))
        .collect()
}

/// The privileges that the changes in one database grant or revoke, by object.
pub(in crate::redshift) fn changed_privileges(
    facts: &DatabaseFacts,
    pair: &Pair,
) -> BTreeMap<Object, BTreeSet<String>> {
    let changes = grant_changes(facts, &handed_over(facts, pair));
    let mut all: BTreeMap<Object, BTreeSet<String>> = BTreeMap::new();
    for of_kind in [
        changes.revoke,
        changes.revoke_option,
        changes.grant,
        changes.grant_with_option,
        changes.grant_owned,
    ] {
        for (object, privileges) in of_kind {
            all.entry(object).or_default().extend(privileges);
        }
    }
    all
}

/// The objects that change their owner.
pub(in crate::redshift) fn changed_owners(facts: &DatabaseFacts, pair: &Pair) -> usize {
    handed_over(facts, pair).len()
}

fn grant_changes(facts: &DatabaseFacts, handed_over: &BTreeMap<&Object, bool>) -> GrantChanges {
    let mut grant_changes = GrantChanges::default();
    let mut owned: BTreeMap<&Object, bool> = handed_over.clone();
    owned.extend(
        facts
            .active
            .owned
            .iter()
            .map(|(object, view)| (object, *view)),
    );
    let nothing = PrivilegeSet::new();
    let has = |object: &Object| {
        let is_owner = facts.standby.owned.contains_key(object);
        (!is_owner)
            .then(|| facts.standby.granted.get(object))
            .flatten()
    };
    let shown =
        shows_undocumented(&facts.active.granted) || shows_undocumented(&facts.standby.granted);
    for (object, view) in &owned {
        let (documented, undocumented) = object.owner_privileges(*view);
        let has = has(object).unwrap_or(&nothing);
        let lacks = |privilege: &&str| has.get(*privilege) != Some(&true);
        let compared = documented
            .iter()
            .chain(undocumented.iter().filter(|_| shown));
        let mut missing: Vec<&str> = compared.copied().filter(lacks).collect();
        if !missing.is_empty() && !shown {
            missing.extend(undocumented);
        }
        grant_changes.grant_owned(object, missing);
        let surplus = has
            .keys()
            .map(String::as_str)
            .filter(|p| !documented.contains(p) && !undocumented.contains(p))
            .filter(|p| !object.is_owners(p));
        add(&mut grant_changes.revoke, object, surplus);
    }
    let objects = facts
        .active
        .granted
        .keys()
        .chain(facts.standby.granted.keys());
    let objects: BTreeSet<&Object> = objects
        .filter(|object| !owned.contains_key(object) && !is_owned(object, &facts.standby))
        .collect();
    for object in objects {
        let wanted = facts.active.granted.get(object).unwrap_or(&nothing);
        let has = has(object).unwrap_or(&nothing);
        grant_changes.compare(object, wanted, has);
    }
    grant_changes.grant_columns_again(&facts.active.granted);
    grant_changes
}

/// Whether the user owns the object, or the relation whose column it is.
fn is_owned(object: &Object, by: &UserPrivileges) -> bool {
    match object {
        Object::Column {
            schema, relation, ..
        } => by.owned.contains_key(&Object::Relation {
            schema: schema.clone(),
            name: relation.clone(),
        }),
        object => by.owned.contains_key(object),
    }
}

/// Whether the views of this server contain privileges that their documentation does not name.
fn shows_undocumented(grants: &Grants) -> bool {
    let mut relations = grants
        .iter()
        .filter(|(object, _)| matches!(object, Object::Relation { .. }));
    relations.any(|(_, held)| {
        UNDOCUMENTED_ON_TABLES
            .iter()
            .any(|privilege| held.contains_key(*privilege))
    })
}

fn add<'a>(on: &mut ByObject, object: &Object, privileges: impl IntoIterator<Item = &'a str>) {
    let privileges: Vec<String> = privileges.into_iter().map(str::to_owned).collect();
    if !privileges.is_empty() {
        on.entry(object.clone()).or_default().extend(privileges);
    }
}

impl GrantChanges {
    fn grant_owned(&mut self, object: &Object, missing: Vec<&str>) {
        add(&mut self.grant_owned, object, missing);
    }

    fn compare(&mut self, object: &Object, wanted: &PrivilegeSet, has: &PrivilegeSet) {
        for (privilege, option) in wanted {
            let privilege = [privilege.as_str()];
            match (option, has.get(privilege[0])) {
                (true, Some(true)) | (false, Some(false)) => {}
                (true, _) => add(&mut self.grant_with_option, object, privilege),
                (false, None) => add(&mut self.grant, object, privilege),
                (false, Some(true)) => add(&mut self.revoke_option, object, privilege),
            }
        }
        let surplus = has.keys().filter(|p| !wanted.contains_key(*p));
        add(&mut self.revoke, object, surplus.map(String::as_str));
    }

    fn grant_columns_again(&mut self, wanted: &Grants) {
        for (object, held) in wanted {
            let Object::Column {
                schema, relation, ..
            } = object
            else {
                continue;
            };
            let table = Object::Relation {
                schema: schema.clone(),
                name: relation.clone(),
            };
            let revoked = self.revoke.get(&table).cloned().unwrap_or_default();
            let granted = self.grant.entry(object.clone()).or_default();
            let again = held
                .keys()
                .filter(|p| revoked.contains(p) && !granted.contains(p));
            let again: Vec<String> = again.cloned().collect();
            granted.extend(again);
            if granted.is_empty() {
                self.grant.remove(object);
            }
        }
    }
}

#[cfg(test)]
mod tests;
