use std::collections::BTreeSet;

use secrecy::SecretString;

use super::super::dialect::Dialect;
use super::super::grants::{Account, Grants};
use super::super::inspect::account::MariadbRow;
use super::super::inspect::facts::fixture;
use super::super::parse;
use super::*;
use twinkey_core::secret::verifier;

/// An account of the user, with the stored form of a primary password.
fn account(host: &str, primary: &str, has_second: bool) -> User {
    let stored = verifier::mysql_native(&SecretString::from(primary));
    let stored = secrecy::ExposeSecret::expose_secret(&stored).to_owned();
    let row = format!(r#"{{"plugin":"mysql_native_password","authentication_string":"{stored}"}}"#);
    let row: MariadbRow = serde_json::from_str(&row).unwrap();
    let mut definition = row.definition();
    definition.second_password = has_second;
    User {
        account: Account::new("app", host),
        definition,
        grants: Grants::default(),
        default_roles: BTreeSet::new(),
    }
}

fn facts(version: &str, active: Vec<User>) -> Facts {
    let mut facts = Facts {
        dialect: Dialect::of(version).unwrap(),
        active,
        ..fixture::facts()
    };
    let mut grants = Grants::default();
    let line = "GRANT SELECT, CREATE USER ON *.* TO `master`@`%`";
    parse::line(line, &mut grants).unwrap();
    facts.master.grants = grants;
    facts
}

fn planned(facts: &Facts) -> UserInspection {
    let [current, pending] = ["current", "pending"].map(SecretString::from);
    plan(
        facts,
        &UserRequest {
            user: "app",
            current: &current,
            pending: Some(&pending),
        },
    )
}

fn texts(changes: &[Change]) -> Vec<String> {
    changes.iter().map(|c| c.statement.to_string()).collect()
}

const MYSQL: &str = "8.4.3";
const MARIADB: &str = "10.11.19-MariaDB";

#[test]
fn mysql_retains_the_replaced_password() {
    let plan = planned(&facts(MYSQL, vec![account("%", "current", false)]));
    assert_eq!(plan.change, PasswordChange::Retains);
    assert_eq!(
        texts(&plan.set_password),
        [
            "ALTER USER `app`@`%` IDENTIFIED WITH 'mysql_native_password' AS '***' RETAIN CURRENT PASSWORD"
        ]
    );
    assert_eq!((plan.restore_current, plan.discard), (vec![], vec![]));
    assert_eq!((plan.findings, plan.missing), (vec![], vec![]));
    assert_eq!(plan.holds_password, Some(false));
}

#[test]
fn mariadb_replaces_it() {
    let plan = planned(&facts(MARIADB, vec![account("%", "current", false)]));
    assert_eq!(plan.change, PasswordChange::Replaces);
    assert_eq!(
        texts(&plan.set_password),
        ["ALTER USER `app`@`%` IDENTIFIED VIA `mysql_native_password` USING '***'"]
    );
}

#[test]
fn an_account_with_the_pending_password_is_left_out() {
    let accounts = vec![
        account("%", "pending", true),
        account("10.%", "current", false),
    ];
    let plan = planned(&facts(MYSQL, accounts));
    assert_eq!(plan.change, PasswordChange::Retains);
    let changed = texts(&plan.set_password);
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert!(changed[0].contains("`app`@`10.%`"), "{changed:?}");
    assert_eq!(plan.holds_password, Some(false));
    let all = planned(&facts(MYSQL, vec![account("%", "pending", true)]));
    assert_eq!((all.set_password, all.holds_password), (vec![], Some(true)));
    assert_eq!(all.discard, vec![], "it may be AWSCURRENT's");
}

#[test]
fn a_secondary_awscurrent_is_made_the_primary_one() {
    let plan = planned(&facts(MYSQL, vec![account("%", "rolled back", true)]));
    assert_eq!(plan.change, PasswordChange::RetainsOther);
    assert_eq!(texts(&plan.restore_current), texts(&plan.set_password));
    assert_eq!(plan.discard, vec![]);
    let restored = planned(&facts(MYSQL, vec![account("%", "current", true)]));
    assert_eq!(restored.change, PasswordChange::Retains);
    assert_eq!(
        texts(&restored.discard),
        ["ALTER USER `app`@`%` DISCARD OLD PASSWORD"]
    );
}

#[test]
fn an_account_of_another_consumer_is_reported() {
    let with = |other: &str| {
        let accounts = vec![
            account("%", "current", false),
            account("10.%", other, false),
        ];
        planned(&facts(MARIADB, accounts)).findings
    };
    assert_eq!(with("pending"), vec![], "an interrupted run set it");
    let found = with("another");
    assert_eq!(found[0].code, Some(Code::AccountDiffers), "{found:?}");
}
