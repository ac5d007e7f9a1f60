use super::*;

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

fn held(all: &[(&str, bool)]) -> PrivilegeSet {
    let all = all.iter();
    all.map(|(name, option)| ((*name).to_owned(), *option))
        .collect()
}

fn rights(granted: &[(Object, &[(&str, bool)])], owned: &[Object]) -> UserPrivileges {
    UserPrivileges {
        granted: granted
            .iter()
            .map(|(o, all)| (o.clone(), held(all)))
            .collect(),
        owned: owned.iter().map(|object| (object.clone(), false)).collect(),
        ..UserPrivileges::default()
    }
}

fn texts(active: UserPrivileges, standby: UserPrivileges, user: &str) -> Vec<String> {
    let facts = DatabaseFacts {
        name: "dev".into(),
        active,
        standby,
        ..DatabaseFacts::default()
    };
    let changes = changes(&facts, &Pair::of(user, "_clone"));
    changes.iter().map(|c| c.statement.to_string()).collect()
}

#[test]
fn equal_grants_are_combined_and_revokes_come_first() {
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
fn a_grant_option_is_granted_and_revoked_alone() {
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
fn the_standby_has_all_privileges_on_the_active_users_objects() {
    let active = rights(&[], &[relation("t"), Object::Schema("s".into())]);
    let all = "INSERT, UPDATE, DELETE, REFERENCES, DROP";
    assert_eq!(
        texts(active.clone(), UserPrivileges::default(), "app_clone"),
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
    let hidden = rights(&[(relation("t"), &has), schema.clone()], &[]);
    assert_eq!(
        texts(active.clone(), hidden, "app_clone"),
        [""; 0],
        "a server that shows neither ALTER nor TRUNCATE does not cause repeated grants"
    );
    let shown = [has, vec![("TRUNCATE", true)]].concat();
    let shown = rights(&[(relation("t"), &shown), schema], &[]);
    assert_eq!(
        texts(active, shown, "app_clone"),
        ["GRANT ALTER ON TABLE \"s\".\"t\" TO \"app\" WITH GRANT OPTION"]
    );
}

#[test]
fn what_an_owner_may_do_is_not_revoked_from_the_other() {
    let (schema, database) = (Object::Schema("s".into()), Object::Database("dev".into()));
    let active = rights(&[], &[schema.clone(), database.clone()]);
    let create = ("CREATE", true);
    let on_schema = [("ALTER", false), create, ("DROP", false), ("USAGE", true)];
    let on_database = [("ALTER", false), create, ("TEMP", true), ("USAGE", false)];
    let standby = rights(&[(schema, &on_schema), (database, &on_database)], &[]);
    assert_eq!(
        texts(active, standby, "app"),
        ["REVOKE USAGE ON DATABASE \"dev\" FROM \"app_clone\""]
    );
}

#[test]
fn only_select_and_drop_are_granted_on_views() {
    let mut active = UserPrivileges::default();
    active.owned.insert(relation("v"), true);
    assert_eq!(
        texts(active, UserPrivileges::default(), "app"),
        ["GRANT SELECT, DROP ON TABLE \"s\".\"v\" TO \"app_clone\" WITH GRANT OPTION"]
    );
}

#[test]
fn a_model_is_granted_and_keeps_its_owner() {
    let model = Object::Model {
        schema: "s".into(),
        name: "m".into(),
    };
    let owner = rights(&[], &[model]);
    assert_eq!(
        texts(owner.clone(), UserPrivileges::default(), "app"),
        ["GRANT EXECUTE ON MODEL \"s\".\"m\" TO \"app_clone\" WITH GRANT OPTION"]
    );
    assert_eq!(texts(UserPrivileges::default(), owner, "app"), [""; 0]);
}

#[test]
fn objects_of_the_clone_change_owner_while_it_is_the_standby() {
    let standby = rights(&[], &[relation("t")]);
    let changed = texts(UserPrivileges::default(), standby.clone(), "app");
    assert_eq!(changed[0], "ALTER TABLE \"s\".\"t\" OWNER TO \"app\"");
    assert!(changed[1].starts_with("GRANT SELECT, "), "{changed:?}");
    assert_eq!(changed.len(), 2);
    let active = texts(standby, UserPrivileges::default(), "app_clone");
    assert!(
        active.iter().all(|text| !text.contains("OWNER")),
        "{active:?}"
    );
}

#[test]
fn an_object_whose_owner_the_server_keeps_is_left() {
    let facts = DatabaseFacts {
        standby: rights(&[], &[relation("t"), relation("u")]),
        kept: [(
            "ALTER TABLE \"s\".\"t\" OWNER TO \"app\"".to_owned(),
            "refused".to_owned(),
        )]
        .into(),
        ..DatabaseFacts::default()
    };
    let changes = changes(&facts, &Pair::of("app", "_clone"));
    assert!(
        changes
            .iter()
            .all(|change| !change.statement.to_string().contains("\"t\""))
    );
    assert!(changes[0].statement.to_string().contains("\"u\" OWNER TO"));
}

#[test]
fn objects_of_the_standby_are_not_changed() {
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
fn columns_are_granted_again_after_a_revoke_on_the_table() {
    let of_columns = [
        (column("t", "a"), &[("SELECT", false)][..]),
        (column("t", "b"), &[("SELECT", false)]),
    ];
    let active = rights(&of_columns, &[]);
    let granted = "GRANT SELECT (\"a\", \"b\") ON TABLE \"s\".\"t\" TO \"app_clone\"";
    assert_eq!(
        texts(active.clone(), UserPrivileges::default(), "app"),
        [granted]
    );
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
fn each_kind_of_object_has_its_own_grant_syntax() {
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
        texts(active, UserPrivileges::default(), "app"),
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
fn three_thousand_grants_take_sixty_statements() {
    let tables: Vec<Object> = (0..3000).map(|n| relation(&format!("t{n}"))).collect();
    let granted: Vec<(Object, &[(&str, bool)])> = tables
        .into_iter()
        .map(|table| (table, &[("SELECT", false)][..]))
        .collect();
    let texts = texts(rights(&granted, &[]), UserPrivileges::default(), "app");
    assert_eq!(texts.len(), 60);
    assert!(texts.iter().all(|text| text.len() < 20_000));
}
