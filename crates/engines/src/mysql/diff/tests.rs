use super::super::dialect::Family;
use super::super::parse;
use super::*;

fn dialect(family: Family) -> Dialect {
    let version = match family {
        Family::Mysql => "9.7.4",
        Family::Mariadb => "10.11.19-MariaDB",
    };
    Dialect::of(version).unwrap()
}

fn read(lines: &[&str]) -> Grants {
    let mut grants = Grants::default();
    for line in lines {
        parse::line(&format!("{line} TO `a`@`%`"), &mut grants).unwrap();
    }
    grants
}

fn texts(family: Family, has: &[&str], wanted: &[&str]) -> Vec<String> {
    let to = Account::new("b", "%");
    steps(
        &dialect(family),
        &to,
        &read(has),
        &read(wanted),
        &BTreeSet::new(),
        &BTreeSet::new(),
    )
    .into_iter()
    .map(|step| step.text)
    .collect()
}

#[test]
fn equal_sets_need_no_statement() {
    let grants = [
        "GRANT SELECT, INSERT (`x`) ON `s`.`t`",
        "GRANT `r`",
        "GRANT PROXY ON `p`@`%`",
    ];
    assert!(texts(Family::Mariadb, &grants, &grants).is_empty());
}

#[test]
fn one_object_takes_one_grant_and_one_revoke() {
    assert_eq!(
        texts(
            Family::Mariadb,
            &["GRANT DELETE, DROP, SELECT, INSERT (`x`, `y`) ON `s`.`t`"],
            &["GRANT SELECT, CREATE, INSERT (`y`, `z`) ON `s`.`t`"],
        ),
        [
            "REVOKE DELETE, DROP, INSERT (`x`) ON `s`.`t` FROM `b`@`%`",
            "GRANT CREATE, INSERT (`z`) ON `s`.`t` TO `b`@`%`",
        ]
    );
}

#[test]
fn a_grant_on_an_absent_table_lends_create_for_one_statement() {
    let object = |name: &str| Object::Table {
        schema: "s".into(),
        table: name.into(),
    };
    let absent = BTreeSet::from([object("t"), object("u"), object("w")]);
    let wanted = read(&[
        "GRANT SELECT ON `s`.`t`",
        "GRANT CREATE, SELECT ON `s`.`u`",
        "GRANT ALL PRIVILEGES ON `s`.`w`",
    ]);
    let mut has = read(&["GRANT CREATE ON `s`.`u`"]);
    let to = Account::new("b", "%");
    let texts = |has: &Grants| -> Vec<String> {
        let steps = steps(
            &dialect(Family::Mariadb),
            &to,
            has,
            &wanted,
            &absent,
            &BTreeSet::new(),
        );
        steps.into_iter().map(|step| step.text).collect()
    };
    assert_eq!(
        texts(&has),
        [
            "GRANT CREATE, SELECT ON `s`.`t` TO `b`@`%`",
            "REVOKE CREATE ON `s`.`t` FROM `b`@`%`",
            "GRANT CREATE, SELECT ON `s`.`u` TO `b`@`%`",
            "GRANT ALL PRIVILEGES ON `s`.`w` TO `b`@`%`",
        ]
    );
    has = wanted.clone();
    let create = |privileges: &mut Privileges| privileges.names.insert(CREATE.to_owned());
    has.on.get_mut(&object("t")).map(create).unwrap();
    assert_eq!(texts(&has), ["REVOKE CREATE ON `s`.`t` FROM `b`@`%`"]);
}

#[test]
fn a_grant_on_a_package_sets_the_mode_that_it_needs() {
    let grants = ["GRANT EXECUTE ON PACKAGE BODY `s`.`it's`"];
    let quoted =
        |text: &str| format!("SET STATEMENT sql_mode = 'ORACLE' FOR EXECUTE IMMEDIATE '{text}'");
    assert_eq!(
        texts(Family::Mariadb, &[], &grants),
        [quoted(
            "GRANT EXECUTE ON PACKAGE BODY `s`.`it''s` TO `b`@`%`"
        )]
    );
    assert_eq!(
        texts(Family::Mariadb, &grants, &[]),
        [quoted(
            "REVOKE EXECUTE ON PACKAGE BODY `s`.`it''s` FROM `b`@`%`"
        )]
    );
}

