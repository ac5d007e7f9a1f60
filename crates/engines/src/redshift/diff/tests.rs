use super::*;

use crate::redshift::grants::Held;

fn relation(name: &str) -> Object {
    Object::Relation {
        schema: "s".into(),
        name: name.into(),
    }
}

fn column(relation: &str, name: &str) -> Object {
    Object::Column {
        schema: "s".into(),
        relation: relation.into(),
        name: name.into(),
    }
}

fn held(all: &[(&str, bool)]) -> Held {
    let all = all.iter();
    all.map(|(name, option)| ((*name).to_owned(), *option))
        .collect()
}

fn rights(granted: &[(Object, &[(&str, bool)])], owned: &[Object]) -> Rights {
    Rights {
        granted: granted
            .iter()
            .map(|(o, all)| (o.clone(), held(all)))
            .collect(),
        owned: owned.iter().map(|object| (object.clone(), false)).collect(),
        ..Rights::default()
    }
}

fn texts(active: Rights, standby: Rights, user: &str) -> Vec<String> {
    let place = Place {
        database: "dev".into(),
        active,
        standby,
        defaults: Vec::new(),
    };
    let changes = changes(&place, &Pair::of(user, "_clone"));
    changes.iter().map(|c| c.statement.to_string()).collect()
}

#[test]
fn what_is_granted_alike_goes_together_and_what_is_surplus_goes_first() {
    let active = rights(
        &[
            (relation("a"), &[("SELECT", false), ("INSERT", false)]),
            (relation("b"), &[("INSERT", false), ("SELECT", false)]),
            (relation("c"), &[("SELECT", true)]),
            (Object::Schema("s".into()), &[("USAGE", false)]),
        ],
        &[],
    );
    let standby = rights(&[(relation("d"), &[("DELETE", false)])], &[]);
    assert_eq!(
        texts(active, standby, "app"),
        [
            "REVOKE DELETE ON TABLE \"s\".\"d\" FROM \"app_clone\"",
            "GRANT USAGE ON SCHEMA \"s\" TO \"app_clone\"",
            "GRANT INSERT, SELECT ON TABLE \"s\".\"a\", \"s\".\"b\" TO \"app_clone\"",
            "GRANT SELECT ON TABLE \"s\".\"c\" TO \"app_clone\" WITH GRANT OPTION",
        ]
    );
}

#[test]
fn a_grant_option_is_given_and_taken_by_itself() {
    let one = |option| rights(&[(relation("t"), &[("SELECT", option)])], &[]);
    assert_eq!(
        texts(one(true), one(false), "app"),
        ["GRANT SELECT ON TABLE \"s\".\"t\" TO \"app_clone\" WITH GRANT OPTION"]
    );
    assert_eq!(
        texts(one(false), one(true), "app"),
        ["REVOKE GRANT OPTION FOR SELECT ON TABLE \"s\".\"t\" FROM \"app_clone\""]
    );
    assert_eq!(texts(one(true), one(true), "app"), [""; 0]);
}

#[test]
fn what_the_active_user_owns_the_standby_is_granted_in_full() {
    let active = rights(&[], &[relation("t"), Object::Schema("s".into())]);
    let all = "INSERT, UPDATE, DELETE, REFERENCES, DROP";
    assert_eq!(
        texts(active.clone(), Rights::default(), "app_clone"),
        [
            "GRANT CREATE, USAGE ON SCHEMA \"s\" TO \"app\" WITH GRANT OPTION".to_owned(),
            format!(
                "GRANT SELECT, {all}, ALTER, TRUNCATE ON TABLE \"s\".\"t\" TO \"app\" WITH GRANT OPTION"
            ),
        ]
    );
    let has: Vec<(&str, bool)> = ["SELECT", "INSERT", "UPDATE", "DELETE", "REFERENCES", "DROP"]
        .map(|name| (name, true))
        .to_vec();
    let schema = (
        Object::Schema("s".into()),
        &[("CREATE", true), ("USAGE", true)][..],
    );
    let untold = rights(&[(relation("t"), &has), schema.clone()], &[]);
    assert_eq!(
        texts(active.clone(), untold, "app_clone"),
        [""; 0],
        "a server that tells of neither ALTER nor TRUNCATE is not asked for them for ever"
    );
    let told = [has, vec![("TRUNCATE", true)]].concat();
    let told = rights(&[(relation("t"), &told), schema], &[]);
    assert_eq!(
        texts(active, told, "app_clone"),
        ["GRANT ALTER ON TABLE \"s\".\"t\" TO \"app\" WITH GRANT OPTION"]
    );
}

