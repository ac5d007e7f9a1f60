use super::*;

use crate::Severity;
use crate::redshift::catalog::defaults::{DefaultPrivilege, Grantee, NewObjects, ObjectKind};
use crate::redshift::catalog::facts::{AdminRights, DatabaseFacts, Limits, User};
use crate::redshift::catalog::grants::Object;
use twinkey_core::code::Code;

fn user() -> User {
    User {
        limits: Some(Limits::default()),
        ..User::default()
    }
}

/// Facts with two databases; the active user can read a table in each.
fn facts() -> Facts {
    let database = |name: &str| {
        let mut database = DatabaseFacts {
            name: name.into(),
            ..DatabaseFacts::default()
        };
        let table = Object::Relation {
            schema: "s".into(),
            name: "t".into(),
        };
        let held = [("SELECT".to_owned(), false)].into();
        database.active.granted.insert(table, held);
        database
    };
    Facts {
        server: "Redshift 1.0".into(),
        database: "dev".into(),
        master: "admin".into(),
        admin: AdminRights {
            superuser: true,
            ..AdminRights::default()
        },
        active: Some(user()),
        databases: vec![database("dev"), database("other")],
        ..Facts::default()
    }
}

fn pair() -> Pair {
    Pair::of("app", "_clone")
}

#[test]
fn a_new_standby_is_created_first_and_cannot_sign_in() {
    let inspection = plan(&facts(), &pair());
    let shown = inspection.differences.iter();
    let shown: Vec<(Option<&str>, String)> = shown
        .map(|c| (c.database.as_deref(), c.statement.to_string()))
        .collect();
    assert_eq!(
        shown[0],
        (None, "CREATE USER \"app_clone\" PASSWORD '***'".into())
    );
    let databases: Vec<Option<&str>> = shown.iter().map(|(database, _)| *database).collect();
    let first_own = databases.iter().skip(1).position(Option::is_none).unwrap() + 1;
    assert!(databases[1..first_own].iter().all(|d| *d == Some("other")));
    assert!(databases[first_own..].iter().all(Option::is_none));
    assert!(!inspection.standby_exists);
    let password = &inspection.set_password[0].statement;
    assert_eq!(
        password.to_string(),
        "ALTER USER \"app_clone\" PASSWORD '***'"
    );
}

#[test]
fn the_digest_has_the_form_of_the_active_users() {
    let mut facts = facts();
    let form = |facts: &Facts| {
        plan(facts, &pair()).set_password[0]
            .statement
            .password_form()
            .cloned()
    };
    let md5 = PasswordForm::RedshiftMd5 {
        username: "app_clone".into(),
    };
    assert_eq!(form(&facts), Some(md5.clone()));
    facts.active.as_mut().unwrap().digest_form = Some(DigestForm::Md5);
    assert_eq!(form(&facts), Some(md5));
    facts.active.as_mut().unwrap().digest_form = Some(DigestForm::Sha256);
    assert_eq!(form(&facts), Some(PasswordForm::RedshiftSha256));
}

#[test]
fn superusers_and_the_admin_itself_are_refused() {
    let refused = |facts: &Facts| {
        let findings = plan(facts, &pair()).findings;
        findings.iter().any(|f| f.severity == Severity::Error)
    };
    assert!(!refused(&facts()));
    let mut superuser = facts();
    superuser.active.as_mut().unwrap().superuser = true;
    assert!(refused(&superuser));
    let mut standby = facts();
    standby.standby = Some(User {
        superuser: true,
        ..user()
    });
    assert!(refused(&standby));
    let mut itself = facts();
    itself.master = "app".into();
    assert!(refused(&itself));
    let mut missing = facts();
    missing.active = None;
    assert!(refused(&missing));
    assert_eq!(plan(&missing, &pair()).differences, []);
}

#[test]
fn an_admin_without_privileges_is_reported() {
    let mut facts = facts();
    facts.admin.superuser = false;
    let inspection = plan(&facts, &pair());
    let warning = &inspection.findings[0];
    assert_eq!(warning.severity, Severity::Warning);
    assert!(warning.what.contains("is no superuser"));
    assert_eq!(inspection.missing.len(), 1);
    assert_eq!(inspection.missing[0].code, Some(Code::PrivilegesMissing));
}

#[test]
fn what_the_server_refuses_to_show_is_a_finding() {
    let mut facts = facts();
    facts
        .unanswered
        .push("the server refused to show masking policies".into());
    let findings = plan(&facts, &pair()).findings;
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].severity, Severity::Warning);
    assert!(findings[0].what.contains("masking policies"));
}

#[test]
fn an_unknown_privilege_is_a_finding() {
    let mut facts = facts();
    facts.databases[1]
        .active
        .unknown_privileges
        .push("\"FLY\"".into());
    let findings = plan(&facts, &pair()).findings;
    assert!(findings.iter().any(|f| f.what.contains("\"FLY\"")));
}

#[test]
fn differences_that_cannot_be_copied_are_refused() {
    let refused = |facts: &Facts| {
        let findings = plan(facts, &pair()).findings;
        let errors = findings.iter().filter(|f| f.severity == Severity::Error);
        errors.map(|f| f.what.clone()).collect::<Vec<String>>()
    };
    let mut facts = facts();
    let policy = "the masking policy m on s.t".to_owned();
    facts.databases[1].active.uncopied.insert(policy.clone());
    assert_eq!(
        refused(&facts),
        [
            "\"app\" has the masking policy m on s.t in other, \"app_clone\" does not have it, and it cannot be copied"
        ]
    );
    facts.databases[1].standby.uncopied.insert(policy);
    assert_eq!(refused(&facts), [""; 0]);
    facts.standby = Some(User {
        uncopied: ["ASSUMEROLE on x for COPY".to_owned()].into(),
        ..user()
    });
    assert_eq!(refused(&facts).len(), 1);
}

#[test]
fn an_equal_standby_needs_no_changes() {
    let mut facts = facts();
    facts.standby = Some(user());
    for database in &mut facts.databases {
        database.standby = database.active.clone();
        for (owner, other) in [("app", "app_clone"), ("app_clone", "app")] {
            for (kind, privileges) in [
                (ObjectKind::Tables, "SELECT INSERT UPDATE DELETE REFERENCES"),
                (ObjectKind::Functions, "EXECUTE"),
                (ObjectKind::Procedures, "EXECUTE"),
            ] {
                database
                    .defaults
                    .extend(privileges.split(' ').map(|privilege| DefaultPrivilege {
                        on: NewObjects {
                            owner: owner.into(),
                            schema: None,
                            kind,
                        },
                        grantee: Grantee::User(other.into()),
                        privilege: privilege.into(),
                        option: true,
                    }));
            }
        }
    }
    assert_eq!(plan(&facts, &pair()).differences, []);
}
