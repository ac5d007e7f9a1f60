//! Master secrets without a host, `master_host` and `masters`.

use serde_json::json;
use twinkey_stores::stage;
use twinkey_testkit::environment::{Backend, Environment, FIRST, MASTER_SECRET, SECRET, Setup};

use super::{bare_master, without_master_host};
use crate::faults::failures::is_refused;

/// A config of version 0.1.0, whose master secret has no host.
#[tokio::test(flavor = "multi_thread")]
async fn a_master_without_a_trusted_host_is_refused() {
    for backend in [None, Some(Backend::Local)] {
        let env = match backend {
            Some(backend) => Environment::open_with(Setup::default(), backend).await,
            None => Environment::open(Setup::default()).await,
        };
        env.put(MASTER_SECRET, &bare_master()).await;
        is_refused(&env, "host_untrusted").await;
        let message = env.fails(&["rotate", "shop"], 1, "host_untrusted").await;
        for remedy in ["`host`", "master_host", "rds:DescribeDBInstances"] {
            assert!(message.contains(remedy), "{message}");
        }

        let port = env.document("app", FIRST)["port"].clone();
        let mut master = bare_master();
        master["host"] = json!("127.0.0.1");
        env.put(MASTER_SECRET, &master).await;
        env.run_ok(&["rotate", "shop"]).await;
        env.signed_in(stage::CURRENT).await;

        without_master_host(&env, &format!("master_host = \"127.0.0.1:{port}\"")).await;
        env.run_ok(&["rotate", "shop"]).await;
        env.signed_in(stage::CURRENT).await;
        without_master_host(&env, "master_host = \"localhost\"").await;
        env.run_ok(&["rotate", "shop"]).await;
        env.signed_in(stage::CURRENT).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_goes_to_master_host_and_not_to_the_secrets_host() {
    let env = Environment::open(Setup::default()).await;
    let unused = twinkey_testkit::ports::free_address();
    without_master_host(&env, &format!("master_host = \"{unused}\"")).await;
    let message = is_refused(&env, "db_unreachable").await;
    assert!(message.contains(&unused), "{message}");

    env.put(
        MASTER_SECRET,
        &env.document("rdsmaster", super::MASTER_PASSWORD),
    )
    .await;
    let checked = env.run_ok(&["check", "shop"]).await;
    assert!(checked.contains("is not used"), "{checked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn masters_limits_the_masterarn_of_a_secret() {
    let env = Environment::open(Setup::default()).await;
    let config = std::fs::read_to_string(env.config()).unwrap();
    let named = format!("master_secret = \"{MASTER_SECRET}\"");
    assert!(config.contains(&named));
    let with_masters = |masters: &str| {
        let text = config.replace(&named, &format!("masters = {masters}"));
        std::fs::write(env.config(), text).unwrap();
    };
    let mut document = env.document("app", FIRST);
    document["masterarn"] = json!(MASTER_SECRET);
    env.put(SECRET, &document).await;

    with_masters("[\"rds!*\", \"other/*\"]");
    let message = is_refused(&env, "host_untrusted").await;
    assert!(
        message.contains("`masters` in the config excludes"),
        "{message}"
    );
    with_masters("[]");
    is_refused(&env, "host_untrusted").await;
    with_masters("[\"rds!*\", \"prod/*\"]");
    env.run_ok(&["rotate", "shop"]).await;

    let store = env.stand_in().store();
    let arn = twinkey_stores::SecretStore::describe(store, MASTER_SECRET)
        .await
        .unwrap()
        .arn;
    let (mut document, _) = env.read(stage::CURRENT).await;
    document["masterarn"] = json!(arn);
    env.put(SECRET, &document).await;
    env.run_ok(&["rotate", "shop"]).await;
    with_masters("[\"prod/master-*\"]");
    env.run_ok(&["rotate", "shop"]).await;
    with_masters("[\"prod/mas\"]");
    is_refused(&env, "host_untrusted").await;
}
