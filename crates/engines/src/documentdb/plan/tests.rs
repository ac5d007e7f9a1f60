use super::*;
use crate::documentdb::facts::{MasterFacts, SessionReport, Unsupported};
use crate::documentdb::privileges::Privileges;
use crate::{Finding, Severity};
use twinkey_core::code::Code;

fn roles_of(all: &[(&str, &str)]) -> BTreeSet<DatabaseRole> {
    all.iter()
        .map(|(role, db)| DatabaseRole::new(role, db))
        .collect()
}

fn user(name: &str, all: &[(&str, &str)]) -> User {
    User {
        name: name.into(),
        auth_database: "admin".into(),
        roles: roles_of(all),
        mechanisms: Some(BTreeSet::from(["SCRAM-SHA-256".to_owned()])),
        ..User::default()
    }
}

fn facts(active: Option<User>, standby: Option<User>) -> Facts {
    Facts {
        version: "5.0.0".into(),
        auth_database: "admin".into(),
        own: "shop".into(),
        master: MasterFacts {
            user: "boss".into(),
            auth_database: "admin".into(),
            privileges: Privileges::OfRoles(roles_of(&[("root", "admin")])),
            has_user_admin: Some(true),
            lock_denied: false,
            plain_text: false,
        },
        users: Some(Users { active, standby }),
        duplicates: Vec::new(),
        unsupported: BTreeSet::new(),
        sessions: None,
    }
}

fn pair() -> Pair {
    Pair::of("app", "_clone")
}

fn shown(changes: &[Change]) -> Vec<String> {
    changes.iter().map(|c| c.statement.to_string()).collect()
}

fn errors(inspection: &Inspection) -> Vec<&Finding> {
    let is_error = |finding: &&Finding| finding.severity == Severity::Error;
    inspection.findings.iter().filter(is_error).collect()
}

#[test]
fn a_new_standby_has_all_roles_and_a_throwaway_password() {
    let mut active = user("app", &[("readWrite", "shop"), ("clerk", "admin")]);
    active.restrictions = vec![json!({"clientSource": ["10.0.0.0/8"]})];
    active.custom_data = Some(json!({"team": "orders"}));
    let plan = plan(&facts(Some(active), None), &pair());
    assert!(!plan.standby_exists);
    assert_eq!(
        shown(&plan.differences),
        [
            r#"{"createUser":"app_clone","pwd":"***","roles":[{"role":"clerk","db":"admin"},{"role":"readWrite","db":"shop"}],"mechanisms":["SCRAM-SHA-256"],"authenticationRestrictions":[{"clientSource":["10.0.0.0/8"]}],"customData":{"team":"orders"},"writeConcern":{"w":"majority"}}"#
        ]
    );
    assert_eq!(
        plan.differences[0].statement.password_form(),
        Some(&PasswordForm::Unfinished(Box::new(PasswordForm::Clear)))
    );
    assert_eq!(plan.differences[0].database.as_deref(), Some("admin"));
    assert_eq!(plan.missing, []);
}

#[test]
fn the_password_has_the_active_users_mechanisms() {
    let plan = plan(&facts(Some(user("app", &[])), None), &pair());
    assert_eq!(
        shown(&plan.set_password),
        [
            r#"{"updateUser":"app_clone","pwd":"***","mechanisms":["SCRAM-SHA-256"],"writeConcern":{"w":"majority"}}"#
        ]
    );
    assert_eq!(
        plan.set_password[0].statement.password_form(),
        Some(&PasswordForm::Clear)
    );
}

#[test]
fn unreported_mechanisms_are_not_set() {
    let mut old = user("app", &[]);
    old.mechanisms = None;
    let plan = plan(&facts(Some(old), None), &pair());
    for change in plan.differences.iter().chain(&plan.set_password) {
        assert!(!change.statement.to_string().contains("mechanisms"));
    }
}

