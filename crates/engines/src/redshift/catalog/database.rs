//! Privileges and owners in one database, read from the results of `database_queries`. Pure.
//!
//! # Failure modes
//! - A procedure is granted as a function, which is another object. The catalog lists procedures by
//!   schema, name and argument types.

use std::collections::BTreeSet;

use super::defaults::{DefaultPrivilege, Grantee, NewObjects, ObjectKind};
use super::facts::{DatabaseFacts, UserPrivileges};
use super::grants::{Object, ParsedPrivilege, is_words};
use super::queries;
use crate::redshift::api::{Row, UnexpectedColumn};
use twinkey_core::secret::pair::Pair;

/// Reads the results of [`super::queries::database_queries`].
pub(in crate::redshift) fn read(
    name: &str,
    results: &[Vec<Row>],
    pair: &Pair,
) -> Result<DatabaseFacts, UnexpectedColumn> {
    let mut facts = DatabaseFacts {
        name: name.to_owned(),
        ..DatabaseFacts::default()
    };
    let procedures = owners(&mut facts, results, pair)?;
    privileges(&mut facts, results, pair, &procedures)?;
    defaults(&mut facts, &results[6])?;
    uncopied(&mut facts, results, pair)?;
    Ok(facts)
}

/// The privileges of the user with this name.
pub(in crate::redshift) fn side<'a>(
    facts: &'a mut DatabaseFacts,
    name: &str,
    pair: &Pair,
) -> &'a mut UserPrivileges {
    if name == pair.active_user() {
        &mut facts.active
    } else {
        &mut facts.standby
    }
}

/// Adds a privilege to its user.
pub(in crate::redshift) fn add(
    facts: &mut DatabaseFacts,
    name: &str,
    pair: &Pair,
    object: Object,
    privilege: &str,
    option: bool,
) {
    let user = side(facts, name, pair);
    match object.parse_privilege(privilege) {
        ParsedPrivilege::Known(word) => {
            user.granted.entry(object).or_default().insert(word, option);
        }
        ParsedPrivilege::Ignored => {}
        ParsedPrivilege::Unknown => user
            .unknown_privileges
            .push(format!("{privilege:?} of {name:?} on {object:?}")),
    }
}

type Routine = (String, String, String);

fn owners(
    facts: &mut DatabaseFacts,
    results: &[Vec<Row>],
    pair: &Pair,
) -> Result<BTreeSet<Routine>, UnexpectedColumn> {
    for row in &results[7] {
        let relation = Object::Relation {
            schema: row.text(1)?,
            name: row.text(2)?,
        };
        let view = row.text(3)?.trim() != "r";
        side(facts, &row.text(0)?, pair)
            .owned
            .insert(relation, view);
    }
    for row in &results[8] {
        let schema = Object::Schema(row.text(1)?);
        side(facts, &row.text(0)?, pair).owned.insert(schema, false);
    }
    let mut procedures = BTreeSet::new();
    for row in &results[9] {
        let user = row.text(0)?;
        let arguments = row.optional_text(3)?.unwrap_or_default();
        let routine = (row.text(1)?, row.text(2)?, arguments);
        if row.text(4)?.trim() == "p" {
            procedures.insert(routine.clone());
        }
        if user == pair.base || user == pair.clone {
            let routine = self::routine(routine, &procedures);
            side(facts, &user, pair).owned.insert(routine, false);
        }
    }
    Ok(procedures)
}

fn routine(routine: Routine, procedures: &BTreeSet<Routine>) -> Object {
    let is_procedure = procedures.contains(&routine);
    let (schema, name, arguments) = routine;
    if is_procedure {
        Object::Procedure {
            schema,
            name,
            arguments,
        }
    } else {
        Object::Function {
            schema,
            name,
            arguments,
        }
    }
}

fn privileges(
    facts: &mut DatabaseFacts,
    results: &[Vec<Row>],
    pair: &Pair,
    procedures: &BTreeSet<Routine>,
) -> Result<(), UnexpectedColumn> {
    for row in &results[0] {
        let scope = row.optional_text(4)?.unwrap_or_default();
        let schema = row.text(1)?;
        let object = match scope.trim() {
            "" | "SCHEMA" => Object::Schema(schema),
            scope if is_words(scope) => Object::InSchema {
                schema,
                scope: scope.to_owned(),
            },
            _ => continue,
        };
        add(
            facts,
            &row.text(0)?,
            pair,
            object,
            &row.text(2)?,
            row.boolean(3)?,
        );
    }
    for row in &results[1] {
        let relation = Object::Relation {
            schema: row.text(1)?,
            name: row.text(2)?,
        };
        add(
            facts,
            &row.text(0)?,
            pair,
            relation,
            &row.text(3)?,
            row.boolean(4)?,
        );
    }
    for row in &results[2] {
        let column = Object::Column {
            schema: row.text(1)?,
            relation: row.text(2)?,
            name: row.text(3)?,
        };
        add(facts, &row.text(0)?, pair, column, &row.text(4)?, false);
    }
    for row in &results[3] {
        let arguments = row.optional_text(3)?.unwrap_or_default();
        let routine = self::routine((row.text(1)?, row.text(2)?, arguments), procedures);
        add(
            facts,
            &row.text(0)?,
            pair,
            routine,
            &row.text(4)?,
            row.boolean(5)?,
        );
    }
    for row in &results[4] {
        let language = Object::Language(row.text(1)?);
        add(
            facts,
            &row.text(0)?,
            pair,
            language,
            &row.text(2)?,
            row.boolean(3)?,
        );
    }
    for row in &results[5] {
        let privilege = row.text(3)?;
        let object = if privilege == "CREATE MODEL" {
            Object::Models
        } else {
            Object::Model {
                schema: row.text(1)?,
                name: row.text(2)?,
            }
        };
        add(
            facts,
            &row.text(0)?,
            pair,
            object,
            &privilege,
            row.boolean(4)?,
        );
    }
    Ok(())
}