#[test]
fn a_grant_option_is_given_and_taken_alone() {
    let with = ["GRANT SELECT ON `s`.*", "GRANT USAGE ON `s`.*"];
    let mut grants = read(&with);
    grants
        .on
        .get_mut(&Object::Schema("s".into()))
        .unwrap()
        .names
        .insert(GRANT_OPTION.into());
    let without = read(&["GRANT SELECT ON `s`.*"]);
    let to = Account::new("b", "%");
    let dialect = dialect(Family::Mysql);
    assert_eq!(
        steps(
            &dialect,
            &to,
            &without,
            &grants,
            &BTreeSet::new(),
            &BTreeSet::new()
        )[0]
        .text,
        "GRANT USAGE ON `s`.* TO `b`@`%` WITH GRANT OPTION"
    );
    assert_eq!(
        steps(
            &dialect,
            &to,
            &grants,
            &without,
            &BTreeSet::new(),
            &BTreeSet::new()
        )[0]
        .text,
        "REVOKE GRANT OPTION ON `s`.* FROM `b`@`%`"
    );
}

#[test]
fn all_privileges_are_revoked_as_a_list() {
    assert_eq!(
        texts(
            Family::Mysql,
            &["GRANT SELECT ON `s`.`t`"],
            &["GRANT ALL PRIVILEGES ON `s`.`t`"]
        ),
        ["GRANT ALL PRIVILEGES ON `s`.`t` TO `b`@`%`"]
    );
    assert_eq!(
        texts(
            Family::Mysql,
            &["GRANT ALL PRIVILEGES ON `s`.`t`"],
            &["GRANT SELECT, INSERT ON `s`.`t`"]
        ),
        [
            "REVOKE ALTER, CREATE, CREATE VIEW, DELETE, DROP, INDEX, REFERENCES, SHOW VIEW, TRIGGER, UPDATE ON `s`.`t` FROM `b`@`%`"
        ]
    );
}

#[test]
fn a_tables_revoke_keeps_the_columns_privileges() {
    assert_eq!(
        texts(
            Family::Mariadb,
            &["GRANT SELECT, SELECT (`x`) ON `s`.`t`"],
            &["GRANT SELECT (`x`) ON `s`.`t`"]
        ),
        [
            "REVOKE SELECT ON `s`.`t` FROM `b`@`%`",
            "GRANT SELECT (`x`) ON `s`.`t` TO `b`@`%`",
        ]
    );
}

#[test]
fn the_grant_option_of_a_proxy_is_revoked() {
    let mut wanted = Grants::default();
    wanted.proxies.insert(Account::new("p", "%"), true);
    let steps = steps(
        &dialect(Family::Mariadb),
        &Account::new("b", "%"),
        &Grants::default(),
        &wanted,
        &BTreeSet::new(),
        &BTreeSet::new(),
    );
    let texts: Vec<&str> = steps.iter().map(|step| step.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "GRANT PROXY ON `p`@`%` TO `b`@`%` WITH GRANT OPTION",
            "REVOKE GRANT OPTION ON *.* FROM `b`@`%`",
        ]
    );
}

