//! Refused rotations on MariaDB.

use serde_json::json;
use twinkey_stores::stage;

use super::fixture::MariadbFixture;
use crate::engines::pair::pair_tests;
use crate::faults::failures::{is_refused, with};
use twinkey_testkit::environment::mariadb::MariadbEnvironment;
use twinkey_testkit::environment::{FIRST, SECRET, Setup};

pair_tests!(
    MariadbFixture:
    a_wrong_password_has_its_own_code_for_each_user
    a_missing_privilege_is_reported_with_its_statement
    a_stopped_server_is_unreachable
    sessions_of_the_standby_stop_a_manual_run
    the_master_and_superusers_are_not_rotated
);

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_sign_in_has_the_cause_that_the_master_sees() {
    let env = MariadbEnvironment::on_mariadb(Setup::default()).await;
    let again = format!("ALTER USER app@'%' IDENTIFIED BY '{FIRST}'");
    for (change, undo, cause, fix) in [
        (
            "ALTER USER app@'%' ACCOUNT LOCK",
            "ALTER USER app@'%' ACCOUNT UNLOCK",
            "`app`@`%` is locked",
            "ALTER USER `app`@`%` ACCOUNT UNLOCK",
        ),
        (
            "ALTER USER app@'%' PASSWORD EXPIRE",
            again.as_str(),
            "an administrator expired the password of `app`@`%`",
            "ALTER USER `app`@`%` IDENTIFIED BY",
        ),
        (
            "ALTER USER app@'%' REQUIRE SSL",
            "ALTER USER app@'%' REQUIRE NONE",
            "`app`@`%` requires TLS, and tls.mode is \"disable\"",
            "set tls.mode = \"verify-full\"",
        ),
        (
            "ALTER USER app@'%' REQUIRE X509",
            "ALTER USER app@'%' REQUIRE NONE",
            "`app`@`%` requires a client certificate (X509)",
            "ALTER USER `app`@`%` REQUIRE SSL",
        ),
        (
            "RENAME USER app@'%' TO app@'192.168.%'",
            "RENAME USER app@'192.168.%' TO app@'%'",
            "no account of \"app\" matches the worker's address",
            "create the account `app`@`localhost`",
        ),
        (
            "ALTER USER app@'%' IDENTIFIED BY 'Another-0123456789'",
            again.as_str(),
            "`app`@`%` does not hold the password in AWSCURRENT",
            "store its current password in the secret",
        ),
    ] {
        env.sql(&[change]).await;
        let said = is_refused(&env, "current_signin_failed").await;
        assert!(
            said.contains(cause) && said.contains(fix),
            "{change}: {said}"
        );
        env.sql(&[undo]).await;
    }
    env.run_ok(&["rotate", "shop"]).await;

    // Only the standby requires TLS, so no version of the secret signs in as it.
    env.run_ok(&["rotate", "shop"]).await;
    env.sql(&["ALTER USER app_clone@'%' REQUIRE SSL"]).await;
    let said = is_refused(&env, "tls_failed").await;
    let cause = "`app_clone`@`%` requires TLS, and tls.mode is \"disable\"";
    let fix = "ALTER USER `app_clone`@`%` REQUIRE NONE";
    assert!(said.contains(cause) && said.contains(fix), "{said}");
    env.sql(&[fix]).await;
    env.run_ok(&["rotate", "shop"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_limit_and_database_has_its_own_sentence() {
    let env = MariadbEnvironment::on_mariadb(Setup::default()).await;
    let (current, _) = env.read(stage::CURRENT).await;
    env.sql(&["ALTER USER app@'%' WITH MAX_USER_CONNECTIONS 1"])
        .await;
    let session = env.signed_in(stage::CURRENT).await;
    let said = is_refused(&env, "db_unreachable").await;
    let parts = [
        "accepts no sign-in of \"app\" now",
        "close connections of \"app\"",
    ];
    assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    drop(session);
    env.sql(&["ALTER USER app@'%' WITH MAX_USER_CONNECTIONS 0"])
        .await;
    env.put(SECRET, &with(current, "dbname", json!("absent")))
        .await;
    // The server does not say that it is missing to a user without a privilege on it.
    let said = is_refused(&env, "db_refused").await;
    let fix = "create that database if it is missing, or grant \"app\" a privilege on it";
    assert!(said.contains(fix), "{said}");
    env.sql(&["GRANT SELECT ON absent.* TO app@'%'"]).await;
    let said = is_refused(&env, "db_refused").await;
    assert!(said.contains("Unknown database 'absent'"), "{said}");
    assert!(said.contains("create that database, or correct"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_refused_by_default() {
    let env = MariadbEnvironment::on_mariadb(Setup {
        rotation: "tls = { mode = \"verify-full\" }".into(),
        ..Setup::default()
    })
    .await;
    is_refused(&env, "tls_failed").await;
}
