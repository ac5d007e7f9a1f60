//! Roles of the users' sessions.

use super::*;

fn choice(of: Option<&str>, database: Option<&str>, role: &str) -> RoleChoice {
    RoleChoice {
        of: of.map(Into::into),
        database: database.map(Into::into),
        role: role.into(),
        usable: role != "none",
        held: false,
        usable_by_clone: true,
        attributes: vec![],
        inherits: true,
        lacks: vec![],
        rights: RoleRights::default(),
    }
}

#[test]
fn the_clone_has_the_role_of_the_base_users_sessions() {
    let everywhere = r#"ALTER ROLE "app_clone" SET "role" TO "#;
    let here = r#"ALTER ROLE "app_clone" IN DATABASE "orders" SET "role" TO "#;
    let (base, orders) = (Some("app"), Some("orders"));
    let cases = [
        (
            vec![choice(base, None, "owner")],
            vec![format!("{everywhere}'owner'")],
        ),
        (
            vec![choice(base, orders, "owner")],
            vec![format!("{here}'owner'")],
        ),
        (
            vec![choice(None, orders, "owner")],
            vec![format!("{here}'owner'")],
        ),
        (
            vec![choice(None, None, "owner")],
            vec![format!("{everywhere}'owner'")],
        ),
        (
            vec![choice(base, None, "owner"), choice(None, orders, "other")],
            vec![format!("{everywhere}'owner'")],
        ),
        (
            vec![choice(base, None, "owner"), choice(base, orders, "none")],
            vec![format!("{everywhere}'owner'"), format!("{here}'app'")],
        ),
        (
            vec![choice(base, None, "none"), choice(None, orders, "owner")],
            vec![],
        ),
    ];
    for (choices, wanted) in cases {
        let mut facts = facts();
        facts.role_choices = choices;
        let inspection = planned(&facts, "app");
        assert_eq!(texts(&inspection), wanted);
        assert_eq!(texts(&planned(&facts, "app_clone")), [""; 0]);
        let role = facts
            .session_role(&Pair::of("app", "_clone"), orders)
            .to_owned();
        assert_eq!(inspection.session_role.as_deref(), Some(role.as_str()));
    }
    let mut facts = facts();
    facts.role_choices = vec![choice(base, None, "owner")];
    facts.role_choices[0].usable = false;
    assert_eq!(
        texts(&planned(&facts, "app")),
        [""; 0],
        "the server ignores it"
    );
    facts.role_choices.push(choice(None, orders, "other"));
    let other = [format!("{here}'other'")];
    assert_eq!(texts(&planned(&facts, "app")), other, "and uses the next");
}

#[test]
fn a_membership_in_the_owner_role_is_the_base_users_too() {
    let mut facts = facts();
    facts.settings.clear();
    facts.role_choices = vec![choice(Some("app"), None, "owner")];
    facts.memberships.push(member_of("owner", true));
    assert!(errors(&planned(&facts, "app_clone")).is_empty());
}

#[test]
fn a_role_of_the_active_clone_alone_is_refused() {
    let mut facts = facts();
    facts.role_choices = vec![choice(Some("app_clone"), None, "owner")];
    facts.settings = vec![settings_of("app_clone", &["role=owner"])];
    let inspection = planned(&facts, "app_clone");
    assert_eq!(errors(&inspection), [Some(Code::PrivilegesDiffer)]);
    facts.role_choices[0].held = true;
    assert!(errors(&planned(&facts, "app_clone")).is_empty());
}

/// The clone is in `group`, which is a member of the base user.
fn in_a_cycle() -> Facts {
    let mut facts = facts();
    facts.settings.clear();
    facts.memberships.push(member_of("group", true));
    facts.cycles = vec![Cycle {
        target: "app".into(),
        role: "group".into(),
        reaches: vec![reached("group", true), reached("more", false)],
    }];
    facts
}

fn reached(role: &str, is_member: bool) -> Reached {
    Reached {
        role: role.into(),
        is_member,
        inherits: is_member,
    }
}

fn fixes(facts: &Facts) -> Vec<String> {
    let findings = planned(facts, "app_clone").findings.into_iter();
    let errors = findings.filter(|finding| finding.severity == Severity::Error);
    errors.map(|finding| finding.fix.unwrap()).collect()
}