#[test]
fn differing_roles_are_granted_and_revoked() {
    let active = user("app", &[("readWrite", "shop"), ("clerk", "admin")]);
    let standby = user("app_clone", &[("readWrite", "shop"), ("read", "shop")]);
    let differ = plan(&facts(Some(active.clone()), Some(standby)), &pair());
    assert_eq!(
        shown(&differ.differences),
        [
            r#"{"grantRolesToUser":"app_clone","roles":[{"role":"clerk","db":"admin"}],"writeConcern":{"w":"majority"}}"#,
            r#"{"revokeRolesFromUser":"app_clone","roles":[{"role":"read","db":"shop"}],"writeConcern":{"w":"majority"}}"#,
        ]
    );
    let kinds: Vec<ChangeKind> = differ.differences.iter().map(|c| c.kind).collect();
    assert_eq!(kinds, [ChangeKind::Grant, ChangeKind::Revoke]);
    let twin = User {
        name: "app_clone".into(),
        ..active.clone()
    };
    let equal = plan(&facts(Some(active), Some(twin)), &pair());
    assert_eq!(equal.differences, []);
    assert_eq!(equal.holds_password, None);
}

#[test]
fn authentication_restrictions_are_set_and_removed() {
    let restricted = User {
        restrictions: vec![json!({"clientSource": ["10.0.0.0/8"]})],
        ..user("app_clone", &[])
    };
    let free = plan(
        &facts(Some(user("app", &[])), Some(restricted.clone())),
        &pair(),
    );
    assert_eq!(
        shown(&free.differences),
        [
            r#"{"updateUser":"app_clone","authenticationRestrictions":[],"writeConcern":{"w":"majority"}}"#
        ]
    );
    let active = User {
        name: "app".into(),
        ..restricted
    };
    let bound = plan(&facts(Some(active), Some(user("app_clone", &[]))), &pair());
    assert!(shown(&bound.differences)[0].contains("10.0.0.0/8"));
}

#[test]
fn other_mechanisms_mean_that_the_password_is_not_held() {
    let mut both = user("app", &[]);
    both.mechanisms = Some(["SCRAM-SHA-1", "SCRAM-SHA-256"].map(String::from).into());
    let plan = plan(&facts(Some(both), Some(user("app_clone", &[]))), &pair());
    assert_eq!(plan.differences, []);
    assert_eq!(plan.holds_password, Some(false));
    let why = &plan.set_password[0].why;
    let expected =
        "the standby has the mechanisms SCRAM-SHA-256, the active user SCRAM-SHA-1, SCRAM-SHA-256";
    assert!(why.contains(expected), "{why}");
}

#[test]
fn every_change_affects_the_standby() {
    let active = User {
        restrictions: vec![json!({})],
        custom_data: Some(json!({"a": 1})),
        ..user("app", &[("read", "shop")])
    };
    let standby = user("app_clone", &[("readWrite", "shop")]);
    for standby in [None, Some(standby)] {
        let plan = plan(&facts(Some(active.clone()), standby), &pair());
        assert!(!plan.differences.is_empty());
        for change in plan.differences.iter().chain(&plan.set_password) {
            let command: Json = serde_json::from_str(&change.statement.to_string()).unwrap();
            let verb = command.as_object().unwrap().values().next();
            assert_eq!(verb, Some(&json!("app_clone")), "{}", change.statement);
        }
    }
}

#[test]
fn superusers_and_the_servers_own_user_are_refused() {
    for (name, role) in [
        ("app", ("root", "admin")),
        ("app", ("userAdminAnyDatabase", "admin")),
        ("app", ("userAdmin", "admin")),
        ("app", ("dbOwner", "admin")),
        ("app", ("restore", "admin")),
        ("serviceadmin", ("readWrite", "shop")),
        ("boss", ("readWrite", "shop")),
    ] {
        let pair = Pair::of(name, "_clone");
        let plan = plan(&facts(Some(user(name, &[role])), None), &pair);
        assert_eq!(errors(&plan).len(), 1, "{name} {role:?}");
    }
    let owner = user("app", &[("dbOwner", "shop"), ("userAdmin", "shop")]);
    let plan = plan(&facts(Some(owner), None), &pair());
    assert_eq!(errors(&plan), Vec::<&Finding>::new());
}

