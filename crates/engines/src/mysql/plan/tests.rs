use std::collections::BTreeSet;

use secrecy::SecretString;

use super::super::grants::Grants;
use super::super::inspect::account::{MariadbRow, MysqlRow};
use super::super::inspect::facts::{Definer, Table, fixture};
use super::super::parse;
use super::*;
use crate::{Finding, Severity};
use twinkey_core::code::Code;

/// Hashes of "right" and of another password, from `SELECT PASSWORD('…')` on MariaDB 10.11.
const RIGHT: &str = "*920018161824B14A1067A69626595E68CB8284CB";
const WRONG: &str = "*0C908AD93F67C171AD1942A253AEE176ABB70AC2";
/// Of AWSPREVIOUS.
const OLD: &str = "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19";

fn grants(lines: &[&str]) -> Grants {
    let mut grants = Grants::default();
    for line in lines {
        parse::line(line, &mut grants).unwrap();
    }
    grants
}

fn user(name: &str, host: &str, row: &str, lines: &[&str]) -> User {
    let row: MariadbRow = serde_json::from_str(row).unwrap();
    User {
        account: Account::new(name, host),
        definition: row.definition(),
        grants: grants(lines),
        default_roles: BTreeSet::new(),
    }
}

fn native(stored: &str, more: &str) -> String {
    format!(r#"{{"plugin":"mysql_native_password","authentication_string":"{stored}"{more}}}"#)
}

fn facts(active: Vec<User>, standby: Vec<User>) -> Facts {
    let mut facts = Facts {
        active,
        standby,
        ..fixture::facts()
    };
    facts.master.grants = grants(&[
        "GRANT SELECT, INSERT, PROCESS, CREATE USER ON *.* TO `master`@`%` WITH GRANT OPTION",
    ]);
    facts
}

fn planned(facts: &Facts) -> Inspection {
    let right = SecretString::from("right");
    let passwords = Passwords {
        current: None,
        pending: Some(&right),
    };
    plan(facts, &Pair::of("app", "_clone"), passwords)
}

fn texts(changes: &[Change]) -> Vec<String> {
    changes.iter().map(|c| c.statement.to_string()).collect()
}

fn errors(inspection: &Inspection) -> Vec<&str> {
    let errors = inspection
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error);
    errors.map(|finding| finding.what.as_str()).collect()
}