#[test]
fn a_proxy_with_another_option_is_revoked_first() {
    let with = |grantable| Grants {
        proxies: [(Account::new("p", "%"), grantable)].into(),
        ..Grants::default()
    };
    for family in [Family::Mariadb, Family::Mysql] {
        for (grantable, option) in [(false, ""), (true, " WITH GRANT OPTION")] {
            let to = Account::new("b", "%");
            let (has, wanted) = (with(!grantable), with(grantable));
            let none = BTreeSet::new();
            let steps = steps(
                &dialect(family),
                &to,
                &has,
                &wanted,
                &none,
                &BTreeSet::new(),
            );
            let first: Vec<&str> = steps
                .iter()
                .take(2)
                .map(|step| step.text.as_str())
                .collect();
            let grant = format!("GRANT PROXY ON `p`@`%` TO `b`@`%`{option}");
            assert_eq!(first, ["REVOKE PROXY ON `p`@`%` FROM `b`@`%`", &grant]);
        }
    }
}

#[test]
fn each_dialect_revokes_an_admin_option_differently() {
    let mut has = read(&["GRANT `r`@`%`"]);
    let wanted = has.clone();
    has.roles.insert(Account::new("r", "%"), true);
    let to = Account::new("b", "%");
    let texts = |family| {
        steps(
            &dialect(family),
            &to,
            &has,
            &wanted,
            &BTreeSet::new(),
            &BTreeSet::new(),
        )
        .into_iter()
        .map(|step| step.text)
        .collect::<Vec<_>>()
    };
    assert_eq!(
        texts(Family::Mariadb),
        ["REVOKE ADMIN OPTION FOR `r`@`%` FROM `b`@`%`"]
    );
    assert_eq!(
        texts(Family::Mysql),
        ["REVOKE `r`@`%` FROM `b`@`%`", "GRANT `r`@`%` TO `b`@`%`"]
    );
}

#[test]
fn every_step_names_its_requirements() {
    let to = Account::new("b", "%");
    let wanted = read(&[
        "GRANT SELECT, UPDATE (`x`) ON `s`.`t`",
        "GRANT BACKUP_ADMIN ON *.*",
        "GRANT `r`",
        "GRANT PROXY ON `p`@`%`",
    ]);
    let requires: BTreeSet<Requirement> = steps(
        &dialect(Family::Mysql),
        &to,
        &Grants::default(),
        &wanted,
        &BTreeSet::new(),
        &BTreeSet::new(),
    )
    .into_iter()
    .flat_map(|step| step.requires)
    .collect();
    let table = Object::Table {
        schema: "s".into(),
        table: "t".into(),
    };
    let to_grant = |name: &str| Requirement::ToGrant {
        object: table.clone(),
        name: name.into(),
    };
    let role = Account {
        user: "r".into(),
        host: None,
    };
    assert_eq!(
        requires,
        BTreeSet::from([
            to_grant("SELECT"),
            to_grant("UPDATE"),
            Requirement::Dynamic("BACKUP_ADMIN".into()),
            Requirement::Role(role),
            Requirement::Proxy(Account::new("p", "%")),
        ])
    );
}

#[test]
fn restrictions_of_the_executor_are_passed_on() {
    let to = Account::new("b", "%");
    let on_mysql = |name: &str| ("mysql".to_owned(), name.to_owned());
    let mut wanted = read(&["GRANT SELECT, INSERT ON *.*"]);
    wanted.restrictions.insert(on_mysql("INSERT"));
    let of = |passed_on: &[&str]| -> Vec<String> {
        let passed_on = passed_on.iter().map(|name| on_mysql(name)).collect();
        let steps = steps(
            &dialect(Family::Mysql),
            &to,
            &Grants::default(),
            &wanted,
            &BTreeSet::new(),
            &passed_on,
        );
        steps.into_iter().map(|step| step.text).collect()
    };
    let grant = "GRANT INSERT, SELECT ON *.* TO `b`@`%`";
    let revoke = "REVOKE INSERT ON `mysql`.* FROM `b`@`%`";
    assert_eq!(of(&[]), [grant, revoke]);
    assert_eq!(of(&["INSERT", "UPDATE"]), [grant], "the server adds it");
    // The active user is not restricted there, and so may the standby not be.
    let lift = "GRANT SELECT ON `mysql`.* TO `b`@`%`";
    assert_eq!(of(&["INSERT", "SELECT"]), [grant, lift]);
}
