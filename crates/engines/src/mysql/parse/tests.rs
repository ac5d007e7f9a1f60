use super::*;

fn read(lines: &[&str]) -> Grants {
    let mut grants = Grants::default();
    for text in lines {
        line(text, &mut grants).unwrap_or_else(|_| panic!("{text}"));
    }
    grants
}

fn names(grants: &Grants, object: &Object) -> Vec<String> {
    grants.names(object).cloned().collect()
}

fn schema(name: &str) -> Object {
    Object::Schema(name.to_owned())
}

fn table(schema: &str, table: &str) -> Object {
    Object::Table {
        schema: schema.to_owned(),
        table: table.to_owned(),
    }
}

fn routine(kind: &str, name: &str) -> Object {
    Object::Routine {
        kind: kind.to_owned(),
        schema: "shop".to_owned(),
        name: name.to_owned(),
    }
}

#[test]
fn usage_alone_is_no_grant() {
    assert_eq!(
        read(&["GRANT USAGE ON *.* TO `app`@`%`"]),
        Grants::default()
    );
}

#[test]
fn every_level_is_read_with_its_grant_option() {
    let grants = read(&[
        "GRANT SELECT, CREATE TEMPORARY TABLES ON *.* TO `app`@`%`",
        "GRANT USAGE ON `shop`.* TO `app`@`%` WITH GRANT OPTION",
        "GRANT ALL PRIVILEGES ON `shop`.`t.u` TO `app`@`%`",
        "GRANT EXECUTE ON PROCEDURE `shop`.`p` TO `app`@`%`",
        "GRANT EXECUTE, ALTER ROUTINE ON FUNCTION `shop`.`f` TO `app`@`%` WITH GRANT OPTION",
        "GRANT EXECUTE ON PACKAGE BODY `shop`.`b` TO `app`@`%`",
    ]);
    for (object, wanted) in [
        (Object::Global, &["CREATE TEMPORARY TABLES", "SELECT"][..]),
        (schema("shop"), &["GRANT OPTION"]),
        (table("shop", "t.u"), &["ALL PRIVILEGES"]),
        (routine("PROCEDURE", "p"), &["EXECUTE"]),
        (
            routine("FUNCTION", "f"),
            &["ALTER ROUTINE", "EXECUTE", "GRANT OPTION"],
        ),
        (routine("PACKAGE BODY", "b"), &["EXECUTE"]),
    ] {
        assert_eq!(names(&grants, &object), wanted, "{object}");
    }
    assert_eq!(grants.on.len(), 6);
}

#[test]
fn names_hold_anything_that_a_statement_holds() {
    let grants = read(&[
        "GRANT SELECT ON `x``y TO z ON q`.* TO `a``b`@`%`",
        r"GRANT SELECT ON `a\_b%c`.* TO `app`@`%`",
        "GRANT SELECT (`a`, `c``d), X`), INSERT, UPDATE (`a`) ON `shop`.`t (WITH GRANT OPTION)` TO `app`@`%`",
    ]);
    assert_eq!(names(&grants, &schema("x`y TO z ON q")), ["SELECT"]);
    assert_eq!(names(&grants, &schema(r"a\_b%c")), ["SELECT"]);
    let privileges = &grants.on[&table("shop", "t (WITH GRANT OPTION)")];
    assert_eq!(
        privileges.list(true),
        "INSERT, SELECT (`a`, `c``d), X`), UPDATE (`a`)"
    );
}

#[test]
fn mariadbs_text_after_the_grantee_is_no_grant() {
    let line = r"GRANT PROCESS ON *.* TO `app`@`%` IDENTIFIED BY PASSWORD '*0C908AD93F67C171AD1942A253AEE176ABB70AC2' REQUIRE ISSUER '/CN=it''s WITH GRANT OPTION \\' SUBJECT '/CN=x' WITH MAX_QUERIES_PER_HOUR 9 MAX_USER_CONNECTIONS 7";
    assert_eq!(names(&read(&[line]), &Object::Global), ["PROCESS"]);
    let with = line.replace(" WITH MAX_QUERIES", " WITH GRANT OPTION MAX_QUERIES");
    assert_eq!(
        names(&read(&[&with]), &Object::Global),
        ["GRANT OPTION", "PROCESS"]
    );
    assert_eq!(
        read(&["SET DEFAULT ROLE `r1` FOR `app`@`%`"]),
        Grants::default()
    );
}

#[test]
fn lines_of_roles_and_public_count_for_a_session_only() {
    let lines = [
        "GRANT USAGE ON *.* TO `app`@`%`",
        "GRANT PROCESS ON *.* TO PUBLIC WITH GRANT OPTION",
        "GRANT SELECT, INSERT ON `shop`.* TO PUBLIC",
        "GRANT UPDATE ON `shop`.* TO `r`",
        "GRANT SELECT (`a`) ON `shop`.`t` TO PUBLIC",
        "GRANT EXECUTE ON PACKAGE BODY `shop`.`b` TO PUBLIC",
        "GRANT `r` TO PUBLIC",
        "GRANT `r2` TO `r` WITH ADMIN OPTION",
    ];
    assert_eq!(read(&lines), Grants::default());
    let session = session(lines).unwrap();
    assert_eq!(
        names(&session, &Object::Global),
        ["GRANT OPTION", "PROCESS"]
    );
    assert_eq!(
        names(&session, &schema("shop")),
        ["INSERT", "SELECT", "UPDATE"]
    );
    assert_eq!((session.on.len(), session.roles.len()), (4, 0));
}