#[test]
fn every_account_has_a_twin_which_gets_its_password_last() {
    let facts = facts(
        vec![
            user(
                "app",
                "%",
                &native(RIGHT, r#","ssl_type":1"#),
                &["GRANT SELECT ON `s`.* TO `app`@`%`"],
            ),
            user(
                "app",
                "10.%",
                &native(RIGHT, r#","account_locked":true"#),
                &[],
            ),
        ],
        vec![],
    );
    let inspection = planned(&facts);
    assert!(!inspection.standby_exists);
    assert_eq!(
        texts(&inspection.differences),
        [
            "CREATE USER `app_clone`@`%` IDENTIFIED VIA mysql_native_password USING 'invalid' REQUIRE SSL ACCOUNT LOCK",
            "GRANT SELECT ON `s`.* TO `app_clone`@`%`",
            "CREATE USER `app_clone`@`10.%` IDENTIFIED VIA mysql_native_password USING 'invalid' ACCOUNT LOCK",
        ]
    );
    assert_eq!(
        texts(&inspection.set_password),
        [
            "ALTER USER `app_clone`@`%` IDENTIFIED VIA `mysql_native_password` USING '***' ACCOUNT UNLOCK",
            // The active user's account is locked, and so is its twin.
            "ALTER USER `app_clone`@`10.%` IDENTIFIED VIA `mysql_native_password` USING '***'",
        ]
    );
    assert_eq!(inspection.missing, []);
}

#[test]
fn every_account_must_hold_the_password_unlocked() {
    let active = || {
        ["%", "10.%"]
            .map(|host| user("app", host, &native(WRONG, ""), &[]))
            .to_vec()
    };
    let holds = |first: String, second: Option<String>| {
        let mut standby = vec![user("app_clone", "%", &first, &[])];
        standby.extend(second.map(|row| user("app_clone", "10.%", &row, &[])));
        planned(&facts(active(), standby)).holds_password
    };
    let right = || native(RIGHT, "");
    assert_eq!(holds(right(), Some(right())), Some(true));
    assert_eq!(holds(right(), Some(native(WRONG, ""))), Some(false));
    assert_eq!(holds(right(), None), Some(false));
    let locked = native(RIGHT, r#","account_locked":true"#);
    assert_eq!(holds(right(), Some(locked)), Some(false));
    let other_plugin = right().replace("mysql_native_password", "ed25519");
    assert_eq!(holds(right(), Some(other_plugin)), Some(false));
}

#[test]
fn only_settings_that_differ_are_changed() {
    let active = native(
        RIGHT,
        r#","max_questions":9,"password_lifetime":90,"ssl_type":3,"x509_subject":"/CN=it's""#,
    );
    let standby = native(
        RIGHT,
        r#","max_questions":9,"max_user_connections":7,"max_statement_time":1.5"#,
    );
    let facts = facts(
        vec![user("app", "%", &active, &[])],
        vec![user("app_clone", "%", &standby, &[])],
    );
    assert_eq!(
        texts(&planned(&facts).differences),
        [
            "ALTER USER `app_clone`@`%` REQUIRE SUBJECT '/CN=it''s' WITH MAX_STATEMENT_TIME 0 MAX_USER_CONNECTIONS 0 PASSWORD EXPIRE INTERVAL 90 DAY"
        ]
    );
}

#[test]
fn a_surplus_account_is_dropped_unless_it_is_a_definer() {
    let row = native(RIGHT, "");
    let mut facts = facts(
        vec![user("app", "%", &row, &[])],
        vec![
            user("app_clone", "%", &row, &[]),
            user("app_clone", "h", &row, &[]),
        ],
    );
    let inspection = planned(&facts);
    assert_eq!(
        texts(&inspection.differences),
        ["DROP USER `app_clone`@`h`"]
    );
    assert_eq!(errors(&inspection), [""; 0]);
    facts.definers.push(Definer {
        object: "view s.v".into(),
        user: "app_clone".into(),
        host: "h".into(),
    });
    let inspection = planned(&facts);
    assert_eq!(texts(&inspection.differences), [""; 0]);
    assert!(errors(&inspection)[0].contains("cannot be dropped"));
    let what: Vec<&str> = inspection
        .findings
        .iter()
        .map(|f| f.what.as_str())
        .collect();
    assert!(
        what.iter().any(|what| what.contains("DEFINER of view s.v")),
        "{what:?}"
    );
}

/// The planned changes and errors, with "right" as AWSCURRENT and nothing pending.
fn planned_now(facts: &Facts) -> Inspection {
    let right = SecretString::from("right");
    let passwords = Passwords {
        current: Some(&right),
        pending: None,
    };
    plan(facts, &Pair::of("app", "_clone"), passwords)
}

fn differing(inspection: &Inspection) -> Vec<&str> {
    let is_such = |f: &&Finding| f.code == Some(Code::AccountDiffers);
    let findings = inspection.findings.iter().filter(is_such);
    findings
        .filter_map(|finding| finding.fix.as_deref())
        .collect()
}

#[test]
fn an_account_with_another_password_is_refused_until_it_is_left_out() {
    let active = vec![
        user("app", "%", &native(RIGHT, ""), &[]),
        user("app", "localhost", &native(WRONG, ""), &[]),
    ];
    let refused = planned_now(&facts(active.clone(), vec![]));
    assert_eq!(
        differing(&refused),
        [
            "set accounts = [\"%\"] in the rotation if only these accounts belong to the pair; else give all of them the password in AWSCURRENT"
        ]
    );
    // The config says that both belong to the pair.
    let mut both = facts(active.clone(), vec![]);
    both.listed = Some(vec!["%".into(), "LOCALHOST".into()]);
    assert_eq!(planned_now(&both).findings, []);
    let mut few = facts(active[..1].to_vec(), vec![]);
    few.listed = Some(vec!["%".into(), "10.%".into()]);
    let found = planned_now(&few).findings;
    assert!(found[0].what.contains("\"10.%\", at which"), "{found:?}");
    assert_eq!(found[0].severity, Severity::Warning);
    few.active.clear();
    assert_eq!(errors(&planned_now(&few)).len(), 2);
    // The sign-in with AWSCURRENT proves the only account.
    let one = facts(active[1..].to_vec(), vec![]);
    assert_eq!(differing(&planned_now(&one)), [""; 0]);
}

/// The codes and fixes with only `accounts` listed, for a worker at this address.
fn left_out(active: &[&str], standby: &[&str], worker: &str, listed: &[&str]) -> Vec<String> {
    let hosts = |all: &[&str]| all.iter().map(|&host| host.to_owned()).collect::<Vec<_>>();
    let users = |name: &str, all: &[&str]| {
        let listed = all.iter().filter(|host| listed.contains(host));
        listed
            .map(|host| user(name, host, &native(RIGHT, ""), &[]))
            .collect()
    };
    let mut facts = facts(users("app", active), users("app_clone", standby));
    facts.active_hosts = hosts(active);
    facts.standby_hosts = hosts(standby);
    facts.master.client = worker.to_owned();
    facts.listed = Some(hosts(listed));
    let findings = planned_now(&facts).findings.into_iter();
    findings
        .filter(|finding| finding.code == Some(Code::PendingSigninFailed))
        .map(|finding| finding.fix.unwrap())
        .collect()
}

#[test]
fn accounts_must_list_those_that_the_worker_signs_in_with() {
    let found = left_out(&["%", "10.%"], &["%"], "10.0.0.7", &["%"]);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("add \"10.%\" to accounts"),
        "{found:?}"
    );
    assert!(!found[0].contains("DROP USER"), "{found:?}");
    let found = left_out(&["%"], &["%", "10.%"], "10.0.0.7", &["%"]);
    assert!(
        found[0].ends_with("or DROP USER `app_clone`@`10.%` if nothing uses it"),
        "{found:?}"
    );
    let both = left_out(&["%", "localhost"], &["%", "127.%"], "localhost", &["%"]);
    assert_eq!(both.len(), 2);
    for (active, worker, listed) in [
        (["%", "10.%"], "10.0.0.7", ["%", "10.%"]),
        (["%", "10.%"], "10.1.0.7", ["%", "10.%"]),
        (["%", "192.168.%"], "10.0.0.7", ["%", "%"]),
        // The server may select either of them.
        (["127.0.0.1", "localhost"], "localhost", ["127.0.0.1", "%"]),
        // The address of a client with a name is not known.
        (["10.0.0.7", "%.internal"], "w.internal", ["10.0.0.7", "%"]),
    ] {
        assert_eq!(
            left_out(&active, &[], worker, &listed),
            [""; 0],
            "{active:?}"
        );
    }
}

#[test]
fn an_account_of_another_consumer_is_neither_dropped_nor_locked() {
    let active = || vec![user("app", "%", &native(RIGHT, ""), &[])];
    let standby = |stored: &str| {
        vec![
            user("app_clone", "%", &native(OLD, ""), &[]),
            user("app_clone", "h", &native(stored, ""), &[]),
        ]
    };
    for of_pair in [OLD, RIGHT, "", "invalid"] {
        let inspection = planned_now(&facts(active(), standby(of_pair)));
        assert_eq!(
            texts(&inspection.differences),
            ["DROP USER `app_clone`@`h`"],
            "{of_pair}"
        );
        assert_eq!(
            (differing(&inspection).len(), inspection.retire.len()),
            (0, 2)
        );
    }
    let mut facts = facts(active(), standby(WRONG));
    let inspection = planned_now(&facts);
    assert_eq!(texts(&inspection.differences), [""; 0]);
    assert_eq!(
        texts(&inspection.retire),
        ["ALTER USER `app_clone`@`%` ACCOUNT LOCK"]
    );
    let fixes = differing(&inspection);
    assert!(fixes[0].ends_with("DROP USER `app_clone`@`h`"), "{fixes:?}");
    facts.listed = Some(vec!["%".into(), "h".into()]);
    let listed = planned_now(&facts);
    assert_eq!(texts(&listed.differences), ["DROP USER `app_clone`@`h`"]);
}

#[test]
fn users_of_no_application_are_refused() {
    let row = native(RIGHT, "");
    let of = |user: User| errors(&planned(&facts(vec![user], vec![]))).join("\n");
    assert!(of(user("app", "%", &row, &["GRANT SUPER ON *.* TO `app`@`%`"])).contains("has SUPER"));
    assert!(
        of(user(
            "app",
            "%",
            &row,
            &["GRANT ALL PRIVILEGES ON *.* TO `app`@`%`"]
        ))
        .contains("has SUPER or ALL")
    );
    assert!(of(user("master", "%", &row, &[])).contains("is the master itself"));
    let socket = row.replace("mysql_native_password", "unix_socket");
    assert!(of(user("app", "%", &socket, &[])).contains("unix_socket"));
    let two = native(RIGHT, r#","auth_or":[{}]"#);
    assert!(of(user("app", "%", &two, &[])).contains("more than one"));
    assert!(errors(&planned(&facts(vec![], vec![])))[0].contains("does not exist"));
}

#[test]
fn a_missing_column_is_left_out_and_a_missing_table_is_not() {
    let lines = [
        "GRANT SELECT ON `s`.`gone` TO `app`@`%`",
        "GRANT SELECT (`a`, `gone`), INSERT ON `s`.`t` TO `app`@`%`",
        "GRANT SELECT ON `hidden`.`t` TO `app`@`%`",
    ];
    let mut facts = facts(vec![user("app", "%", &native(RIGHT, ""), &lines)], vec![]);
    facts.existing.schemas.insert("s".into());
    let table = Table {
        columns: ["a".to_owned()].into(),
        ..Table::default()
    };
    let name = ("s".into(), "t".into());
    facts.existing.tables.insert(name, table);
    let inspection = planned(&facts);
    assert_eq!(
        texts(&inspection.differences)[1..],
        [
            // That schema was not read, so its tables may exist.
            "GRANT SELECT ON `hidden`.`t` TO `app_clone`@`%`",
            // The server takes it only together with CREATE.
            "GRANT CREATE, SELECT ON `s`.`gone` TO `app_clone`@`%`",
            "REVOKE CREATE ON `s`.`gone` FROM `app_clone`@`%`",
            "GRANT INSERT, SELECT (`a`) ON `s`.`t` TO `app_clone`@`%`",
        ]
    );
    assert_eq!(errors(&inspection), [""; 0]);
    let lacks: Vec<&str> = inspection.missing.iter().map(|f| f.what.as_str()).collect();
    assert!(
        lacks[0].contains("may not grant or revoke CREATE on `s`.`gone`"),
        "{lacks:?}"
    );
    let reported = inspection
        .findings
        .iter()
        .filter(|f| f.what.contains("does not exist"));
    assert_eq!(reported.count(), 2);
}

#[test]
fn a_grant_that_cannot_be_copied_stops_the_run() {
    let lines = ["GRANT INSERT (`a`) ON `s`.`gone` TO `app`@`%`"];
    let mut facts = facts(vec![user("app", "%", &native(RIGHT, ""), &lines)], vec![]);
    facts.existing.schemas.insert("s".into());
    let inspection = planned(&facts);
    let refused: Vec<(Option<Code>, &str)> = inspection
        .findings
        .iter()
        .filter_map(|finding| Some((finding.code, finding.fix.as_deref()?)))
        .collect();
    let fix = "create `s`.`gone` again, or REVOKE INSERT (`a`) ON `s`.`gone` FROM `app`@`%`";
    assert_eq!(refused, [(Some(Code::PrivilegesDiffer), fix)]);
    assert!(errors(&inspection)[0].contains("does not exist"));
}

#[test]
fn missing_privileges_are_one_statement_an_object() {
    let lines = [
        "GRANT UPDATE, DELETE ON `s`.* TO `app`@`%`",
        "GRANT `r` TO `app`@`%`",
    ];
    let mut facts = facts(vec![user("app", "%", &native(RIGHT, ""), &lines)], vec![]);
    facts.hashes_refused = true;
    let missing = planned(&facts).missing;
    let fixes: Vec<&str> = missing.iter().filter_map(|f| f.fix.as_deref()).collect();
    assert_eq!(
        fixes,
        [
            "GRANT `r` TO `master`@`%` WITH ADMIN OPTION",
            "GRANT DELETE, UPDATE ON `s`.* TO `master`@`%` WITH GRANT OPTION",
            "SET GLOBAL strict_password_validation = OFF",
        ]
    );
    assert!(
        missing
            .iter()
            .all(|f| f.code == Some(Code::PrivilegesMissing))
    );
    facts.readable = false;
    facts.active.clear();
    let unreadable = planned(&facts);
    assert_eq!(unreadable.missing.len(), 1);
    assert!(unreadable.findings.is_empty() && unreadable.differences.is_empty());
}

#[test]
fn mysqls_settings_and_default_roles_are_copied() {
    let of = |name: &str, row: &str, roles: &[&str]| {
        let row: MysqlRow = serde_json::from_str(row).unwrap();
        User {
            account: Account::new(name, "%"),
            definition: row.definition(),
            grants: Grants::default(),
            default_roles: roles.iter().map(|role| Account::new(role, "%")).collect(),
        }
    };
    let active = r#"{"plugin":"caching_sha2_password","history":3,"require_current":"N","attributes":{
        "metadata":{"comment":"it's","deep":{"a":1}},"Password_locking":{"failed_login_attempts":3,"password_lock_time_days":-1}}}"#;
    let standby = r#"{"plugin":"caching_sha2_password","attributes":{
        "metadata":{"deep":{"a":1,"b":2},"mine":true},"additional_password":"old"}}"#;
    let mut facts = facts(
        vec![of("app", active, &["r1", "r2"])],
        vec![of("app_clone", standby, &["r1"])],
    );
    facts.dialect = Dialect::of("9.7.4").unwrap();
    let inspection = planned(&facts);
    assert_eq!(
        texts(&inspection.differences),
        [
            "ALTER USER `app_clone`@`%` FAILED_LOGIN_ATTEMPTS 3 PASSWORD HISTORY 3 PASSWORD REQUIRE CURRENT OPTIONAL PASSWORD_LOCK_TIME UNBOUNDED ATTRIBUTE '{\"comment\":\"it''s\",\"deep\":{\"b\":null},\"mine\":null}'",
            "ALTER USER `app_clone`@`%` DISCARD OLD PASSWORD",
            "ALTER USER `app_clone`@`%` DEFAULT ROLE `r1`@`%`, `r2`@`%`",
        ]
    );
    assert_eq!(
        texts(&inspection.set_password),
        [
            "ALTER USER `app_clone`@`%` IDENTIFIED WITH 'caching_sha2_password' AS *** ACCOUNT UNLOCK"
        ]
    );
}

