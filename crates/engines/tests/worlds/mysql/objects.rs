//! Objects of a world: what grants and DEFINER clauses refer to.

use super::server::ident;
use super::statements::Statements;
use super::world::pick;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Table,
    View,
    Sequence,
    Routine,
    Package,
    Library,
    /// No grant refers to it.
    Other,
}

#[derive(Debug, Clone)]
pub struct Object {
    pub kind: Kind,
    name: String,
    /// In `GRANT … ON`.
    pub granted: String,
    /// A column is dropped after the grants.
    pub drops_column: bool,
    is_dropped: bool,
}

const COLUMNS: &str = "(id int, `od``d c` int, Note text, gone_col int)";

/// Creates one object.
pub fn create(all: &Statements<'_>, number: u64) -> Object {
    let world = all.world;
    let schemas: Vec<&str> = world.schemas.iter().map(String::as_str).collect();
    let schema = ident(pick(all.rng, &schemas));
    let mariadb = all.server.is_mariadb();
    let roll = all.rng.below(16);
    // Both servers store the names of routines in another character set than they compare.
    let letter = if roll < 7 || (mariadb && matches!(roll, 11 | 12)) {
        "Ö"
    } else {
        "O"
    };
    let short = match all.rng.below(4) {
        0 => format!("O{number}.x `TO` (y)"),
        1 => format!("{letter}{number}%_"),
        2 => format!("o{number}"),
        _ => format!("Obj{number}"),
    };
    let name = format!("{schema}.{}", ident(&short));
    let base = world.of_base();
    let definer = match all.rng.below(4) {
        0 => world.others[0].clone(),
        1 => "CURRENT_USER".to_owned(),
        _ => base[0].clone(),
    };
    let security = pick(all.rng, &["DEFINER", "INVOKER"]);
    let mut object = Object {
        kind: Kind::Other,
        granted: name.clone(),
        name,
        drops_column: false,
        is_dropped: all.chance(10),
    };
    let name = object.name.clone();
    let (kind, what, sql) = match roll {
        0..4 => (
            Kind::Table,
            "table",
            format!("CREATE TABLE {name} {COLUMNS}"),
        ),
        4 | 5 => {
            let select = "SELECT 1 AS id, 2 AS `od``d c`, 'x' AS Note, 3 AS gone_col";
            let sql = format!(
                "CREATE DEFINER = {definer} SQL SECURITY {security} VIEW {name} AS {select}"
            );
            (Kind::View, "view", sql)
        }
        6 => {
            let table = format!("{schema}.of_view_{number}");
            all.push("table", format!("CREATE TABLE {table} {COLUMNS}"));
            let sql = format!(
                "CREATE DEFINER = {definer} SQL SECURITY {security} VIEW {name} AS SELECT * FROM {table}"
            );
            (Kind::View, "view of a table", sql)
        }
        7..9 => {
            let sql = format!(
                "CREATE DEFINER = {definer} PROCEDURE {name}() SQL SECURITY {security} SELECT 1"
            );
            object.granted = format!("PROCEDURE {name}");
            (Kind::Routine, "procedure", sql)
        }
        9 | 10 => {
            let sql = format!(
                "CREATE DEFINER = {definer} FUNCTION {name}() RETURNS int DETERMINISTIC SQL SECURITY {security} RETURN 1"
            );
            object.granted = format!("FUNCTION {name}");
            (Kind::Routine, "function", sql)
        }
        11 if mariadb => (
            Kind::Sequence,
            "sequence",
            format!("CREATE SEQUENCE {name}"),
        ),
        12 if mariadb => {
            let columns = "(id int, `od``d c` int, Note text, gone_col int) WITH SYSTEM VERSIONING";
            (
                Kind::Table,
                "versioned table",
                format!("CREATE TABLE {name} {columns}"),
            )
        }
        13 if mariadb => {
            let package = format!("CREATE PACKAGE {name} AS PROCEDURE p1; END");
            all.step("package", package, true, false);
            let body =
                format!("CREATE PACKAGE BODY {name} AS PROCEDURE p1 AS BEGIN SELECT 1; END; END");
            all.step("package body", body, true, false);
            let body = pick(all.rng, &["", " BODY"]);
            object.granted = format!("PACKAGE{body} {name}");
            object.kind = Kind::Package;
            return object;
        }
        11 | 12 => {
            object.granted = format!("LIBRARY {name}");
            let text = "'export function f() { return 1 }'";
            let sql = format!("CREATE LIBRARY {name} LANGUAGE JAVASCRIPT AS {text}");
            (Kind::Library, "library", sql)
        }
        14 => {
            let table = format!("{schema}.of_trigger_{number}");
            all.push("table", format!("CREATE TABLE {table} {COLUMNS}"));
            let sql = format!(
                "CREATE DEFINER = {definer} TRIGGER {name} BEFORE INSERT ON {table} FOR EACH ROW SET NEW.id = 1"
            );
            (Kind::Other, "trigger", sql)
        }
        _ => {
            let sql = format!(
                "CREATE DEFINER = {definer} EVENT {name} ON SCHEDULE AT '2037-01-01 00:00:00' DO SELECT 1"
            );
            (Kind::Other, "event", sql)
        }
    };
    object.kind = kind;
    object.drops_column = what == "table" && all.chance(4);
    all.push(what, sql);
    object
}

/// What happens to the object after the grants.
pub fn after(all: &Statements<'_>, object: &Object) -> Option<String> {
    let name = &object.name;
    if object.drops_column {
        return Some(format!("ALTER TABLE {name} DROP COLUMN gone_col"));
    }
    if !object.is_dropped {
        return None;
    }
    match object.kind {
        Kind::Table => Some(format!("DROP TABLE {name}")),
        // The server also drops the grants of a routine, unless it is told otherwise.
        Kind::View if all.chance(2) => Some(format!("DROP VIEW {name}")),
        Kind::View => {
            // The view is invalid if it selects from a table.
            let (schema, number) = name.split_once(".`")?;
            let digits: String = number.chars().filter(char::is_ascii_digit).collect();
            Some(format!("DROP TABLE IF EXISTS {schema}.of_view_{digits}"))
        }
        Kind::Sequence => Some(format!("DROP SEQUENCE {name}")),
        _ => None,
    }
}
