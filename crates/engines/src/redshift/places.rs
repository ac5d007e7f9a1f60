//! One database's answers, as privileges and owners: pure.
//!
//! What can go wrong, and what prevents it:
//! - a procedure is granted as a function, which is another object: which of them are procedures is
//!   told by the catalogue, by schema, name and argument types.

use std::collections::BTreeSet;

use super::asks;
use super::defaults::{DefaultPrivilege, Grantee, Kind, NewObjects};
use super::facts::{Place, Rights};
use super::grants::{Object, Read, is_words};
use super::inspect::{explain, read as read_privilege};
use super::rows::{Row, Strange};
use crate::EngineError;
use twinkey_core::secret::pair::Pair;

/// Reads the answers to [`super::asks::of_place`].
pub(super) fn read(
    database: &str,
    answers: &[Vec<Row>],
    pair: &Pair,
) -> Result<Place, EngineError> {
    let mut place = Place {
        database: database.to_owned(),
        ..Place::default()
    };
    let done = owners(&mut place, answers, pair)
        .and_then(|procedures| privileges(&mut place, answers, pair, &procedures))
        .and_then(|()| defaults(&mut place, &answers[6]))
        .and_then(|()| beyond(&mut place, answers, pair));
    done.map_err(|strange| explain(&strange))?;
    Ok(place)
}

/// The one of the two whose name it is.
pub(super) fn side<'a>(place: &'a mut Place, name: &str, pair: &Pair) -> &'a mut Rights {
    if name == pair.active_user() {
        &mut place.active
    } else {
        &mut place.standby
    }
}

/// Takes note of a privilege.
pub(super) fn add(
    place: &mut Place,
    name: &str,
    pair: &Pair,
    object: Object,
    privilege: &str,
    option: bool,
) {
    let rights = side(place, name, pair);
    match read_privilege(&object, privilege) {
        Read::Known(word) => {
            rights
                .granted
                .entry(object)
                .or_default()
                .insert(word, option);
        }
        Read::LeftOver => {}
        Read::Unknown => rights
            .unknown
            .push(format!("{privilege:?} of {name:?} on {object:?}")),
    }
}

type Routine = (String, String, String);

fn owners(
    place: &mut Place,
    answers: &[Vec<Row>],
    pair: &Pair,
) -> Result<BTreeSet<Routine>, Strange> {
    for row in &answers[7] {
        let relation = Object::Relation {
            schema: row.text(1)?,
            name: row.text(2)?,
        };
        let view = row.text(3)?.trim() != "r";
        side(place, &row.text(0)?, pair)
            .owned
            .insert(relation, view);
    }
    for row in &answers[8] {
        let schema = Object::Schema(row.text(1)?);
        side(place, &row.text(0)?, pair).owned.insert(schema, false);
    }
    let mut procedures = BTreeSet::new();
    for row in &answers[9] {
        let user = row.text(0)?;
        let arguments = row.maybe(3)?.unwrap_or_default();
        let routine = (row.text(1)?, row.text(2)?, arguments);
        if row.text(4)?.trim() == "p" {
            procedures.insert(routine.clone());
        }
        if user == pair.base || user == pair.clone {
            let routine = self::routine(routine, &procedures);
            side(place, &user, pair).owned.insert(routine, false);
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
    place: &mut Place,
    answers: &[Vec<Row>],
    pair: &Pair,
    procedures: &BTreeSet<Routine>,
) -> Result<(), Strange> {
    for row in &answers[0] {
        let scope = row.maybe(4)?.unwrap_or_default();
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
            place,
            &row.text(0)?,
            pair,
            object,
            &row.text(2)?,
            row.truth(3)?,
        );
    }
    for row in &answers[1] {
        let relation = Object::Relation {
            schema: row.text(1)?,
            name: row.text(2)?,
        };
        add(
            place,
            &row.text(0)?,
            pair,
            relation,
            &row.text(3)?,
            row.truth(4)?,
        );
    }
    for row in &answers[2] {
        let column = Object::Column {
            schema: row.text(1)?,
            relation: row.text(2)?,
            name: row.text(3)?,
        };
        add(place, &row.text(0)?, pair, column, &row.text(4)?, false);
    }
    for row in &answers[3] {
        let arguments = row.maybe(3)?.unwrap_or_default();
        let routine = self::routine((row.text(1)?, row.text(2)?, arguments), procedures);
        add(
            place,
            &row.text(0)?,
            pair,
            routine,
            &row.text(4)?,
            row.truth(5)?,
        );
    }
    for row in &answers[4] {
        let language = Object::Language(row.text(1)?);
        add(
            place,
            &row.text(0)?,
            pair,
            language,
            &row.text(2)?,
            row.truth(3)?,
        );
    }
    for row in &answers[5] {
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
            place,
            &row.text(0)?,
            pair,
            object,
            &privilege,
            row.truth(4)?,
        );
    }
    Ok(())
}

