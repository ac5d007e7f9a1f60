//! Roles of the users' sessions.

use super::*;

fn choice(of: Option<&str>, database: Option<&str>, role: &str) -> RoleChoice {
    RoleChoice {
        of: of.map(Into::into),
        database: database.map(Into::into),
        role: role.into(),
        usable: role != "none",
        held: false,
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
