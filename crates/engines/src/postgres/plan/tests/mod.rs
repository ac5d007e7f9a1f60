//! The plan over facts that need no server.

mod adopted;
mod roles;

use super::*;
use crate::postgres::inspect::{
    Cycle, Database, Grant, Membership, Obstacle, OwnGrant, Owned, Reached, Role, RoleChoice,
    RoleRights, Settings, Shared, Through,
};
use crate::{PasswordForm, StoredForm};
use twinkey_core::code::Code;

fn user(name: &str) -> Role {
    Role {
        name: name.into(),
        inherit: true,
        login: true,
        connection_limit: -1,
        ..Role::default()
    }
}

/// A complete pair on 16, and a master with all privileges that it needs.
fn facts() -> Facts {
    let rights = RoleRights {
        admin: true,
        grants: true,
        ..RoleRights::default()
    };
    Facts {
        version: 160_004,
        version_text: "16.4".into(),
        database: "orders".into(),
        master: Role {
            createrole: true,
            ..user("rdsmaster")
        },
        over_base: rights.clone(),
        over_clone: rights,
        base: Some(user("app")),
        clone: Some(user("app_clone")),
        password_encryption: "scram-sha-256".into(),
        password_commands_denied: false,
        sees_sessions: true,
        authid_readable: false,
        base_connects: true,
        in_recovery: false,
        in_clone: vec![],
        through: vec![],
        cycles: vec![],
        members_of_clone: vec![],
        memberships: vec![member_of("app", true)],
        settings: vec![settings_of("app_clone", &["role=app"])],
        role_choices: vec![],
        unsettable: vec![],
        databases: vec![],
        obstacles: vec![],
        owned: vec![],
        granted_in: vec![],
        grants: vec![],
        active_is_md5: None,
    }
}

fn member_of(role: &str, revocable: bool) -> Membership {
    Membership {
        role: role.into(),
        member: "app_clone".into(),
        grantor: "rdsmaster".into(),
        inherit: Some(true),
        set: Some(true),
        admin: false,
        held: false,
        handed_on: false,
        revocable,
    }
}

fn settings_of(role: &str, values: &[&str]) -> Settings {
    Settings {
        role: role.into(),
        database: None,
        values: values.iter().map(|v| (*v).to_owned()).collect(),
    }
}

fn planned(facts: &Facts, active: &str) -> Inspection {
    plan(
        facts,
        &Pair::of(active, "_clone"),
        &PostgresOptions::default(),
    )
}

fn texts(inspection: &Inspection) -> Vec<String> {
    inspection
        .differences
        .iter()
        .map(|change| change.statement.to_string())
        .collect()
}

fn errors(inspection: &Inspection) -> Vec<Option<Code>> {
    inspection
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .map(|finding| finding.code)
        .collect()
}

#[test]
fn a_complete_pair_needs_nothing_but_the_password() {
    for (active, standby) in [("app", "app_clone"), ("app_clone", "app")] {
        let inspection = planned(&facts(), active);
        assert_eq!(texts(&inspection), [""; 0]);
        assert_eq!(
            inspection.set_password[0].statement.to_string(),
            format!("ALTER ROLE \"{standby}\" LOGIN PASSWORD '***'")
        );
        assert!(errors(&inspection).is_empty() && inspection.missing.is_empty());
    }
}

#[test]
fn a_new_clone_is_created_unable_to_sign_in() {
    let mut facts = facts();
    (facts.clone, facts.memberships, facts.settings) = (None, vec![], vec![]);
    facts.over_clone = RoleRights::default();
    let inspection = planned(&facts, "app");
    assert!(!inspection.standby_exists);
    assert_eq!(
        texts(&inspection),
        [
            r#"CREATE ROLE "app_clone" NOLOGIN"#,
            r#"GRANT "app" TO "app_clone" WITH INHERIT TRUE, SET TRUE"#,
            r#"ALTER ROLE "app_clone" SET "role" TO 'app'"#,
        ]
    );
    facts.version = 150_000;
    assert_eq!(
        texts(&planned(&facts, "app"))[1],
        r#"GRANT "app" TO "app_clone""#
    );
}

#[test]
fn no_statement_names_the_active_users_own_state() {
    let mut facts = facts();
    facts.settings = vec![settings_of("app", &["work_mem=5MB"])];
    facts.memberships.push(member_of("readers", true));
    for (active, standby) in [("app", "app_clone"), ("app_clone", "app")] {
        for text in texts(&planned(&facts, active)) {
            assert!(text.contains(&ident(standby)), "{text}");
            assert!(
                !text.starts_with(&format!("ALTER ROLE {} ", ident(active))),
                "{text}"
            );
        }
    }
}

