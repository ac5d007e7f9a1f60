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
//!   what the standby has on such an object stays.
//! - CREATE stays on a missing table after an interruption (`diff.rs` grants it for one statement):
//!   it is no grant that stays.
//! - A column of an existing table was dropped, and no statement can grant it: its grant has no
//!   effect, stays where it is, and stops no run.

use std::collections::{BTreeMap, BTreeSet};

use super::grants::{CREATE, Grants, Object, Privileges};
use super::inspect::facts::{ExistingObjects, Facts};

/// Grants that the standby shall have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub grants: Grants,
    /// Tables that do not exist: the server takes a grant on them only together with CREATE.
    pub absent: BTreeSet<Object>,
    /// Grants that the standby lacks, on objects that cannot be read.
    pub unverified: Vec<Unverified>,
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
    /// The view is invalid, and the server takes no grants on its columns.
    InvalidView,
}

/// What is known of an object.
enum State<'a> {
    /// It is no table, view or routine, or its schema was not read.
    Unknown,
    Exists(&'a BTreeSet<String>),
    /// Its columns cannot be read.
    Invalid,
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
                Some(columns) if columns.is_empty() => State::Invalid,
                Some(columns) => State::Exists(columns),
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
        let state = state(&facts.existing, object);
        match state {
            State::Unknown => continue,
            State::Exists(columns) => {
                let is_dropped =
                    |(_, column): &(String, String)| !columns.contains(&column.to_lowercase());
                lacks.names.clear();
                lacks.columns.retain(is_dropped);
                surplus.names.clear();
                surplus.columns.retain(is_dropped);
                wanted.drop(object, &lacks);
                wanted.report(object, lacks, Cause::DroppedColumn);
            }
            State::Invalid => {
                lacks.names.clear();
                wanted.report(object, lacks, Cause::InvalidView);
            }
            State::AbsentRoutine => wanted.report(object, lacks, Cause::Missing),
            State::AbsentTable => {
                surplus.names.remove(CREATE);
                let of_columns = Privileges {
                    names: BTreeSet::new(),
                    columns: std::mem::take(&mut lacks.columns),
                };
                wanted.report(object, of_columns, Cause::Missing);
                if !lacks.is_empty() {
                    wanted.absent.insert(object.clone());
                }
                wanted.report(object, lacks, Cause::AbsentTable);
            }
        }
        wanted.keep(object, surplus);
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

    fn keep(&mut self, object: &Object, surplus: Privileges) {
        if !surplus.is_empty() {
            let on = BTreeMap::from([(object.clone(), surplus)]);
            self.grants.extend(Grants {
                on,
                ..Grants::default()
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::inspect::facts::fixture;
    use crate::mysql::parse;

    fn grants(lines: &[&str]) -> Grants {
        let mut grants = Grants::default();
        for line in lines {
            let line = format!("GRANT {line} TO `a`@`%`");
            parse::line(&line, &mut grants).unwrap();
        }
        grants
    }

    /// A schema `s` with the table `t (a)`, the invalid view `v` and the procedure `p`.
    fn facts() -> Facts {
        let name = |name: &str| ("s".to_owned(), name.to_owned());
        let mut facts = fixture::facts();
        facts.master.grants = grants(&["ALL PRIVILEGES ON `s`.*"]);
        facts.existing = ExistingObjects {
            schemas: ["s".to_owned()].into(),
            tables: [
                (name("t"), ["a".to_owned()].into()),
                (name("v"), BTreeSet::new()),
            ]
            .into(),
            routines: [("PROCEDURE".into(), "s".into(), "p".into())].into(),
        };
        facts
    }

    fn facts_of_grantor() -> Facts {
        let mut facts = facts();
        let all = "GRANT ALL PRIVILEGES ON `s`.* TO `m`@`%` WITH GRANT OPTION";
        parse::line(all, &mut facts.master.grants).unwrap();
        facts
    }

    fn causes(wanted: &Wanted) -> Vec<(String, Cause)> {
        let all = wanted.unverified.iter();
        all.map(|one| (one.object.to_string(), one.cause)).collect()
    }

    const ON_OBJECTS: [&str; 7] = [
        "SELECT (`A`, `gone`), INSERT ON `s`.`t`",
        "SELECT ON `s`.`v`",
        "SELECT ON `s`.`gone`",
        "UPDATE (`a`) ON `s`.`gone2`",
        "EXECUTE ON PROCEDURE `s`.`p`",
        "EXECUTE ON FUNCTION `s`.`gone`",
        "SELECT ON `unread`.`gone`",
    ];

    #[test]
    fn a_grant_on_a_missing_object_is_copied_or_reported() {
        let active = grants(&ON_OBJECTS);
        let wanted = wanted(&facts_of_grantor(), &active, &Grants::default());
        assert_eq!(
            causes(&wanted),
            [
                ("`s`.`gone`".to_owned(), Cause::AbsentTable),
                ("`s`.`gone2`".to_owned(), Cause::Missing),
                ("`s`.`t`".to_owned(), Cause::DroppedColumn),
                ("FUNCTION `s`.`gone`".to_owned(), Cause::Missing),
            ]
        );
        let mut without_dropped = active;
        let t = without_dropped
            .on
            .values_mut()
            .find(|p| p.columns.len() == 2);
        t.unwrap().columns.retain(|(_, column)| column == "A");
        assert_eq!(wanted.grants, without_dropped);
        assert_eq!(wanted.absent.len(), 1);
    }

    #[test]
    fn nothing_on_a_missing_object_is_revoked() {
        let has = grants(&ON_OBJECTS);
        let wanted = wanted(&facts_of_grantor(), &Grants::default(), &has);
        assert_eq!(causes(&wanted), []);
        let kept: Vec<String> = wanted
            .grants
            .on
            .iter()
            .map(|(object, privileges)| format!("{} ON {object}", privileges.list(true)))
            .collect();
        assert_eq!(
            kept,
            [
                "SELECT ON `s`.`gone`",
                "UPDATE (`a`) ON `s`.`gone2`",
                "SELECT (`gone`) ON `s`.`t`",
                "SELECT ON `s`.`v`",
                "EXECUTE ON FUNCTION `s`.`gone`",
            ]
        );
    }

    #[test]
    fn create_left_by_an_interruption_is_revoked() {
        let has = grants(&["CREATE, SELECT ON `s`.`gone`"]);
        let active = grants(&["SELECT ON `s`.`gone`"]);
        let wanted = wanted(&facts_of_grantor(), &active, &has);
        assert_eq!((&wanted.grants, causes(&wanted)), (&active, vec![]));
    }

    #[test]
    fn an_invalid_view_takes_no_grants_on_columns() {
        let active = grants(&["SELECT, UPDATE (`a`) ON `s`.`v`"]);
        let wanted = wanted(&facts_of_grantor(), &active, &Grants::default());
        assert_eq!(
            causes(&wanted),
            [("`s`.`v`".to_owned(), Cause::InvalidView)]
        );
        assert!(wanted.unverified[0].privileges.names.is_empty());
    }

    #[test]
    fn an_object_that_the_master_cannot_see_may_exist() {
        let active = grants(&ON_OBJECTS);
        let wanted = wanted(&facts(), &active, &Grants::default());
        assert_eq!((wanted.grants, wanted.unverified), (active, vec![]));
    }
}
