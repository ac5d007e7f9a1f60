//! Accounts of one name that belong to other consumers.

use twinkey_stores::stage;

use crate::faults::failures::is_refused;
use twinkey_testkit::environment::mariadb::{MariadbEnvironment, accounts, hashes};
use twinkey_testkit::environment::{FIRST, Setup};

/// The server selects `'x'@'%'` for the worker, which connects from 127.0.0.1.
fn setup(rotation: &str) -> Setup {
    Setup {
        settings: vec!["skip_name_resolve=ON".into()],
        rotation: rotation.into(),
        ..Setup::default()
    }
}

async fn hosts(env: &MariadbEnvironment, user: &str) -> Vec<String> {
    hashes(env, user).await.into_keys().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_with_another_password_is_refused_and_kept() {
    let env = MariadbEnvironment::on_mariadb(setup("")).await;
    let as_first = format!("CREATE USER app@'10.%' IDENTIFIED BY '{FIRST}'");
    env.sql(&[
        &as_first,
        "CREATE USER app@localhost IDENTIFIED BY 'Other-consumer-1'",
        "GRANT SELECT ON shop.* TO app@localhost",
        "CREATE USER app_clone@'192.168.%' IDENTIFIED BY 'Other-consumer-2'",
    ])
    .await;
    let others = || async {
        let (mut app, mut clone) = (hashes(&env, "app").await, hashes(&env, "app_clone").await);
        (app.remove("localhost"), clone.remove("192.168.%"))
    };
    let before = others().await;
    assert!(before.0.is_some() && before.1.is_some());
    is_refused(&env, "account_differs").await;
    let said = env.refuses(&["rotate", "shop"], "account_differs").await;
    for part in [
        "`app`@`localhost`",
        "`app_clone`@`192.168.%`",
        "accounts = [\"%\", \"10.%\"]",
    ] {
        assert!(said.contains(part), "{said}");
    }
    env.configure(&setup("accounts = [\"%\", \"10.%\"]"));
    env.run_ok(&["check", "shop"]).await;
    for _ in 0..3 {
        env.run_ok(&["rotate", "shop"]).await;
        env.signed_in(stage::CURRENT).await;
        env.signed_in(stage::PREVIOUS).await;
        assert_eq!(others().await, before);
    }
    env.run_ok(&["rollback", "shop"]).await;
    assert_eq!(others().await, before);
    assert_eq!(hosts(&env, "app_clone").await, ["%", "10.%", "192.168.%"]);
    let (app, clone) = (
        accounts(&env, "app").await,
        accounts(&env, "app_clone").await,
    );
    assert_eq!((&app["%"], &app["10.%"]), (&clone["%"], &clone["10.%"]));

    // The server selects it for the worker, and `accounts` leaves it out.
    env.sql(&["CREATE USER app_clone@'127.%' IDENTIFIED BY 'Other-consumer-3'"])
        .await;
    let said = is_refused(&env, "pending_signin_failed").await;
    assert!(said.contains("DROP USER `app_clone`@`127.%`"), "{said}");
    env.sql(&["DROP USER app_clone@'127.%'"]).await;
    env.run_ok(&["rotate", "shop"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_made_while_its_user_is_the_standby_is_kept() {
    let env = MariadbEnvironment::on_mariadb(setup("")).await;
    env.run_ok(&["rotate", "shop"]).await;
    env.sql(&["CREATE USER app@'10.%' IDENTIFIED BY 'Other-consumer-1'"])
        .await;
    let before = hashes(&env, "app").await.remove("10.%");
    let said = env.refuses(&["rotate", "shop"], "account_differs").await;
    assert!(said.contains("DROP USER `app`@`10.%`"), "{said}");
    env.configure(&setup("accounts = [\"%\"]"));
    for _ in 0..2 {
        env.run_ok(&["rotate", "shop"]).await;
        assert_eq!(hashes(&env, "app").await.remove("10.%"), before);
    }
    assert_eq!(hosts(&env, "app_clone").await, ["%"]);
}
