use aws_sdk_redshiftdata::types::Field;

use super::*;
use crate::redshift::catalog::queries::database_queries;

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
    let pair = Pair::of("app", "_clone");
    let mut results = vec![Vec::new(); database_queries(&pair).len()];
    results[0] = vec![
        row(&["app", "s", "USAGE", "f", "SCHEMA"]),
        row(&["app", "s", "SELECT", "f", "TABLES"]),
    ];
    results[1] = vec![
        row(&["app", "s", "t", "SELECT", "t"]),
        row(&["app", "s", "t", "SELECT", "f"]),
        row(&["app", "s", "v", "INSERT", "f"]),
        row(&["app", "s", "v", "SELECT", "f"]),
        row(&["app_clone", "s", "t", "TRIGGER", "f"]),
        row(&["app_clone", "s", "t", "FLY", "f"]),
    ];
    results[3] = vec![
        row(&["app", "s", "act", "", "EXECUTE", "f"]),
        row(&["app", "s", "act", "integer", "EXECUTE", "f"]),
        row(&["app", "s", "predict", "integer", "EXECUTE", "f"]),
    ];
    results[4] = vec![row(&["app", "mlfunc", "USAGE", "f"])];
    results[9] = vec![
        row(&["admin", "s", "act", "", "p", "plpgsql"]),
        row(&["app", "s", "predict", "integer", "f", "mlfunc"]),
    ];
    results[10] = vec![row(&["s", "v"])];
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
            Object::Relation { .. },
            Object::Function { .. },
            Object::Procedure { .. },
            Object::Models,
        ]
    ));
    assert!(facts.active.owned.is_empty(), "a model's function");
}

#[test]
fn a_grant_option_of_one_grantor_counts() {
    let facts = read("dev", &results(), &Pair::of("app", "_clone")).unwrap();
    let on = |name: &str| Object::Relation {
        schema: "s".into(),
        name: name.into(),
    };
    let select = |option| [("SELECT".to_owned(), option)].into();
    assert_eq!(facts.active.granted[&on("t")], select(true));
    assert_eq!(facts.active.granted[&on("v")], select(false), "a view");
}

#[test]
fn a_scoped_privilege_is_granted_in_its_database() {
    let scoped = |name: &str| Object::InDatabase {
        database: name.into(),
        scope: "TABLES".into(),
    };
    let named = |name: &str| DatabaseFacts {
        name: name.into(),
        ..DatabaseFacts::default()
    };
    let mut databases = [named("dev"), named("other")];
    for name in ["dev", "other"] {
        let held = [("SELECT".to_owned(), false)].into();
        databases[0].active.granted.insert(scoped(name), held);
    }
    move_scoped(&mut databases);
    let [own, other] = databases;
    assert!(own.active.granted.keys().eq([&scoped("dev")]));
    assert!(other.active.granted.keys().eq([&scoped("other")]));
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