#[test]
fn roles_of_public_are_not_granted_to_the_account() {
    let session = session([
        "GRANT `far` TO `near` WITH ADMIN OPTION",
        "GRANT `near` TO `own`",
        "GRANT `own` TO `m`@`%`",
        "GRANT `open` TO PUBLIC WITH ADMIN OPTION",
        "GRANT `inner` TO `open` WITH ADMIN OPTION",
    ]);
    let roles = session.unwrap().roles;
    let roles: Vec<(&str, bool)> = roles
        .iter()
        .map(|(role, admin)| (role.user.as_str(), *admin))
        .collect();
    assert_eq!(roles, [("far", true), ("near", false), ("own", false)]);
}

#[test]
fn an_unknown_line_of_another_grantee_is_no_error() {
    for text in [
        "GRANT SELECT ON NEW KIND `shop`.* TO PUBLIC",
        "GRANT SELECT ON NEW KIND `shop`.`x`.`y` TO `r`",
        "DENY SELECT ON `shop`.* TO PUBLIC",
    ] {
        line(text, &mut Grants::default()).unwrap();
    }
    let of_session = |text| session([text]);
    // At worst a privilege of the master is not counted.
    of_session("GRANT SELECT ON NEW KIND `shop`.* TO `master`@`%`").unwrap();
    of_session("REVOKE SELECT ON NEW KIND `shop`.* FROM `master`@`%`").unwrap_err();
    let unknown = of_session("DENY SELECT ON 'a' `b``c`.* TO `master`@`%` IDENTIFIED BY 'x'");
    assert_eq!(unknown.unwrap_err().0, "DENY SELECT ON '***' `b``c` . *");
}

#[test]
fn roles_and_proxies_are_not_privileges() {
    let grants = read(&[
        "GRANT `r1` TO `app`@`%`",
        "GRANT `r2`@`%`,`r3`@`h` TO `app`@`%` WITH ADMIN OPTION",
        "GRANT PROXY ON `prox`@`localhost` TO `app`@`%` WITH GRANT OPTION",
        "GRANT PROXY ON ``@`` TO `app`@`%`",
    ]);
    let roles: Vec<(String, bool)> = grants
        .roles
        .iter()
        .map(|(role, admin)| (role.to_string(), *admin))
        .collect();
    assert_eq!(
        roles,
        [
            ("`r1`".to_owned(), false),
            ("`r2`@`%`".to_owned(), true),
            ("`r3`@`h`".to_owned(), true)
        ]
    );
    assert!(grants.proxies[&Account::new("prox", "localhost")]);
    assert!(!grants.proxies[&Account::new("", "")]);
    assert!(grants.on.is_empty());
}

#[test]
fn dynamic_privileges_and_partial_revokes_stay_apart() {
    let grants = read(&[
        "GRANT SELECT, INSERT ON *.* TO `app`@`%`",
        "GRANT CONNECTION_ADMIN ON *.* TO `app`@`%`",
        "GRANT BACKUP_ADMIN,ROLE_ADMIN ON *.* TO `app`@`%` WITH GRANT OPTION",
        "REVOKE INSERT, UPDATE ON `shop`.* FROM `app`@`%`",
    ]);
    assert_eq!(names(&grants, &Object::Global), ["INSERT", "SELECT"]);
    let dynamic: Vec<(&str, bool)> = grants
        .dynamic
        .iter()
        .map(|(name, grantable)| (name.as_str(), *grantable))
        .collect();
    assert_eq!(
        dynamic,
        [
            ("BACKUP_ADMIN", true),
            ("CONNECTION_ADMIN", false),
            ("ROLE_ADMIN", true)
        ]
    );
    assert_eq!(grants.restrictions.len(), 2);
    assert!(grants.on.len() == 1, "a partial revoke is no grant");
    // This one of MariaDB has a space, and is static.
    let static_one = read(&["GRANT READ_ONLY ADMIN ON *.* TO `app`@`%`"]);
    assert_eq!(names(&static_one, &Object::Global), ["READ_ONLY ADMIN"]);
}

#[test]
fn an_unknown_line_is_an_error() {
    for text in [
        "",
        "GRANT",
        "GRANT SELECT ON `shop`.* FOR `app`@`%`",
        "GRANT SELECT ON `shop TO `app`@`%`",
        "GRANT SELECT (`a` ON `shop`.`t` TO `app`@`%`",
        "REVOKE INSERT ON *.* FROM `app`@`%`",
        "DENY SELECT ON *.* TO `app`@`%`",
        "GRANT SELECT ON `shop`.* TO 'app",
        // A parser could accept only the first part of these.
        "GRANT SELECT, BACKUP_ADMIN ON *.* TO `app`@`%`",
        "GRANT BACKUP_ADMIN, SELECT (`a`) ON *.* TO `app`@`%`",
        "GRANT EXECUTE ON FUNCTION `shop`.* TO `app`@`%`",
        "GRANT EXECUTE ON FUNCTION *.* TO `app`@`%`",
        "REVOKE SELECT (`a`) ON `shop`.* FROM `app`@`%`",
        "REVOKE SELECT ON `shop`.*",
        "SET PASSWORD FOR `app`@`%` = ''",
    ] {
        let error = line(text, &mut Grants::default()).unwrap_err();
        assert!(!error.0.contains("app"), "{error:?}");
    }
}
