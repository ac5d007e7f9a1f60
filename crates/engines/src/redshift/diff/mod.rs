//! By how much the standby's privileges on objects differ from the active user's: pure.
//!
//! How a pair works: what either of the two owns, the other is granted in full, because users cannot be
//! members of each other here. What the clone came to own while it was active is handed to the base user
//! in the run in which the clone is the standby.
//!
//! What can go wrong, and what prevents it:
//! - the active user loses what it works with: nothing is ever taken from it, its objects neither;
//! - an owner's own privileges are granted, or revoked, to no effect: what the standby owns is left alone;
//! - taking a privilege on a table takes it on its columns too: what is to stay is granted afterwards.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Place, Rights};
use super::grants::{Deed, Grants, Held, MORE_ON_TABLES, Object, statements};
use crate::{Change, ChangeKind};
use twinkey_core::secret::pair::{Pair, Which};

type On = BTreeMap<Object, Vec<String>>;

/// What is to be done in one place, by deed.
#[derive(Debug, Default)]
struct Deeds {
    revoke: On,
    revoke_option: On,
    grant: On,
    grant_with_option: On,
    /// Of owners.
    grant_owned: On,
}

/// The changes in one database, in order, as if it were the rotation's own.
pub(super) fn changes(place: &Place, pair: &Pair) -> Vec<Change> {
    let handed_over: BTreeMap<&Object, bool> = if pair.active == Which::Base {
        let owned = place.standby.owned.iter();
        owned.map(|(object, view)| (object, *view)).collect()
    } else {
        BTreeMap::new()
    };
    let mut all: Vec<Change> = handed_over
        .keys()
        .filter_map(|object| object.hand_over(&pair.base))
        .map(|text| {
            Change::plain(
                ChangeKind::Ownership,
                text,
                "it belongs to the clone; the base user owns, the clone is granted",
            )
        })
        .collect();
    let deeds = deeds(place, &handed_over);
    let user = pair.standby_user();
    let mut add = |kind, deed, on: &On, why: &str| {
        let texts = statements(deed, on, user);
        all.extend(texts.into_iter().map(|text| Change::plain(kind, text, why)));
    };
    let (revoke, grant) = (ChangeKind::Revoke, ChangeKind::Grant);
    let plain = Deed::Grant { option: false };
    let with_option = Deed::Grant { option: true };
    add(
        revoke,
        Deed::Revoke,
        &deeds.revoke,
        "the active user has it not",
    );
    add(
        revoke,
        Deed::RevokeOption,
        &deeds.revoke_option,
        "the active user has it without the grant option",
    );
    add(grant, plain, &deeds.grant, "the active user has it");
    add(
        grant,
        with_option,
        &deeds.grant_with_option,
        "the active user has it, with the grant option",
    );
    add(
        grant,
        with_option,
        &deeds.grant_owned,
        "the active user owns it",
    );
    all
}

fn deeds(place: &Place, handed_over: &BTreeMap<&Object, bool>) -> Deeds {
    let mut deeds = Deeds::default();
    let mut owned: BTreeMap<&Object, bool> = handed_over.clone();
    owned.extend(
        place
            .active
            .owned
            .iter()
            .map(|(object, view)| (object, *view)),
    );
    let nothing = Held::new();
    let has = |object: &Object| {
        let own = place.standby.owned.contains_key(object);
        (!own).then(|| place.standby.granted.get(object)).flatten()
    };
    let told = tells_more(&place.active.granted) || tells_more(&place.standby.granted);
    for (object, view) in &owned {
        let (told_always, beside) = object.of_owner(*view);
        let has = has(object).unwrap_or(&nothing);
        let lacks = |privilege: &&str| has.get(*privilege) != Some(&true);
        let compared = told_always.iter().chain(beside.iter().filter(|_| told));
        let mut missing: Vec<&str> = compared.copied().filter(lacks).collect();
        if !missing.is_empty() && !told {
            missing.extend(beside);
        }
        deeds.put(object, missing);
        let surplus = has
            .keys()
            .map(String::as_str)
            .filter(|p| !told_always.contains(p) && !beside.contains(p));
        add(&mut deeds.revoke, object, surplus);
    }
    let of_both = place
        .active
        .granted
        .keys()
        .chain(place.standby.granted.keys());
    let of_both: BTreeSet<&Object> = of_both
        .filter(|object| !owned.contains_key(object) && !is_owned(object, &place.standby))
        .collect();
    for object in of_both {
        let wanted = place.active.granted.get(object).unwrap_or(&nothing);
        let has = has(object).unwrap_or(&nothing);
        deeds.compare(object, wanted, has);
    }
    deeds.grant_columns_again(&place.active.granted);
    deeds
}

/// Whether the user owns the object, or the relation whose column it is.
fn is_owned(object: &Object, by: &Rights) -> bool {
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

/// Whether this server's views tell of the privileges that their documentation does not name.
fn tells_more(grants: &Grants) -> bool {
    let mut relations = grants
        .iter()
        .filter(|(object, _)| matches!(object, Object::Relation { .. }));
    relations.any(|(_, held)| MORE_ON_TABLES.iter().any(|more| held.contains_key(*more)))
}

fn add<'a>(on: &mut On, object: &Object, privileges: impl IntoIterator<Item = &'a str>) {
    let privileges: Vec<String> = privileges.into_iter().map(str::to_owned).collect();
    if !privileges.is_empty() {
        on.entry(object.clone()).or_default().extend(privileges);
    }
}

impl Deeds {
    fn put(&mut self, object: &Object, missing: Vec<&str>) {
        add(&mut self.grant_owned, object, missing);
    }

    fn compare(&mut self, object: &Object, wanted: &Held, has: &Held) {
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
            let taken = self.revoke.get(&table).cloned().unwrap_or_default();
            let granted = self.grant.entry(object.clone()).or_default();
            let again = held
                .keys()
                .filter(|p| taken.contains(p) && !granted.contains(p));
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
