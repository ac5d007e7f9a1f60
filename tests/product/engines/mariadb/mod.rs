//! Rotations on MariaDB.

mod accounts;
mod consumers;
mod failures;
mod fixture;
mod grants;
mod interruptions;
mod relay;
mod rotations;

use twinkey_stores::stage;

use twinkey_testkit::environment::mariadb::{MariadbEnvironment, accounts, hashes};
use twinkey_testkit::environment::{FIRST, Setup};

/// An environment whose user has accounts at `%`, `10.%` and `localhost` with different grants.
async fn with_three_accounts(plan: Setup) -> MariadbEnvironment {
    let env = MariadbEnvironment::on_mariadb(plan).await;
    for (host, grants) in [
        ("10.%", "UPDATE ON shop.orders"),
        (
            "localhost",
            "SELECT, INSERT, CREATE, DELETE ON shop.* TO app@localhost; GRANT SELECT (note) ON shop.orders",
        ),
    ] {
        let as_first = format!("CREATE USER app@`{host}` IDENTIFIED BY '{FIRST}'");
        env.sql(&[&as_first, &format!("GRANT {grants} TO app@`{host}`")])
            .await;
    }
    env
}

/// Asserts that both users have equal accounts and sign in.
async fn assert_pair_is_equal(env: &MariadbEnvironment) {
    assert_eq!(accounts(env, "app").await, accounts(env, "app_clone").await);
    env.signed_in(stage::CURRENT).await;
    env.signed_in(stage::PREVIOUS).await;
}

/// Asserts that all accounts of the current user have the current password.
async fn assert_one_password(env: &MariadbEnvironment, count: usize) {
    let (current, _) = env.read(stage::CURRENT).await;
    let hashes = hashes(env, current["username"].as_str().unwrap()).await;
    assert_eq!(hashes.len(), count, "{:?}", hashes.keys());
    let expected = hash_of(env, current["password"].as_str().unwrap()).await;
    for (host, hash) in &hashes {
        assert!(
            *hash == expected,
            "the account at {host} has another password"
        );
    }
}

/// The password's `mysql_native_password` hash, computed by the server.
async fn hash_of(env: &MariadbEnvironment, password: &str) -> String {
    sqlx::query_scalar("SELECT PASSWORD(?)")
        .bind(password)
        .fetch_one(&mut env.root("mysql").await)
        .await
        .unwrap()
}
