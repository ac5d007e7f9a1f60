//! Privileges and owners in one database, read from the results of `database_queries`. Pure.
//!
//! # Failure modes
//! - A procedure is granted as a function, which is another object. The catalog lists procedures by
//!   schema, name and argument types.
//! - A function of a model is granted, which Redshift refuses: it belongs to its model. Functions in
//!   the models' language are left out.
//! - A privilege on a view is granted that only tables have. Views are compared by SELECT and DROP.
//! - One privilege of two grantors is listed twice, with and without its grant option. It has the
//!   grant option if one row has it.

use std::collections::BTreeSet;

use super::defaults::{DefaultPrivilege, Grantee, NewObjects, ObjectKind};
use super::facts::{DatabaseFacts, UserPrivileges};
use super::grants::{Object, ParsedPrivilege, is_words};
use super::queries::MODEL_LANGUAGE;
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
    let known = Known {
        routines: owners(&mut facts, results, pair)?,
        views: views(&results[10])?,
    };
    privileges(&mut facts, results, pair, &known)?;
    defaults(&mut facts, &results[6])?;
    Ok(facts)
}

/// Objects whose rows of privileges do not show what they are.
struct Known {
    routines: Routines,
    /// Views with a grant to the pair, by schema and name.
    views: BTreeSet<(String, String)>,
}

/// Procedures, and the functions of models, of all owners.
#[derive(Default)]
struct Routines {
    procedures: BTreeSet<Routine>,
    of_models: BTreeSet<Routine>,
}

fn views(rows: &[Row]) -> Result<BTreeSet<(String, String)>, UnexpectedColumn> {
    rows.iter()
        .map(|row| Ok((row.text(0)?, row.text(1)?)))
        .collect()
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

/// Moves scoped privileges on other databases, which the views of the secret's database list, to
/// their database: a GRANT of one runs there.
pub(in crate::redshift) fn move_scoped(databases: &mut [DatabaseFacts]) {
    let Some((own, others)) = databases.split_first_mut() else {
        return;
    };
    for other in others {
        let is_there = |object: &Object| matches!(object, Object::InDatabase { database, .. } if *database == other.name);
        for (from, to) in [
            (&mut own.active, &mut other.active),
            (&mut own.standby, &mut other.standby),
        ] {
            let moved: Vec<Object> = from
                .granted
                .keys()
                .filter(|o| is_there(o))
                .cloned()
                .collect();
            for object in moved {
                if let Some(held) = from.granted.remove(&object) {
                    to.granted.insert(object, held);
                }
            }
        }
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
            let held = user.granted.entry(object).or_default();
            *held.entry(word).or_default() |= option;
        }
        ParsedPrivilege::Ignored => {}
        ParsedPrivilege::Unknown => user
            .unknown_privileges
            .push(format!("{privilege:?} of {name:?} on {object:?}")),
    }
}

/// Adds the privilege of a row: its user is first, the privilege at `column`, its grant option next.
fn add_row(
    facts: &mut DatabaseFacts,
    row: &Row,
    pair: &Pair,
    object: Object,
    column: usize,
) -> Result<(), UnexpectedColumn> {
    let (user, privilege) = (row.text(0)?, row.text(column)?);
    add(
        facts,
        &user,
        pair,
        object,
        &privilege,
        row.boolean(column + 1)?,
    );
    Ok(())
}

type Routine = (String, String, String);

fn owners(
    facts: &mut DatabaseFacts,
    results: &[Vec<Row>],
    pair: &Pair,
) -> Result<Routines, UnexpectedColumn> {
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
    let mut routines = Routines::default();
    for row in &results[9] {
        let user = row.text(0)?;
        let arguments = row.optional_text(3)?.unwrap_or_default();
        let routine = (row.text(1)?, row.text(2)?, arguments);
        if row.text(5)?.trim() == MODEL_LANGUAGE {
            routines.of_models.insert(routine);
            continue;
        }
        if row.text(4)?.trim() == "p" {
            routines.procedures.insert(routine.clone());
        }
        if user == pair.base || user == pair.clone {
            let routine = self::routine(routine, &routines.procedures);
            side(facts, &user, pair).owned.insert(routine, false);
        }
    }
    Ok(routines)
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
    known: &Known,
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
        add_row(facts, row, pair, object, 2)?;
    }
    for row in &results[1] {
        let (schema, name) = (row.text(1)?, row.text(2)?);
        let of_views = ["SELECT", "DROP"].contains(&row.text(3)?.trim());
        if of_views || !known.views.contains(&(schema.clone(), name.clone())) {
            add_row(facts, row, pair, Object::Relation { schema, name }, 3)?;
        }
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
        let routine = (row.text(1)?, row.text(2)?, arguments);
        if known.routines.of_models.contains(&routine) {
            continue;
        }
        let routine = self::routine(routine, &known.routines.procedures);
        add_row(facts, row, pair, routine, 4)?;
    }
    for row in &results[4] {
        let (language, privilege) = (row.text(1)?, row.text(2)?);
        // GRANT CREATE MODEL is shown as USAGE on the models' language.
        let (object, privilege) = if language.trim() == MODEL_LANGUAGE {
            (Object::Models, "CREATE MODEL".to_owned())
        } else {
            (Object::Language(language), privilege)
        };
        add(
            facts,
            &row.text(0)?,
            pair,
            object,
            &privilege,
            row.boolean(3)?,
        );
    }
    for row in &results[5] {
        let object = Object::Model {
            schema: row.text(1)?,
            name: row.text(2)?,
        };
        add_row(facts, row, pair, object, 3)?;
    }
    Ok(())
}

/// Reads grants that twinkey cannot copy.
pub(in crate::redshift) fn read_uncopied(
    facts: &mut DatabaseFacts,
    rows: &[Row],
    pair: &Pair,
) -> Result<(), UnexpectedColumn> {
    for row in rows {
        let what = row.text(1)?;
        side(facts, &row.text(0)?, pair).uncopied.insert(what);
    }
    Ok(())
}

/// Reads the models that the two users own. Their columns are of fixed length.
pub(in crate::redshift) fn read_models(
    facts: &mut DatabaseFacts,
    rows: &[Row],
    pair: &Pair,
) -> Result<(), UnexpectedColumn> {
    for row in rows {
        let model = Object::Model {
            schema: row.text(1)?.trim_end().to_owned(),
            name: row.text(2)?.trim_end().to_owned(),
        };
        let user = row.text(0)?;
        side(facts, user.trim_end(), pair)
            .owned
            .insert(model, false);
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
        // Privileges of an owner on its own objects need no copy. Roles of Redshift itself cannot
        // receive grants.
        if grantee == Grantee::User(owner.clone())
            || grantee.is_reserved()
            || matches!(&*word, "RULE" | "TRIGGER")
        {
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
mod tests;
