//! What the active user may, its twin may after the next run; and no statement more than that
//! takes.

use serde_json::Value as Json;
use twinkey_stores::stage;

use super::{assert_pair_is_equal, with_three_accounts};
use crate::faults::failures::is_refused;
use twinkey_testkit::environment::Setup;
use twinkey_testkit::environment::mariadb::{MariadbEnvironment, accounts};

async fn active(env: &MariadbEnvironment) -> String {
    let (current, _) = env.read(stage::CURRENT).await;
    current["username"].as_str().unwrap().to_owned()
}

async fn planned(env: &MariadbEnvironment) -> Vec<String> {
    let plan: Json = serde_json::from_str(&env.run_ok(&["plan", "shop", "--json"]).await).unwrap();
    let changes = plan["changes"].as_array().unwrap();
    changes
        .iter()
        .map(|change| {
            assert!(!change["why"].as_str().unwrap().is_empty(), "{change}");
            change["statement"].as_str().unwrap().to_owned()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_changes_on_the_active_user_is_equal_on_the_pair_after_the_next_run() {
    let env = MariadbEnvironment::on_mariadb(Setup::default()).await;
    env.run_ok(&["rotate", "shop"]).await;
    for (change, shows) in [
        (
            "GRANT UPDATE, DELETE ON shop.orders TO",
            "SELECT, INSERT, CREATE ON `shop`.*",
        ),
        (
            "GRANT UPDATE ON shop.orders TO {user} WITH GRANT OPTION --",
            "WITH GRANT OPTION",
        ),
        (
            "REVOKE DELETE ON shop.orders FROM",
            "GRANT UPDATE ON `shop`.`orders`",
        ),
        (
            "REVOKE GRANT OPTION ON shop.orders FROM",
            "GRANT UPDATE ON `shop`.`orders`",
        ),
        ("REVOKE UPDATE ON shop.orders FROM", "GRANT USAGE ON *.*"),
    ] {
        let user = format!("`{}`@'%'", active(&env).await);
        let before = accounts(&env, "app").await;
        let statement = if change.contains("{user}") {
            change.replace("{user}", &user)
        } else {
            format!("{change} {user}")
        };
        env.sql(&[&statement]).await;
        let wanted = accounts(&env, &active(&env).await).await;
        assert_ne!(wanted, before, "{statement} changes something");
        assert!(wanted["%"].join("\n").contains(shows), "{wanted:?}");
        env.run_ok(&["rotate", "shop"]).await;
        assert_pair_is_equal(&env).await;
        assert_eq!(accounts(&env, "app").await, wanted, "{statement}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_made_by_hand_on_the_standby_is_shown_and_taken_away() {
    let env = MariadbEnvironment::on_mariadb(Setup::default()).await;
    env.run_ok(&["rotate", "shop"]).await;
    let wanted = accounts(&env, "app_clone").await;
    env.sql(&["GRANT DELETE ON shop.orders TO app@'%'"]).await;
    let revoke = "REVOKE DELETE ON `shop`.`orders` FROM `app`@`%`";
    assert!(planned(&env).await.contains(&revoke.to_owned()));
    let said = env.run_ok(&["check"]).await;
    assert!(said.contains(revoke), "{said}");
    env.run_ok(&["rotate", "shop"]).await;
    assert_pair_is_equal(&env).await;
    assert_eq!(accounts(&env, "app").await, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_verify_fails_on_a_grant_made_by_hand_lists_it_and_changes_nothing() {
    let env = MariadbEnvironment::on_mariadb(Setup {
        rotation: "grants = \"verify\"".into(),
        ..Setup::default()
    })
    .await;
    env.run_ok(&["rotate", "shop"]).await;
    env.run_ok(&["rotate", "shop"]).await;
    env.sql(&["GRANT DELETE ON shop.orders TO app_clone@'%'"])
        .await;
    let from = env.log_end();
    let said = env.refuses(&["rotate", "shop"], "privileges_differ").await;
    let revoke = "REVOKE DELETE ON `shop`.`orders` FROM `app_clone`@`%`";
    assert!(said.contains(revoke), "{said}");
    assert_eq!(env.changes_since(from), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_prints_exactly_the_statements_that_rotate_then_runs() {
    let env = with_three_accounts(Setup::default()).await;
    for round in 0..3 {
        if round == 2 {
            // Something to take away, to add, to set, and an account that the active user has not.
            env.sql(&[
                "GRANT DELETE ON shop.orders TO app_clone@'%'",
                "GRANT SELECT (seen) ON shop.orders TO app@'10.%'",
                "ALTER USER app@localhost WITH MAX_QUERIES_PER_HOUR 1000",
                "CREATE USER app_clone@'192.168.%'",
            ])
            .await;
        }
        let before = env.state().await;
        let planned = planned(&env).await;
        assert_eq!(env.state().await, before, "plan changes nothing");
        let passwords = planned.iter().rev().take(3);
        for last in passwords {
            assert!(last.contains(" USING '***'"), "{planned:#?}");
        }
        let from = env.log_end();
        env.run_ok(&["rotate", "shop"]).await;
        let ran = env.changes_since(from);
        assert_eq!(ran, planned, "round {round}");
        let few = [3 + 4 + 3, 3, 3 + 4];
        assert_eq!(ran.len(), few[round], "round {round}: {ran:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_table_grants_cost_no_more_statements_than_differ() {
    let env = MariadbEnvironment::on_mariadb(Setup::default()).await;
    let mut statements = Vec::new();
    for n in 0..1000 {
        statements.push(format!(
            "CREATE TABLE shop.t{n} (id int) ENGINE=Aria TRANSACTIONAL=0"
        ));
        statements.push(format!("GRANT UPDATE ON shop.t{n} TO app@'%'"));
    }
    let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
    env.sql(&statements).await;
    let from = env.log_end();
    env.run_ok(&["rotate", "shop"]).await;
    // The user, its grant on the schema, a thousand tables, the password.
    assert_eq!(env.changes_since(from).len(), 1 + 1 + 1000 + 1);
    assert_pair_is_equal(&env).await;

    env.sql(&[
        "REVOKE UPDATE ON shop.t7 FROM app_clone@'%'",
        "GRANT DELETE ON shop.t500 TO app_clone@'%'",
        "GRANT UPDATE ON shop.t999 TO app_clone@'%' WITH GRANT OPTION",
    ])
    .await;
    let from = env.log_end();
    env.run_ok(&["rotate", "shop"]).await;
    let ran = env.changes_since(from);
    assert_eq!(ran.len(), 3 + 1, "{ran:#?}");
    assert_pair_is_equal(&env).await;

    let from = env.log_end();
    env.run_ok(&["rotate", "shop"]).await;
    let ran = env.changes_since(from);
    assert_eq!(ran.len(), 1, "{ran:#?}");
    assert!(
        ran[0].starts_with("ALTER USER `app_clone`@`%` IDENTIFIED"),
        "{ran:?}"
    );
}

/// A dump is restored, or a migration runs, during two runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_on_an_invalid_view_is_kept_for_both_users() {
    let env = MariadbEnvironment::on_mariadb(Setup::default()).await;
    env.sql(&[
        "CREATE VIEW shop.v AS SELECT seen FROM shop.orders",
        "CREATE TABLE shop.again (id int)",
        "GRANT UPDATE ON shop.v TO app@'%'",
        "GRANT DELETE ON shop.again TO app@'%'",
        "RENAME TABLE shop.orders TO shop.orders_old",
        "DROP TABLE shop.again",
    ])
    .await;
    let wanted = accounts(&env, "app").await;
    env.run_ok(&["check", "shop"]).await;
    for restored in [false, false, true, true] {
        if restored {
            env.sql(&[
                "RENAME TABLE IF EXISTS shop.orders_old TO shop.orders",
                "CREATE TABLE IF NOT EXISTS shop.again (id int)",
            ])
            .await;
        }
        env.run_ok(&["rotate", "shop"]).await;
        assert_eq!(accounts(&env, "app").await, wanted);
        assert_eq!(accounts(&env, "app_clone").await, wanted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_no_statement_copies_stops_the_run_first() {
    let env = MariadbEnvironment::on_mariadb(Setup::default()).await;
    env.sql(&[
        "CREATE VIEW shop.v AS SELECT seen FROM shop.orders",
        "GRANT UPDATE (seen) ON shop.v TO app@'%'",
        "RENAME TABLE shop.orders TO shop.orders_old",
    ])
    .await;
    let said = is_refused(&env, "privileges_differ").await;
    assert!(said.contains("UPDATE (`seen`) ON `shop`.`v`"), "{said}");
    env.sql(&["RENAME TABLE shop.orders_old TO shop.orders"])
        .await;
    env.run_ok(&["rotate", "shop"]).await;
    assert_pair_is_equal(&env).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_to_public_stops_no_rotation() {
    let env = MariadbEnvironment::on_mariadb(Setup::default()).await;
    env.sql(&[
        "GRANT UPDATE ON shop.orders TO PUBLIC",
        "GRANT PROCESS ON *.* TO PUBLIC",
    ])
    .await;
    env.run_ok(&["check", "shop"]).await;
    for _ in 0..2 {
        env.run_ok(&["rotate", "shop"]).await;
        assert_pair_is_equal(&env).await;
    }
    env.sql(&["REVOKE UPDATE ON shop.orders FROM PUBLIC"]).await;
    let grants = accounts(&env, "app_clone").await["%"].join("\n");
    assert!(!grants.contains("UPDATE"), "{grants}");
}
