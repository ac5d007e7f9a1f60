//! `repair` explains an inconsistent secret, and changes it only with `--apply`.

use secrecy::SecretString;
use serde_json::{Value as Json, json};
use twinkey_stores::{SecretStore, VersionId, stage};

use twinkey_testkit::environment::{Database, Environment, SECRET, Setup};

/// The findings of `repair` without `--apply`, which must change nothing.
async fn found<D: Database>(env: &Environment<D>) -> Json {
    let before = env.state().await;
    let output = env.run_ok(&["repair", "shop", "--json"]).await;
    assert_eq!(env.state().await, before, "nothing changes without --apply");
    serde_json::from_str(&output).unwrap()
}

async fn labelled<D: Database>(env: &Environment<D>, label: &str) -> bool {
    let labels = env.labels().await;
    labels.iter().any(|(_, on)| on.iter().any(|l| l == label))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consistent_secret_is_not_repaired() {
    let env = Environment::open(Setup::default()).await;
    let new = found(&env).await;
    assert_eq!(new["pending"], "nowhere");
    assert_eq!(new["standby"], "missing");
    env.run_ok(&["rotate", "shop"]).await;
    let rotated = found(&env).await;
    assert_eq!(rotated["pending"], "on_current");
    assert_eq!(rotated["standby"], "equal");
    assert_eq!(rotated["remedy"], "nothing");
    let before = env.state().await;
    let message = env.run_ok(&["repair", "shop", "--apply"]).await;
    assert!(message.contains("nothing to repair"), "{message}");
    assert_eq!(env.state().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_awspending_is_removed() {
    let env = Environment::open(Setup::default()).await;
    let foreign = VersionId("foreign-version-0123456789abcdefghij".into());
    let value = SecretString::from(json!({"username": "other", "password": "x"}).to_string());
    let store = env.stand_in().store();
    let put = store.put(SECRET, &foreign, &value, stage::PENDING).await;
    put.unwrap();
    env.refuses(&["rotate", "shop"], "pending_conflict").await;
    let stuck = found(&env).await;
    assert_eq!(stuck["pending"], "foreign");
    assert_eq!(stuck["pending_version"], foreign.0);
    assert_eq!(stuck["remedy"], "drop_pending");
    let done = env.run_ok(&["repair", "shop", "--apply", "--json"]).await;
    let done: Json = serde_json::from_str(&done).unwrap();
    assert_eq!(done["applied"], true);
    assert!(!labelled(&env, stage::PENDING).await);
    env.run_ok(&["rotate", "shop"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_is_finished_with_its_pending_password() {
    let env = Environment::open(Setup::default()).await;
    let faults = env.stand_in().faults();
    faults.answer("UpdateSecretVersionStage", 1, 400, "AccessDeniedException");
    env.fails(&["rotate", "shop"], 1, "store_denied").await;
    let (pending, _) = env.read(stage::PENDING).await;
    let stuck = found(&env).await;
    assert_eq!(stuck["pending"], "standbys");
    assert_eq!(stuck["remedy"], "rotate");
    let message = env.run_ok(&["repair", "shop", "--apply"]).await;
    assert!(message.contains("app -> app_clone"), "{message}");
    let (current, _) = env.read(stage::CURRENT).await;
    assert_eq!(current, pending, "the password is the pending one");
    env.signed_in(stage::CURRENT).await;
    let history = env.run_ok(&["history", "shop"]).await;
    assert!(history.contains("twinkey repair"), "{history}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_awspending_left_on_awsprevious_is_removed() {
    let env = Environment::open(Setup::default()).await;
    env.run_ok(&["rotate", "shop"]).await;
    env.run_ok(&["rollback", "shop"]).await;
    let left = found(&env).await;
    assert_eq!(left["pending"], "on_previous");
    env.run_ok(&["repair", "shop", "--apply"]).await;
    assert!(!labelled(&env, stage::PENDING).await);
    env.signed_in(stage::CURRENT).await;
    env.signed_in(stage::PREVIOUS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_with_another_rotator_is_not_repaired() {
    let env = Environment::open(Setup::default()).await;
    let rotated = json!({"RotationEnabled": true});
    let faults = env.stand_in().faults();
    faults.patch_description(SECRET, rotated);
    env.refuses(&["repair", "shop", "--apply"], "managed_elsewhere")
        .await;
}
