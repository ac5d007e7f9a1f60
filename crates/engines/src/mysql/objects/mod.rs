//! Grants on tables, views and routines that are missing or invalid: pure.
//!
//! A migration or a restore renames, drops and creates objects again, and their grants outlive
//! that. So a grant on an object that cannot be read now is kept: it is copied where the server
//! takes it, and revoked from neither user. Where the server refuses it, the run is refused before
//! any change.
//!
//! # Failure modes
//! - A grant on a missing object is skipped, the object returns after the flip, and the application
//!   lacks the privilege: the run copies the grant or is refused.
//! - The next run revokes a grant from the other user, because the object was missing in this one:
//!   what the standby has on such an object stays, and is reported.
//! - A surplus grant stays because the master sees no column of a valid view: the view counts as
//!   broken only if the server says so (`inspect`).
//! - CREATE stays on a missing table after an interruption (`diff.rs` grants it for one statement):
//!   it is no grant that stays.
//! - A column of an existing table was dropped, and no statement can grant it: its grant has no
//!   effect, stays where it is, and stops no run.

use std::collections::{BTreeMap, BTreeSet};

use super::grants::{CREATE, Grants, Object, Privileges};
use super::inspect::facts::{ExistingObjects, Facts, Table};

/// Grants that the standby shall have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub grants: Grants,
    /// Tables that do not exist: the server takes a grant on them only together with CREATE.
    pub absent: BTreeSet<Object>,
    /// Grants that the standby lacks, on objects that cannot be read.
    pub unverified: Vec<Unverified>,
    /// Grants that only the standby has, on such objects. They stay.
    pub surplus: Vec<Unverified>,
}

/// A grant on an object that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unverified {
    pub object: Object,
    pub privileges: Privileges,
    pub cause: Cause,
}

/// Why an object cannot be read, and what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The table does not exist; the server takes the grant all the same.
    AbsentTable,
    /// The existing table has no such column: the grant has no effect.
    DroppedColumn,
    /// The object does not exist, and the server takes no such grant.
    Missing,
    /// The view is broken, or a privilege on its tables is missing: the server takes no grants on
    /// its columns.
    InvalidView,
}

impl Table {
    /// Whether the column of this privilege was dropped.
    fn lacks(&self, (_, column): &(String, String)) -> bool {
        !self.columns.is_empty() && !self.columns.contains(&column.to_lowercase())
    }
}

/// What is known of an object.
enum State<'a> {
    /// It is no table, view or routine, or its schema was not read.
    Unknown,
    Exists(&'a Table),
    BrokenView,
    AbsentTable,
    AbsentRoutine,
}

fn state<'a>(existing: &'a ExistingObjects, object: &Object) -> State<'a> {
    match object {
        Object::Routine { kind, schema, name } => {
            // Packages and libraries are not in information_schema.ROUTINES everywhere.
            let is_listed = matches!(kind.as_str(), "PROCEDURE" | "FUNCTION");
            // The server prints the names of routines in lower case in grants.
            let key = (kind.clone(), schema.clone(), name.to_lowercase());
            if !is_listed || !existing.schemas.contains(schema) || existing.routines.contains(&key)
            {
                State::Unknown
            } else {
                State::AbsentRoutine
            }
        }
        Object::Table { schema, table } => {
            if !existing.schemas.contains(schema) {
                return State::Unknown;
            }
            match existing.tables.get(&(schema.clone(), table.clone())) {
                None => State::AbsentTable,
                Some(table) if table.is_broken => State::BrokenView,
                Some(table) => State::Exists(table),
            }
        }
        Object::Global | Object::Schema(_) => State::Unknown,
    }
}

/// The grants of `active` that the standby, which has `has`, shall have.
pub(super) fn wanted(facts: &Facts, active: &Grants, has: &Grants) -> Wanted {
    let mut wanted = Wanted {
        grants: active.clone(),
        absent: BTreeSet::new(),
        unverified: Vec::new(),
        surplus: Vec::new(),
    };
    let nothing = Privileges::default();
    let objects: BTreeSet<&Object> = active.on.keys().chain(has.on.keys()).collect();
    for object in objects {
        // The master does not see objects that it has no rights on, so they may exist.
        let visible = |name: &String| facts.master.may_grant(&facts.dialect, object, name);
        let only_in = |one: &Grants, other: &Grants| {
            let (one, other) = (one.on.get(object), other.on.get(object));
            let (one, other) = (one.unwrap_or(&nothing), other.unwrap_or(&nothing));
            let names = one.names.difference(&other.names);
            let columns = one.columns.difference(&other.columns);
            Privileges {
                names: names.filter(|name| visible(name)).cloned().collect(),
                columns: columns.filter(|(name, _)| visible(name)).cloned().collect(),
            }
        };
        let (mut lacks, mut surplus) = (only_in(active, has), only_in(has, active));
        let cause = match state(&facts.existing, object) {
            State::Unknown => continue,
            State::Exists(table) => {
                surplus.names.clear();
                surplus.columns.retain(|column| table.lacks(column));
                let has = has.on.get(object).unwrap_or(&nothing);
                let granted = active
                    .on
                    .get(object)
                    .unwrap_or(&nothing)
                    .columns_to_grant(has);
                let granted = granted.into_iter().filter(|(name, _)| visible(name));
                let (dropped, columns) = granted.partition(|column| table.lacks(column));
                let [dropped, columns] = [dropped, columns].map(Privileges::of_columns);
                wanted.drop(object, &dropped);
                wanted.report(object, dropped, Cause::DroppedColumn);
                if table.refuses_columns {
                    wanted.report(object, columns, Cause::InvalidView);
                }
                Cause::DroppedColumn
            }
            State::BrokenView => {
                lacks.names.clear();
                wanted.report(object, lacks, Cause::InvalidView);
                Cause::InvalidView
            }
            State::AbsentRoutine => {
                wanted.report(object, lacks, Cause::Missing);
                Cause::Missing
            }
            State::AbsentTable => {
                surplus.names.remove(CREATE);
                let of_columns = Privileges::of_columns(std::mem::take(&mut lacks.columns));
                wanted.report(object, of_columns, Cause::Missing);
                if !lacks.is_empty() {
                    wanted.absent.insert(object.clone());
                }
                wanted.report(object, lacks, Cause::AbsentTable);
                Cause::AbsentTable
            }
        };
        wanted.keep(object, surplus, cause);
    }
    wanted
        .grants
        .on
        .retain(|_, privileges| !privileges.is_empty());
    wanted
}

impl Wanted {
    fn report(&mut self, object: &Object, privileges: Privileges, cause: Cause) {
        if !privileges.is_empty() {
            self.unverified.push(Unverified {
                object: object.clone(),
                privileges,
                cause,
            });
        }
    }

    fn drop(&mut self, object: &Object, dropped: &Privileges) {
        if let Some(kept) = self.grants.on.get_mut(object) {
            kept.columns
                .retain(|column| !dropped.columns.contains(column));
        }
    }

    fn keep(&mut self, object: &Object, surplus: Privileges, cause: Cause) {
        if !surplus.is_empty() {
            let on = BTreeMap::from([(object.clone(), surplus.clone())]);
            self.surplus.push(Unverified {
                object: object.clone(),
                privileges: surplus,
                cause,
            });
            self.grants.extend(Grants {
                on,
                ..Grants::default()
            });
        }
    }
}

#[cfg(test)]
mod tests;
