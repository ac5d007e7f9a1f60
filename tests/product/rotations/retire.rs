//! `retire_after`: the user of AWSPREVIOUS is locked after that time, and a rollback unlocks it.

use secrecy::SecretString;
use twinkey_stores::stage;

use twinkey_testkit::environment::documentdb::MongoEnvironment;
use twinkey_testkit::environment::mariadb::MariadbEnvironment;
use twinkey_testkit::environment::{Database, Environment, Setup, free_address, until};

fn plan(address: &str) -> Setup {
    Setup {
        config: format!("[server]\nlisten = \"{address}\"\n"),
        rotation: "retire_after = \"0s\"".into(),
        ..Setup::default()
    }
}

async fn previous_signs_in<D: Database>(env: &Environment<D>) -> bool {
    let (document, _) = env.read(stage::PREVIOUS).await;
    let password = SecretString::from(document["password"].as_str().unwrap());
    let user = document["username"].as_str().unwrap();
    env.connect(user, &password, "shop").await.is_ok()
}

/// Waits until the log of the worker contains a text.
async fn says<D: Database>(env: &Environment<D>, what: &str) {
    let log = env.folder.path().join("serve.log");
    until(what, async || {
        std::fs::read_to_string(&log).unwrap().contains(what)
    })
    .await;
}

async fn is_locked_and_unlocked<D: Database>(env: Environment<D>, address: &str) {
    env.run_ok(&["rotate", "shop"]).await;
    assert!(previous_signs_in(&env).await);
    // The worker does not lock a user with open sessions, and the check above had one.
    until("no session of its user is open", async || {
        let check = env.run_ok(&["check", "shop", "--json"]).await;
        let check: serde_json::Value = serde_json::from_str(&check).unwrap();
        check[0]["standby_sessions"]
            .as_array()
            .is_none_or(Vec::is_empty)
    })
    .await;
    // The time has passed before the worker starts.
    let worker = env.serve(address).await;
    says(&env, "user of AWSPREVIOUS locked").await;
    drop(worker);
    assert!(!previous_signs_in(&env).await);
    env.signed_in(stage::CURRENT).await;
    env.run_ok(&["rollback", "shop"]).await;
    env.signed_in(stage::CURRENT).await;
    env.signed_in(stage::PREVIOUS).await;
    env.run_ok(&["rotate", "shop"]).await;
    env.run_ok(&["rotate", "shop"]).await;
    env.signed_in(stage::CURRENT).await;
    assert!(previous_signs_in(&env).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn awsprevious_is_locked_in_time_and_unlocked_by_a_rollback() {
    let address = free_address();
    is_locked_and_unlocked(Environment::open(plan(&address)).await, &address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn awsprevious_is_locked_and_unlocked_on_mariadb() {
    let address = free_address();
    let env = MariadbEnvironment::on_mariadb(plan(&address)).await;
    is_locked_and_unlocked(env, &address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn awsprevious_is_locked_and_unlocked_on_documentdb() {
    let address = free_address();
    let env = MongoEnvironment::on_mongo(plan(&address)).await;
    is_locked_and_unlocked(env, &address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_unlocks_a_user_whose_lock_was_not_recorded() {
    let env = Environment::open(plan(&free_address())).await;
    env.run_ok(&["rotate", "shop"]).await;
    let mut root = env.root("shop").await;
    let locked = sqlx::query("ALTER ROLE app NOLOGIN").execute(&mut root);
    locked.await.unwrap();
    env.run_ok(&["rollback", "shop"]).await;
    env.signed_in(stage::CURRENT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn awsprevious_is_not_locked_while_its_sessions_are_open() {
    let address = free_address();
    let env = Environment::open(plan(&address)).await;
    env.run_ok(&["rotate", "shop"]).await;
    let consumer = env.signed_in(stage::PREVIOUS).await;
    let _worker = env.serve(&address).await;
    let why = "retirement postponed: sessions are open";
    says(&env, why).await;
    assert!(previous_signs_in(&env).await);
    drop(consumer);
}