#[test]
fn only_attributes_that_differ_and_may_be_set_are_named() {
    let mut facts = facts();
    facts.base.as_mut().unwrap().createdb = true;
    assert_eq!(
        texts(&planned(&facts, "app")),
        [""; 0],
        "16: the master has no CREATEDB"
    );
    facts.master.createdb = true;
    assert_eq!(
        texts(&planned(&facts, "app")),
        [r#"ALTER ROLE "app_clone" CREATEDB"#]
    );
    assert_eq!(
        texts(&planned(&facts, "app_clone")),
        [""; 0],
        "the base user keeps what it has"
    );
    let by_membership = PostgresOptions { set_role: false };
    facts.master.createdb = false;
    let inspection = plan(&facts, &Pair::of("app", "_clone"), &by_membership);
    assert_eq!(inspection.missing.len(), 1);
}

#[test]
fn without_set_role_the_role_setting_is_reset() {
    let pair = Pair::of("app", "_clone");
    let inspection = plan(&facts(), &pair, &PostgresOptions { set_role: false });
    assert_eq!(
        texts(&inspection),
        [r#"ALTER ROLE "app_clone" RESET "role""#]
    );
}

#[test]
fn hand_over_restores_the_masters_memberships() {
    let mut facts = facts();
    let owned = |database: &str| Owned {
        database: database.into(),
        count: 2,
    };
    facts.owned = vec![owned("billing"), owned("orders")];
    facts.over_clone.own_grant = Some(OwnGrant {
        inherit: false,
        set: true,
    });
    let inspection = planned(&facts, "app");
    let one = [
        r#"GRANT "app" TO "rdsmaster" WITH INHERIT TRUE, SET TRUE"#,
        r#"GRANT "app_clone" TO "rdsmaster" WITH INHERIT TRUE, SET TRUE"#,
        r#"REASSIGN OWNED BY "app_clone" TO "app""#,
        r#"GRANT "app_clone" TO "rdsmaster" WITH INHERIT FALSE, SET TRUE"#,
        r#"REVOKE "app" FROM "rdsmaster""#,
    ];
    assert_eq!(texts(&inspection), [one, one].concat());
    let databases: Vec<_> = inspection
        .differences
        .iter()
        .map(|c| c.database.as_deref())
        .collect();
    assert_eq!(databases, [[Some("billing"); 5], [None; 5]].concat());
}

#[test]
fn hand_over_restores_a_membership_of_another_grantor() {
    let mut facts = facts();
    facts.owned = vec![Owned {
        database: "orders".into(),
        count: 2,
    }];
    facts.over_base.usage = true;
    facts.over_base.set = true;
    facts.over_clone.grantor = Some("dba".into());
    let given = r#"GRANT "app_clone" TO "rdsmaster" WITH INHERIT TRUE, SET TRUE GRANTED BY "dba""#;
    let reassign = r#"REASSIGN OWNED BY "app_clone" TO "app""#;
    let taken = r#"REVOKE "app_clone" FROM "rdsmaster" GRANTED BY "dba""#;
    assert_eq!(texts(&planned(&facts, "app")), [given, reassign, taken]);
    facts.over_clone.own_grant = Some(OwnGrant {
        inherit: false,
        set: false,
    });
    let restored =
        r#"GRANT "app_clone" TO "rdsmaster" WITH INHERIT FALSE, SET FALSE GRANTED BY "dba""#;
    assert_eq!(texts(&planned(&facts, "app")), [given, reassign, restored]);
}

#[test]
fn used_grants_of_an_active_clone_are_refused() {
    let mut facts = facts();
    facts.grants = vec![Grant {
        database: "orders".into(),
        object: Some("TABLE public.t".into()),
        description: "table t".into(),
        owner: Some("app".into()),
        by_owner: true,
        as_owner: true,
        held: false,
        missing: Some("GRANT SELECT ON TABLE public.t TO \"app\"".into()),
        missing_at_login: None,
        handed_on: false,
        other_grantor: false,
        sets_owner: true,
        personal: false,
    }];
    assert!(errors(&planned(&facts, "app_clone")).is_empty());
    facts.settings.clear();
    let inspection = planned(&facts, "app_clone");
    assert_eq!(errors(&inspection), [Some(Code::PrivilegesDiffer)]);
    assert_eq!(texts(&inspection), [""; 0]);
}

#[test]
fn users_of_no_application_are_refused() {
    let invalid: [fn(&mut Facts); 4] = [
        |facts| facts.base.as_mut().unwrap().superuser = true,
        |facts| facts.clone.as_mut().unwrap().replication = true,
        |facts| facts.master.name = "app".into(),
        |facts| facts.base = None,
    ];
    for invalidate in invalid {
        let mut facts = facts();
        invalidate(&mut facts);
        assert_eq!(errors(&planned(&facts, "app")), [Some(Code::DbRefused)]);
    }
}

#[test]
fn md5_is_used_only_where_the_active_user_has_it() {
    let mut facts = facts();
    let is_md5 = |facts: &Facts| {
        let inspection = planned(facts, "app");
        matches!(inspection.set_password[0].statement.password_form(), Some(PasswordForm::PostgresMd5 { username }) if username == "app_clone")
    };
    assert!(!is_md5(&facts));
    facts.password_encryption = "md5".into();
    assert!(is_md5(&facts), "unreadable: password_encryption decides");
    facts.active_is_md5 = Some(false);
    assert!(!is_md5(&facts));
}

#[test]
fn a_sign_in_shows_the_form_that_the_master_cannot_read() {
    let warns = |inspection: &Inspection| {
        let mut findings = inspection.findings.iter();
        findings.any(|one| one.what.contains("as md5"))
    };
    for of_server in ["md5", "scram-sha-256"] {
        let mut facts = facts();
        facts.password_encryption = of_server.into();
        for (request, is_md5) in [
            (None, of_server == "md5"),
            (Some(StoredForm::Md5), true),
            (Some(StoredForm::ScramSha256), false),
        ] {
            let mut inspection = planned(&facts, "app");
            inspection.use_form_of(request);
            let form = inspection.set_password[0].statement.password_form();
            let found = matches!(form, Some(PasswordForm::PostgresMd5 { .. }));
            assert_eq!(found, is_md5, "{of_server} {request:?}");
            assert_eq!(warns(&inspection), is_md5, "{of_server} {request:?}");
        }
        facts.active_is_md5 = Some(true);
        let mut inspection = planned(&facts, "app");
        inspection.use_form_of(Some(StoredForm::ScramSha256));
        let form = inspection.set_password[0].statement.password_form();
        let is_md5 = matches!(form, Some(PasswordForm::PostgresMd5 { .. }));
        assert!(is_md5, "what the master reads is the fact");
    }
}

#[test]
fn missing_privileges_come_with_their_grants() {
    let mut facts = facts();
    facts.master.createrole = false;
    facts.over_base.admin = false;
    facts.password_commands_denied = true;
    facts.unsettable = vec!["log_min_messages".into()];
    facts
        .settings
        .push(settings_of("app", &["log_min_messages=error"]));
    let fixes: Vec<String> = planned(&facts, "app")
        .missing
        .into_iter()
        .filter_map(|f| f.fix)
        .collect();
    assert_eq!(
        fixes,
        [
            r#"ALTER ROLE "rdsmaster" CREATEROLE"#,
            r#"GRANT "app" TO "rdsmaster" WITH ADMIN OPTION, INHERIT FALSE, SET FALSE"#,
            r#"GRANT rds_password TO "rdsmaster""#,
            r#"GRANT SET ON PARAMETER "log_min_messages" TO "rdsmaster""#,
        ]
    );
}

#[test]
fn a_master_needs_the_right_to_grant_only_for_a_grant() {
    let mut facts = facts();
    facts.over_base.grants = false;
    facts.over_clone.grants = false;
    for active in ["app", "app_clone"] {
        assert!(planned(&facts, active).missing.is_empty());
    }
    let fixes = |facts: &Facts, active: &str| -> Vec<String> {
        let missing = planned(facts, active).missing.into_iter();
        missing.filter_map(|f| f.fix).collect()
    };
    let with = "WITH ADMIN OPTION, INHERIT FALSE, SET FALSE";
    let grant = |user: &str| format!(r#"GRANT "{user}" TO "rdsmaster" {with}"#);
    facts.owned = vec![Owned {
        database: "orders".into(),
        count: 1,
    }];
    for active in ["app", "app_clone"] {
        assert_eq!(fixes(&facts, active), [grant("app"), grant("app_clone")]);
    }
    facts.owned.clear();
    facts.memberships.clear();
    assert_eq!(fixes(&facts, "app"), [grant("app")]);
    facts.version = 150_000;
    assert!(fixes(&facts, "app").is_empty());
}

#[test]
fn the_causes_of_a_refused_sign_in_are_those_of_the_active_user() {
    let mut facts = facts();
    assert_eq!(planned(&facts, "app").obstacles, []);
    facts.base.as_mut().unwrap().login = false;
    facts.base.as_mut().unwrap().expired = true;
    let found = planned(&facts, "app").obstacles;
    let fixes: Vec<&str> = found.iter().filter_map(|f| f.fix.as_deref()).collect();
    assert_eq!(fixes.len(), 2);
    assert!(fixes[0].contains("ALTER ROLE \"app\" LOGIN"), "{fixes:?}");
    assert!(
        fixes[1].contains("ALTER ROLE \"app\" VALID UNTIL"),
        "{fixes:?}"
    );
    assert_eq!(planned(&facts, "app_clone").obstacles, []);
    facts.base = None;
    let found = planned(&facts, "app").obstacles;
    assert!(found[0].what.contains("does not exist"), "{found:?}");
}