#[test]
fn no_stored_form_of_a_password_shows_in_debug_output() {
    let user = user("app", "%", &native(RIGHT, ""), &[]);
    assert!(!format!("{user:?}").contains(&RIGHT[1..9]));
}

#[test]
fn a_new_account_has_the_method_of_the_active_one() {
    for (version, plugin, created) in [
        (
            "8.0.36",
            "mysql_native_password",
            "WITH 'mysql_native_password' AS '*THISISNOTAVALIDPASSWORDTHATCANBEUSEDHERE'",
        ),
        (
            "9.7.4",
            "caching_sha2_password",
            "WITH 'caching_sha2_password' AS '$A$005$THISISACOMBINATION",
        ),
        (
            "10.11.19-MariaDB",
            "ed25519",
            "VIA mysql_native_password USING 'invalid'",
        ),
    ] {
        let dialect = Dialect::of(version).unwrap();
        let row: MysqlRow = serde_json::from_str(&format!(r#"{{"plugin":"{plugin}"}}"#)).unwrap();
        let active = User {
            account: Account::new("app", "%"),
            definition: row.definition(),
            grants: Grants::default(),
            default_roles: Default::default(),
        };
        let step = create(&dialect, &Account::new("app_clone", "%"), &active);
        assert!(step.text.contains(created), "{}", step.text);
        let hash = no_password(&dialect, plugin).1;
        assert!(is_no_password(&dialect, hash.as_bytes()));
    }
    let mysql = Dialect::of("9.7.4").unwrap();
    assert!(!is_no_password(&mysql, b"*0123"));
}
