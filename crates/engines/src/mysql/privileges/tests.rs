use super::super::parse;
use super::*;

fn master(lines: &[&str]) -> Master {
    Master {
        account: Account::new("m", "%"),
        client: "10.0.0.7".into(),
        grants: parse::session(lines.iter().copied()).unwrap(),
        schemas_are_literal: false,
    }
}

fn table(schema: &str) -> Object {
    Object::Table {
        schema: schema.into(),
        table: "t".into(),
    }
}

#[test]
fn a_schemas_privilege_covers_its_tables_and_routines() {
    let master = master(&["GRANT SELECT ON `shop`.* TO `m`@`%` WITH GRANT OPTION"]);
    assert!(master.has(&table("shop"), "SELECT"));
    assert!(master.has(&table("shop"), GRANT_OPTION));
    assert!(!master.has(&table("shop"), "INSERT"));
    assert!(!master.has(&table("shopping"), "SELECT"));
    assert!(!master.has(&Object::Global, "SELECT"));
}

#[test]
fn wildcards_reach_the_schemas_that_they_match() {
    let master = master(&[r"GRANT SELECT ON `shop\_%`.* TO `m`@`%`"]);
    for (schema, reached) in [("shop_eu", true), ("shop_", true), ("shopxeu", false)] {
        assert_eq!(master.has(&table(schema), "SELECT"), reached, "{schema}");
    }
    // A grant on a pattern requires the same pattern; a pattern without wildcards is a name.
    for (pattern, reached) in [
        (r"shop\_%", true),
        (r"shop\_eu", true),
        ("shop_eu", false),
        (r"shop\_e%", false),
    ] {
        let object = Object::Schema(pattern.into());
        assert_eq!(master.has(&object, "SELECT"), reached, "{pattern}");
    }
}

#[test]
fn with_partial_revokes_wildcards_are_literal() {
    let mut master = master(&[r"GRANT SELECT ON `shop\_eu`.* TO `m`@`%`"]);
    assert!(master.has(&table("shop_eu"), "SELECT"));
    master.schemas_are_literal = true;
    assert!(!master.has(&table("shop_eu"), "SELECT"));
    assert!(master.has(&table(r"shop\_eu"), "SELECT"));
}

#[test]
fn a_partial_revoke_of_the_master_counts() {
    let master = master(&[
        "GRANT SELECT ON *.* TO `m`@`%`",
        "REVOKE SELECT ON `shop`.* FROM `m`@`%`",
    ]);
    assert!(!master.has(&table("shop"), "SELECT"));
    assert!(master.has(&table("other"), "SELECT"));
}

#[test]
fn all_privileges_exclude_the_grant_option() {
    let master = master(&["GRANT ALL PRIVILEGES ON `shop`.* TO `m`@`%`"]);
    assert!(master.has(&table("shop"), "TRIGGER"));
    assert!(!master.has(&table("shop"), GRANT_OPTION));
}

#[test]
fn patterns_match_as_sqls_like_does() {
    for (pattern, text, matches) in [
        ("", "", true),
        ("%", "", true),
        ("a%c", "abbc", true),
        ("a%c", "abb", false),
        ("a_c", "aüc", true),
        (r"a\_c", "abc", false),
        (r"a\_c", "a_c", true),
        ("%b%", "abc", true),
    ] {
        assert_eq!(like(pattern, text), matches, "{pattern} {text}");
    }
}

/// The fixes for steps with these requirements.
fn fixes(facts: &Facts, requires: Vec<Requirement>) -> Vec<String> {
    let step = Step {
        kind: crate::ChangeKind::Grant,
        text: String::new(),
        why: String::new(),
        requires,
    };
    let missing = missing(facts, &[step]).into_iter();
    missing.filter_map(|finding| finding.fix).collect()
}

/// A master that may create users and read accounts.
fn facts() -> Facts {
    let mut facts = super::super::inspect::facts::fixture::facts();
    facts.master = master(&["GRANT CREATE USER ON *.* TO `m`@`%`"]);
    facts
}

#[test]
fn proxy_is_granted_on_accounts_that_match_the_masters_host() {
    let mut facts = facts();
    let requires = |user, host| vec![Requirement::Proxy(Account::new(user, host))];
    let on = |of: &str| format!("GRANT PROXY ON {of} TO `m`@`%` WITH GRANT OPTION");
    assert_eq!(fixes(&facts, requires("p", "10.0.%")), [on("`p`@`10.0.%`")]);
    assert_eq!(fixes(&facts, requires("p", "h")), [on("`p`@`%`")]);
    for (held, user, is_met) in [("p", "p", true), ("p", "q", false), ("", "q", true)] {
        facts.master.grants.proxies = [(Account::new(held, "%"), true)].into();
        assert_eq!(fixes(&facts, requires(user, "h")).is_empty(), is_met);
    }
    facts.master.grants.proxies = [(Account::new("p", "h"), true)].into();
    assert_eq!(fixes(&facts, requires("p", "h")), [on("`p`@`%`")]);
}

#[test]
fn a_fix_is_a_statement_that_the_server_takes() {
    let mut facts = facts();
    let to_grant = |name: &str| Requirement::ToGrant {
        object: table("shop"),
        name: name.to_owned(),
    };
    let on = |list: &str| format!("GRANT {list} ON `shop`.`t` TO `m`@`%` WITH GRANT OPTION");
    let all = vec![to_grant(ALL), to_grant("INSERT")];
    assert_eq!(fixes(&facts, all), [on("ALL PRIVILEGES")]);
    assert_eq!(fixes(&facts, vec![to_grant("INSERT")]), [on("INSERT")]);
    facts.existing.schemas.insert("shop".to_owned());
    assert_eq!(
        fixes(&facts, vec![to_grant("INSERT")]),
        [on("INSERT, CREATE")]
    );
    assert_eq!(fixes(&facts, vec![to_grant(GRANT_OPTION)]), [on("CREATE")]);
}
