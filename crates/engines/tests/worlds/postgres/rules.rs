//! What a rotation may change in the catalogue.

use serde_json::Value;
use twinkey_core::secret::pair::{Pair, PairMember};

use super::catalog::{Fact, Facts, What};
use super::server::MASTER;

pub struct Rules<'a> {
    /// As before the rotation.
    pub pair: &'a Pair,
    pub before: &'a Facts,
    pub after: &'a Facts,
    /// Roles that sessions of the base user can have, which may become owners of the clone's objects.
    pub owners: &'a [String],
}

impl Rules<'_> {
    /// The facts that a rotation must not have changed.
    pub fn violations(&self) -> Vec<(&'static str, Fact)> {
        let lost = self
            .before
            .difference(self.after)
            .filter(|f| !self.may_go(f));
        let new = self
            .after
            .difference(self.before)
            .filter(|f| !self.may_come(f));
        let lost = lost.map(|fact| ("lost", fact.clone()));
        lost.chain(new.map(|fact| ("new", fact.clone()))).collect()
    }

    fn clone_is_standby(&self) -> bool {
        self.pair.active == PairMember::Base
    }

    fn may_go(&self, fact: &Fact) -> bool {
        match &fact.what {
            What::Row(row) => self.row_may_change(fact, row, self.after),
            What::Password(_) => {
                self.name_of(fact).as_ref() == Some(&self.pair.standby_user().to_owned())
            }
            What::Owner(owner) => {
                *owner == self.pair.clone && self.owner(self.after, fact).is_some()
            }
            What::Privilege {
                grantee,
                privilege,
                grantable,
                ..
            } => {
                let (clone, was_owner) = (&self.pair.clone, self.owner(self.before, fact));
                let of_owner = was_owner.as_ref() == Some(clone);
                if grantee == clone {
                    return of_owner || self.clone_is_standby();
                }
                // The new owner is the grantor, or has the privilege as the owner.
                let owner = self.owner(self.after, fact);
                let kept = |other: &Fact| match &other.what {
                    What::Privilege {
                        grantor,
                        grantee: g,
                        privilege: p,
                        grantable: o,
                    } => {
                        same_object(other, fact)
                            && p == privilege
                            && o >= grantable
                            && Some(grantor) == owner.as_ref()
                            && (g == grantee || Some(grantee) == owner.as_ref())
                    }
                    _ => false,
                };
                of_owner && self.after.iter().any(kept)
            }
        }
    }

    fn may_come(&self, fact: &Fact) -> bool {
        match &fact.what {
            What::Row(row) => self.row_may_change(fact, row, self.before),
            What::Password(_) => {
                self.name_of(fact).as_ref() == Some(&self.pair.standby_user().to_owned())
            }
            What::Owner(owner) => {
                let was = self.owner(self.before, fact);
                was.as_ref() == Some(&self.pair.clone) && self.owners.contains(owner)
            }
            What::Privilege {
                grantor,
                grantee,
                privilege,
                ..
            } => {
                let of_clone = self.owner(self.before, fact).as_ref() == Some(&self.pair.clone);
                let owner = self.owner(self.after, fact);
                let had = |other: &Fact| {
                    let privileges = matches!(&other.what, What::Privilege { privilege: p, .. } if p == privilege);
                    same_object(other, fact) && privileges
                };
                // Handed over with the object.
                of_clone
                    && [Some(grantor), Some(grantee)].contains(&owner.as_ref())
                    && self.before.iter().any(had)
            }
        }
    }

    /// Whether a row may be lost or new; `other`: the facts on the other side.
    fn row_may_change(&self, fact: &Fact, row: &str, other: &Facts) -> bool {
        let row: Value = serde_json::from_str(row).unwrap_or_default();
        let is = |column: &str, name: &str| row[column] == *name;
        let (base, clone) = (self.pair.base.as_str(), self.pair.clone.as_str());
        match fact.table.as_str() {
            "pg_authid" if is("rolname", clone) => self.clone_is_standby(),
            "pg_authid" if is("rolname", base) => {
                let before = self.row_of(self.before, fact);
                let after = self.row_of(self.after, fact);
                !self.clone_is_standby() && only_gains(before, after)
            }
            "pg_auth_members" => {
                self.clone_is_standby() && is("member", clone)
                    || is("roleid", clone) && is("member", MASTER)
            }
            "pg_db_role_setting" if is("setrole", clone) => self.clone_is_standby(),
            "pg_db_role_setting" if is("setrole", base) => {
                let mut others = other.iter().filter(|f| f.table == fact.table);
                let same = others.find_map(|f| {
                    let What::Row(other) = &f.what else {
                        return None;
                    };
                    let other: Value = serde_json::from_str(other).ok()?;
                    (other["setrole"] == *base && other["setdatabase"] == row["setdatabase"])
                        .then_some(other)
                });
                let is_before = std::ptr::eq(other, self.after);
                let (was, now) = if is_before {
                    (Some(row), same)
                } else {
                    (same, Some(row))
                };
                !self.clone_is_standby() && settings_gain(was, now)
            }
            _ => false,
        }
    }

    fn row_of(&self, facts: &Facts, of: &Fact) -> Option<Value> {
        facts.iter().find_map(|fact| match &fact.what {
            What::Row(row) if same_object(fact, of) => serde_json::from_str(row).ok(),
            _ => None,
        })
    }

    /// The name of the role of a password.
    fn name_of(&self, fact: &Fact) -> Option<String> {
        let row = self.row_of(self.after, fact)?;
        row["rolname"].as_str().map(str::to_owned)
    }

    fn owner(&self, facts: &Facts, of: &Fact) -> Option<String> {
        // Columns belong to their table.
        let key = of.key.split('.').next();
        let table = if of.table == "pg_attribute" {
            "pg_class"
        } else {
            &of.table
        };
        facts.iter().find_map(|fact| match &fact.what {
            What::Owner(owner)
                if fact.database == of.database
                    && fact.table == table
                    && Some(fact.key.as_str()) == key =>
            {
                Some(owner.clone())
            }
            _ => None,
        })
    }
}

fn same_object(one: &Fact, other: &Fact) -> bool {
    (one.database, &one.table, &one.key) == (other.database, &other.table, &other.key)
}

/// Attributes that the base user may be given; an expiry that has passed may be replaced.
fn only_gains(before: Option<Value>, after: Option<Value>) -> bool {
    let (Some(Value::Object(before)), Some(Value::Object(after))) = (before, after) else {
        return false;
    };
    before.iter().all(|(column, was)| {
        let now = &after[column];
        let attribute = ["rolcreatedb", "rolcreaterole", "rolbypassrls"].contains(&column.as_str());
        was == now || attribute && *now == true || column == "rolvaliduntil" && !was.is_null()
    })
}

fn settings_gain(before: Option<Value>, after: Option<Value>) -> bool {
    let values = |row: Option<Value>| -> Vec<Value> {
        row.and_then(|row| row["setconfig"].as_array().cloned())
            .unwrap_or_default()
    };
    let after = values(after);
    values(before).iter().all(|setting| after.contains(setting))
}