fn uncopied(
    facts: &mut DatabaseFacts,
    results: &[Vec<Row>],
    pair: &Pair,
) -> Result<(), UnexpectedColumn> {
    for row in results.iter().skip(queries::DATABASE_QUERIES).flatten() {
        let what = row.text(1)?;
        side(facts, &row.text(0)?, pair).uncopied.insert(what);
    }
    Ok(())
}

fn defaults(facts: &mut DatabaseFacts, rows: &[Row]) -> Result<(), UnexpectedColumn> {
    for row in rows {
        let owner = row.text(0)?;
        let schema = row.optional_text(1)?.filter(|name| !name.is_empty());
        let (object_type, privilege) = (row.text(2)?, row.text(3)?);
        let name = row.optional_text(4)?.unwrap_or_default();
        let kind = ObjectKind::read(object_type.trim());
        let grantee = Grantee::read(row.text(5)?.trim(), &name);
        let word = privilege.trim().to_ascii_uppercase();
        let (Some(kind), Some(grantee)) = (kind, grantee) else {
            let what = format!("the default privilege {privilege:?} on new {object_type:?}");
            facts.active.unknown_privileges.push(what);
            continue;
        };
        // Privileges of an owner on its own objects need no copy.
        if grantee == Grantee::User(owner.clone()) || matches!(&*word, "RULE" | "TRIGGER") {
            continue;
        }
        if !kind.allows(&word) {
            let what = format!("the default privilege {privilege:?} on new {object_type:?}");
            facts.active.unknown_privileges.push(what);
            continue;
        }
        facts.defaults.push(DefaultPrivilege {
            on: NewObjects {
                owner,
                schema,
                kind,
            },
            grantee,
            privilege: word,
            option: row.boolean(6)?,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use aws_sdk_redshiftdata::types::Field;

    use super::*;

    fn row(cells: &[&str]) -> Row {
        let cells = cells.iter();
        let cells: Vec<Field> = cells
            .map(|cell| match *cell {
                "" => Field::IsNull(true),
                text => Field::StringValue(text.to_owned()),
            })
            .collect();
        Row::new(&cells)
    }

    fn results() -> Vec<Vec<Row>> {
        let mut results = vec![Vec::new(); queries::DATABASE_QUERIES];
        results[0] = vec![
            row(&["app", "s", "USAGE", "f", "SCHEMA"]),
            row(&["app", "s", "SELECT", "f", "TABLES"]),
        ];
        results[1] = vec![
            row(&["app", "s", "t", "SELECT", "t"]),
            row(&["app_clone", "s", "t", "TRIGGER", "f"]),
            row(&["app_clone", "s", "t", "FLY", "f"]),
        ];
        results[3] = vec![
            row(&["app", "s", "act", "", "EXECUTE", "f"]),
            row(&["app", "s", "act", "integer", "EXECUTE", "f"]),
        ];
        results[9] = vec![row(&["admin", "s", "act", "", "p"])];
        results
    }

    #[test]
    fn objects_of_equal_names_are_distinguished() {
        let facts = read("dev", &results(), &Pair::of("app", "_clone")).unwrap();
        let objects: Vec<&Object> = facts.active.granted.keys().collect();
        assert!(matches!(
            objects[..],
            [
                Object::Schema(_),
                Object::InSchema { .. },
                Object::Relation { .. },
                Object::Function { .. },
                Object::Procedure { .. }
            ]
        ));
    }

    #[test]
    fn ignored_privileges_are_dropped_and_unknown_ones_kept() {
        let facts = read("dev", &results(), &Pair::of("app", "_clone")).unwrap();
        assert!(facts.standby.granted.is_empty());
        assert_eq!(facts.standby.unknown_privileges.len(), 1);
        assert!(facts.standby.unknown_privileges[0].contains("\"FLY\""));
    }

    #[test]
    fn a_result_of_another_shape_is_an_error() {
        let mut results = results();
        results[1] = vec![row(&["app", "s"])];
        let error = read("dev", &results, &Pair::of("app", "_clone")).unwrap_err();
        assert_eq!((error.column, error.expected), (2, "text"));
    }
}