#[test]
fn a_cycle_ends_when_the_base_user_has_all_that_it_gives() {
    let mut facts = in_a_cycle();
    facts.through = vec![Through {
        role: "group".into(),
        grants: vec![],
        owned: vec![Owned {
            database: "orders".into(),
            count: 2,
        }],
        obstacles: vec![],
        shared: vec![],
    }];
    let reassign = r#"REASSIGN OWNED BY "group" TO "app""#;
    let more = r#"GRANT "more" TO "app" WITH INHERIT TRUE, SET TRUE"#;
    assert_eq!(fixes(&facts), [reassign, more]);
    facts.cycles[0].reaches.pop();
    assert_eq!(fixes(&facts), [reassign]);
    facts.through.clear();
    let revoke = r#"REVOKE "group" FROM "app_clone" GRANTED BY "rdsmaster""#;
    assert_eq!(fixes(&facts), [revoke]);
    facts.memberships[1].handed_on = true;
    assert_eq!(fixes(&facts), [format!("{revoke} CASCADE")]);
    facts.settings = vec![settings_of("app_clone", &["role=app"])];
    assert!(fixes(&facts).is_empty(), "its sessions do not use it");
}

#[test]
fn sessions_in_other_databases_get_what_all_databases_share() {
    let mut facts = facts();
    facts.settings.clear();
    facts.role_choices = vec![choice(Some("app"), Some("ledger"), "owner")];
    let grant = r#"GRANT SET ON PARAMETER log_min_messages TO "owner""#;
    let alter = r#"ALTER TABLESPACE fast OWNER TO "owner""#;
    let shared = |statement: &str, moves| Shared {
        what: "it".into(),
        works_as: "owner".into(),
        statement: statement.into(),
        moves,
    };
    facts.through = vec![Through {
        role: "app_clone".into(),
        grants: vec![],
        owned: vec![],
        obstacles: vec![],
        shared: vec![shared(grant, false), shared(alter, true)],
    }];
    let join = r#"GRANT "owner" TO "app" WITH INHERIT TRUE, SET TRUE"#;
    assert_eq!(
        fixes(&facts),
        [grant.to_owned(), format!("{join}; {alter}")]
    );
    facts.role_choices[0].held = true;
    assert_eq!(fixes(&facts), [grant, alter]);
}

#[test]
fn a_role_setting_of_a_cycle_becomes_the_base_users() {
    let mut facts = in_a_cycle();
    facts.memberships.pop();
    facts.settings = vec![settings_of("app_clone", &["role=group"])];
    facts.role_choices = vec![choice(Some("app_clone"), None, "group")];
    let more = r#"GRANT "more" TO "app" WITH INHERIT TRUE, SET TRUE"#;
    assert_eq!(fixes(&facts), [more]);
    facts.cycles[0].reaches.pop();
    assert_eq!(
        fixes(&facts),
        [r#"ALTER ROLE "app_clone" SET role TO 'app'"#]
    );
    facts.role_choices[0].usable_by_clone = false;
    assert!(fixes(&facts).is_empty(), "the server ignores it");
}

#[test]
fn a_clone_that_may_not_take_its_role_does_not_work_as_the_base_user() {
    let mut facts = facts();
    let pair = Pair::of("app_clone", "_clone");
    facts.role_choices = vec![choice(Some("app_clone"), None, "app")];
    assert!(facts.works_as_base(&pair));
    facts.role_choices[0].usable_by_clone = false;
    assert!(!facts.works_as_base(&pair));
}

#[test]
fn attributes_are_those_of_the_roles_of_the_sessions() {
    let mut facts = facts();
    facts.settings.clear();
    facts.master.createdb = true;
    facts.clone.as_mut().unwrap().createdb = true;
    facts.role_choices = vec![choice(Some("app"), Some("orders"), "owner")];
    let gained = r#"ALTER ROLE "app" CREATEDB"#;
    assert_eq!(texts(&planned(&facts, "app_clone")), [gained]);
    assert_eq!(fixes(&facts), [r#"ALTER ROLE "owner" CREATEDB"#]);
    // In all databases.
    facts.role_choices[0].database = None;
    assert_eq!(texts(&planned(&facts, "app_clone")), [""; 0]);
    assert_eq!(fixes(&facts), [r#"ALTER ROLE "owner" CREATEDB"#]);
    facts.role_choices[0].attributes = vec!["CREATEDB".into()];
    assert!(fixes(&facts).is_empty());
    // The role of the clone's sessions has the attribute.
    facts.clone.as_mut().unwrap().createdb = false;
    facts.role_choices[0].of = Some("app_clone".into());
    facts.role_choices[0].held = true;
    facts.settings = vec![settings_of("app_clone", &["role=owner"])];
    assert_eq!(texts(&planned(&facts, "app_clone")), [gained]);
}