#[test]
fn the_clones_objects_are_handed_over_while_it_is_the_standby_and_not_before() {
    let standby = rights(&[], &[relation("t")]);
    let handed = texts(Rights::default(), standby.clone(), "app");
    assert_eq!(handed[0], "ALTER TABLE \"s\".\"t\" OWNER TO \"app\"");
    assert!(handed[1].starts_with("GRANT SELECT, "), "{handed:?}");
    assert_eq!(handed.len(), 2);
    let active = texts(standby, Rights::default(), "app_clone");
    assert!(
        active.iter().all(|text| !text.contains("OWNER")),
        "{active:?}"
    );
}

#[test]
fn what_the_standby_owns_is_left_alone() {
    let granted = rights(
        &[
            (relation("t"), &[("SELECT", false)]),
            (column("t", "c"), &[("UPDATE", false)]),
        ],
        &[],
    );
    let owner = rights(&[(relation("t"), &[("DELETE", true)])], &[relation("t")]);
    assert_eq!(texts(granted, owner, "app_clone"), [""; 0]);
}

#[test]
fn columns_of_one_table_are_one_statement_and_are_granted_again_behind_a_revoke_on_it() {
    let of_columns = [
        (column("t", "a"), &[("SELECT", false)][..]),
        (column("t", "b"), &[("SELECT", false)]),
    ];
    let active = rights(&of_columns, &[]);
    let granted = "GRANT SELECT (\"a\", \"b\") ON TABLE \"s\".\"t\" TO \"app_clone\"";
    assert_eq!(texts(active.clone(), Rights::default(), "app"), [granted]);
    let mut standby = active.clone();
    standby
        .granted
        .insert(relation("t"), held(&[("SELECT", false)]));
    assert_eq!(
        texts(active, standby, "app"),
        [
            "REVOKE SELECT ON TABLE \"s\".\"t\" FROM \"app_clone\"",
            granted
        ]
    );
}

#[test]
fn every_class_of_objects_has_its_own_words() {
    let name = || "n".to_owned();
    let function = Object::Function {
        schema: "s".into(),
        name: name(),
        arguments: "integer, text".into(),
    };
    let procedure = Object::Procedure {
        schema: "s".into(),
        name: name(),
        arguments: String::new(),
    };
    let model = Object::Model {
        schema: "s".into(),
        name: name(),
    };
    let scoped = Object::InSchema {
        schema: "s".into(),
        scope: "TABLES".into(),
    };
    let active = rights(
        &[
            (Object::Database(name()), &[("TEMP", false)]),
            (scoped, &[("SELECT", false)]),
            (function, &[("EXECUTE", false)]),
            (procedure, &[("EXECUTE", false)]),
            (Object::Language(name()), &[("USAGE", false)]),
            (model, &[("EXECUTE", false)]),
            (Object::Models, &[("CREATE MODEL", false)]),
        ],
        &[],
    );
    assert_eq!(
        texts(active, Rights::default(), "app"),
        [
            "GRANT TEMP ON DATABASE \"n\" TO \"app_clone\"",
            "GRANT SELECT FOR TABLES IN SCHEMA \"s\" TO \"app_clone\"",
            "GRANT EXECUTE ON FUNCTION \"s\".\"n\"(integer, text) TO \"app_clone\"",
            "GRANT EXECUTE ON PROCEDURE \"s\".\"n\"() TO \"app_clone\"",
            "GRANT USAGE ON LANGUAGE \"n\" TO \"app_clone\"",
            "GRANT EXECUTE ON MODEL \"s\".\"n\" TO \"app_clone\"",
            "GRANT CREATE MODEL TO \"app_clone\"",
        ]
    );
}

#[test]
fn three_thousand_grants_are_a_bounded_number_of_statements() {
    let tables: Vec<Object> = (0..3000).map(|n| relation(&format!("t{n}"))).collect();
    let granted: Vec<(Object, &[(&str, bool)])> = tables
        .into_iter()
        .map(|table| (table, &[("SELECT", false)][..]))
        .collect();
    let texts = texts(rights(&granted, &[]), Rights::default(), "app");
    assert_eq!(texts.len(), 60);
    assert!(texts.iter().all(|text| text.len() < 20_000));
}