fn beyond(place: &mut Place, answers: &[Vec<Row>], pair: &Pair) -> Result<(), Strange> {
    for row in answers.iter().skip(asks::OF_PLACE).flatten() {
        let what = row.text(1)?;
        side(place, &row.text(0)?, pair).beyond.insert(what);
    }
    Ok(())
}

fn defaults(place: &mut Place, rows: &[Row]) -> Result<(), Strange> {
    for row in rows {
        let owner = row.text(0)?;
        let schema = row.maybe(1)?.filter(|name| !name.is_empty());
        let (object_type, privilege) = (row.text(2)?, row.text(3)?);
        let name = row.maybe(4)?.unwrap_or_default();
        let kind = Kind::read(object_type.trim());
        let grantee = Grantee::read(row.text(5)?.trim(), &name);
        let word = privilege.trim().to_ascii_uppercase();
        let (Some(kind), Some(grantee)) = (kind, grantee) else {
            let what = format!("the default privilege {privilege:?} on new {object_type:?}");
            place.active.unknown.push(what);
            continue;
        };
        // What an owner has on its own objects by default.
        if grantee == Grantee::User(owner.clone()) || matches!(&*word, "RULE" | "TRIGGER") {
            continue;
        }
        if !kind.knows(&word) {
            let what = format!("the default privilege {privilege:?} on new {object_type:?}");
            place.active.unknown.push(what);
            continue;
        }
        place.defaults.push(DefaultPrivilege {
            on: NewObjects {
                owner,
                schema,
                kind,
            },
            grantee,
            privilege: word,
            option: row.truth(6)?,
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

    fn answers() -> Vec<Vec<Row>> {
        let mut answers = vec![Vec::new(); asks::OF_PLACE];
        answers[0] = vec![
            row(&["app", "s", "USAGE", "f", "SCHEMA"]),
            row(&["app", "s", "SELECT", "f", "TABLES"]),
        ];
        answers[1] = vec![
            row(&["app", "s", "t", "SELECT", "t"]),
            row(&["app_clone", "s", "t", "TRIGGER", "f"]),
            row(&["app_clone", "s", "t", "FLY", "f"]),
        ];
        answers[3] = vec![
            row(&["app", "s", "act", "", "EXECUTE", "f"]),
            row(&["app", "s", "act", "integer", "EXECUTE", "f"]),
        ];
        answers[9] = vec![row(&["admin", "s", "act", "", "p"])];
        answers
    }

    #[test]
    fn a_procedure_is_told_from_a_function_of_its_name_and_a_scoped_privilege_from_a_schemas() {
        let place = read("dev", &answers(), &Pair::of("app", "_clone")).unwrap();
        let objects: Vec<&Object> = place.active.granted.keys().collect();
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
    fn what_means_nothing_is_left_out_and_what_is_not_known_is_told() {
        let place = read("dev", &answers(), &Pair::of("app", "_clone")).unwrap();
        assert!(place.standby.granted.is_empty());
        assert_eq!(place.standby.unknown.len(), 1);
        assert!(place.standby.unknown[0].contains("\"FLY\""));
    }

    #[test]
    fn an_answer_of_another_shape_is_an_error() {
        let mut answers = answers();
        answers[1] = vec![row(&["app", "s"])];
        let error = read("dev", &answers, &Pair::of("app", "_clone")).unwrap_err();
        assert!(error.to_string().contains("column"), "{error}");
    }
}
