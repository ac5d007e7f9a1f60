use super::*;

use crate::Severity;
use crate::redshift::defaults::{DefaultPrivilege, Grantee, Kind, NewObjects};
use crate::redshift::facts::{Limits, Place, User};
use crate::redshift::grants::Object;
use twinkey_core::code::Code;

fn user() -> User {
    User {
        limits: Some(Limits::default()),
        ..User::default()
    }
}

/// Two databases; the active user has a table in each.
fn facts() -> Facts {
    let place = |database: &str| {
        let mut place = Place {
            database: database.into(),
            ..Place::default()
        };
        let table = Object::Relation {
            schema: "s".into(),
            name: "t".into(),
        };
        let held = [("SELECT".to_owned(), false)].into();
        place.active.granted.insert(table, held);
        place
    };
    Facts {
        server: "Redshift 1.0".into(),
        database: "dev".into(),
        master: "admin".into(),
        superuser: true,
        sees_all: true,
        active: Some(user()),
        places: vec![place("dev"), place("other")],
        ..Facts::default()
    }
}

fn pair() -> Pair {
    Pair::of("app", "_clone")
}

#[test]
fn a_new_standby_is_created_first_and_unable_to_sign_in_and_its_own_database_comes_last() {
    let inspection = plan(&facts(), &pair());
    let shown = inspection.differences.iter();
    let shown: Vec<(Option<&str>, String)> = shown
        .map(|c| (c.database.as_deref(), c.statement.to_string()))
        .collect();
    assert_eq!(
        shown[0],
        (None, "CREATE USER \"app_clone\" PASSWORD DISABLE".into())
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
fn the_digest_is_md5_of_the_standbys_name_and_sha256_where_the_active_users_is() {
    let mut facts = facts();
    let slot = |facts: &Facts| {
        plan(facts, &pair()).set_password[0]
            .statement
            .slot()
            .cloned()
    };
    let md5 = Slot::RedshiftMd5 {
        username: "app_clone".into(),
    };
    assert_eq!(slot(&facts), Some(md5.clone()));
    facts.active.as_mut().unwrap().form = Some(Form::Md5);
    assert_eq!(slot(&facts), Some(md5));
    facts.active.as_mut().unwrap().form = Some(Form::Sha256);
    assert_eq!(slot(&facts), Some(Slot::RedshiftSha256));
}

#[test]
fn superusers_and_the_admin_itself_are_refused() {
    let refused = |facts: &Facts| {
        let findings = plan(facts, &pair()).findings;
        findings.iter().any(|f| f.severity == Severity::Error)
    };
    assert!(!refused(&facts()));
    let mut mighty = facts();
    mighty.active.as_mut().unwrap().superuser = true;
    assert!(refused(&mighty));
    let mut standby = facts();
    standby.standby = Some(User {
        superuser: true,
        ..user()
    });
    assert!(refused(&standby));
    let mut itself = facts();
    itself.master = "app".into();
    assert!(refused(&itself));
    let mut nobody = facts();
    nobody.active = None;
    assert!(refused(&nobody));
    assert_eq!(plan(&nobody, &pair()).differences, []);
}

#[test]
fn an_admin_that_does_not_see_all_rows_is_warned_about_and_one_without_power_is_refused() {
    let mut facts = facts();
    (facts.superuser, facts.sees_all) = (false, false);
    let inspection = plan(&facts, &pair());
    let warning = &inspection.findings[0];
    assert_eq!(warning.severity, Severity::Warning);
    assert!(warning.what.contains("does not see all rows"));
    assert_eq!(inspection.missing[0].code, Some(Code::PrivilegesMissing));
    facts.has_roles = true;
    assert_eq!(plan(&facts, &pair()).missing, []);
}

#[test]
fn a_privilege_that_is_not_known_is_told() {
    let mut facts = facts();
    facts.places[1].active.unknown.push("\"FLY\"".into());
    let findings = plan(&facts, &pair()).findings;
    assert!(findings.iter().any(|f| f.what.contains("\"FLY\"")));
}

#[test]
fn what_cannot_be_copied_and_differs_is_refused_both_ways() {
    let refused = |facts: &Facts| {
        let findings = plan(facts, &pair()).findings;
        let errors = findings.iter().filter(|f| f.severity == Severity::Error);
        errors.map(|f| f.what.clone()).collect::<Vec<String>>()
    };
    let mut facts = facts();
    let policy = "the masking policy m on s.t".to_owned();
    facts.places[1].active.beyond.insert(policy.clone());
    assert_eq!(
        refused(&facts),
        [
            "\"app\" has the masking policy m on s.t in other, \"app_clone\" has not, and it is not copied"
        ]
    );
    facts.places[1].standby.beyond.insert(policy);
    assert_eq!(refused(&facts), [""; 0]);
    facts.standby = Some(User {
        beyond: ["ASSUMEROLE on x for COPY".to_owned()].into(),
        ..user()
    });
    assert_eq!(refused(&facts).len(), 1);
}

#[test]
fn an_equal_standby_needs_its_password_alone() {
    let mut facts = facts();
    facts.standby = Some(user());
    for place in &mut facts.places {
        place.standby = place.active.clone();
        for (owner, other) in [("app", "app_clone"), ("app_clone", "app")] {
            for (kind, privileges) in [
                (Kind::Tables, "SELECT INSERT UPDATE DELETE REFERENCES"),
                (Kind::Functions, "EXECUTE"),
                (Kind::Procedures, "EXECUTE"),
            ] {
                place
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
