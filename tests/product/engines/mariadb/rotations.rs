//! Consecutive rotations on MariaDB.

use secrecy::SecretString;
use serde_json::Value as Json;
use twinkey_engines::mysql::Mysql;
use twinkey_engines::{Credentials, Engine, SignInChecks, Target, Tls, TlsMode};
use twinkey_stores::stage;
use twinkey_testkit::mysql::LocalMysql;

use super::fixture::MariadbFixture;
use super::{assert_one_password, assert_pair_is_equal, with_three_accounts};
use crate::engines::pair::pair_tests;
use twinkey_testkit::environment::mariadb::{MariadbEnvironment, accounts, pairs};
use twinkey_testkit::environment::{Environment, FIRST, Setup};

pair_tests!(
    MariadbFixture:
    three_rotations_keep_the_pair_equal
    three_rotations_in_the_embedded_store_keep_the_pair_equal
);

#[tokio::test(flavor = "multi_thread")]
async fn accounts_at_three_hosts_rotate_together() {
    let env = with_three_accounts(Setup::default()).await;
    let wanted = accounts(&env, "app").await;
    for host in ["10.%", "localhost"] {
        assert_ne!(wanted[host], wanted["%"], "each account has its own grants");
    }
    for _ in 0..3 {
        env.run_ok(&["rotate", "shop"]).await;
        assert_one_password(&env, 3).await;
        assert_pair_is_equal(&env).await;
        assert_eq!(accounts(&env, "app_clone").await, wanted);
    }
}

/// Signs in with the product's engine, because the tests' driver does not support ed25519.
async fn signs_in(env: &Environment<LocalMysql>, document: &Json) -> bool {
    let target = Target {
        address: None,
        host: env.server.host().into(),
        port: Some(env.server.port()),
        dbname: Some("shop".into()),
        tls: Tls {
            mode: TlsMode::Disable,
            ca_file: None,
        },
    };
    let credentials = Credentials {
        username: document["username"].as_str().unwrap().into(),
        password: SecretString::from(document["password"].as_str().unwrap()),
    };
    let probes = ["INSERT INTO orders () VALUES ()".to_owned()];
    let result = Mysql::of_mariadb()
        .sign_in(&target, &credentials, SignInChecks::probes(&probes))
        .await;
    result.is_ok_and(|signed_in| signed_in.user == credentials.username)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_ed25519_keeps_it_over_three_rotations() {
    let env = MariadbEnvironment::on_mariadb(Setup::default()).await;
    let to_ed25519 = format!("ALTER USER app@'%' IDENTIFIED VIA ed25519 USING PASSWORD('{FIRST}')");
    env.sql(&[&to_ed25519]).await;
    let first = env.document("app", "Wrong-0123456789");
    assert!(
        !signs_in(&env, &first).await,
        "the server checks the password"
    );
    for _ in 0..3 {
        let (before, _) = env.read(stage::CURRENT).await;
        env.run_ok(&["rotate", "shop"]).await;
        let (current, _) = env.read(stage::CURRENT).await;
        assert_ne!(current["username"], before["username"]);
        assert!(signs_in(&env, &current).await, "AWSCURRENT signs in");
        assert!(signs_in(&env, &before).await, "AWSPREVIOUS signs in");
        let plugins = "SELECT User, JSON_VALUE(Priv, '$.plugin') FROM mysql.global_priv \
             WHERE User LIKE 'app%' ORDER BY User";
        let plugins = pairs(&mut env.root("mysql").await, plugins).await;
        let wanted = [("app", "ed25519"), ("app_clone", "ed25519")];
        assert_eq!(plugins, wanted.map(|(u, p)| (u.to_owned(), p.to_owned())));
    }
}