#[test]
fn an_iam_user_is_refused() {
    let mut iam = user("app", &[]);
    iam.mechanisms = Some(BTreeSet::from(["MONGODB-AWS".to_owned()]));
    let plan = plan(&facts(Some(iam), None), &pair());
    assert!(errors(&plan)[0].what.contains("MONGODB-AWS"));
}

#[test]
fn broad_roles_are_a_warning_and_duplicates_an_error() {
    let broad = user("app", &[("readWriteAnyDatabase", "admin")]);
    let mut facts = facts(Some(broad), None);
    let warned = plan(&facts, &pair());
    assert_eq!(errors(&warned), Vec::<&Finding>::new());
    assert!(
        warned
            .findings
            .iter()
            .any(|f| f.severity == Severity::Warning)
    );
    facts.duplicates.push(User {
        auth_database: "shop".into(),
        ..user("app_clone", &[])
    });
    let refused = plan(&facts, &pair());
    assert!(errors(&refused)[0].what.contains("\"shop\""));
    for role in ["backup", "clusterManager"] {
        let broad = user("app", &[(role, "admin")]);
        let warned = plan(&self::facts(Some(broad), None), &pair());
        assert!(warned.findings.iter().any(|f| f.what.contains(role)));
    }
}

#[test]
fn nothing_is_planned_if_the_master_may_not_read_users() {
    let mut facts = facts(None, None);
    facts.users = None;
    facts.master.privileges = Privileges::OfRoles(roles_of(&[("readWrite", "twinkey")]));
    let plan = plan(&facts, &pair());
    assert_eq!(plan.differences, []);
    assert_eq!(plan.findings, []);
    assert_eq!(plan.missing.len(), 1);
    assert_eq!(plan.missing[0].code, Some(Code::PrivilegesMissing));
    assert_eq!(
        plan.missing[0].fix.as_deref(),
        Some(
            r#"db.getSiblingDB("admin").runCommand({"grantRolesToUser":"boss","roles":[{"role":"userAdminAnyDatabase","db":"admin"}],"writeConcern":{"w":"majority"}})"#
        ),
        "the roles of the pair may be of any database"
    );
}

#[test]
fn a_missing_role_names_each_database_that_needs_it() {
    let active = user("app", &[("read", "shop"), ("read", "stock")]);
    let mut facts = facts(Some(active), None);
    facts.master.privileges = Privileges::OfRoles(roles_of(&[("readWrite", "twinkey")]));
    facts.master.has_user_admin = Some(false);
    let plan = plan(&facts, &pair());
    let what: Vec<&str> = plan.missing.iter().map(|finding| &*finding.what).collect();
    assert_eq!(
        what,
        [
            r#"the master "boss" may not changePassword, createUser, grantRole, viewUser in the databases "admin", "shop", "stock""#
        ]
    );
}

#[test]
fn unsupported_features_are_findings_with_the_version() {
    let mut facts = facts(Some(user("app", &[])), None);
    facts.unsupported = BTreeSet::from([Unsupported::Restrictions]);
    facts.sessions = Some(SessionReport::Unsupported);
    let plan = plan(&facts, &pair());
    let named = |word: &str| {
        plan.findings
            .iter()
            .any(|f| f.what.contains("5.0.0") && f.what.contains(word))
    };
    assert!(named("showAuthenticationRestrictions") && named("currentOp"));
}

#[test]
fn a_password_sent_in_clear_is_a_warning() {
    let mut facts = facts(Some(user("app", &[])), None);
    let warns = |facts: &Facts| {
        let plan = plan(facts, &pair());
        plan.findings.iter().any(|f| f.what.contains("in clear"))
    };
    assert!(!warns(&facts));
    facts.master.plain_text = true;
    assert!(warns(&facts));
}
