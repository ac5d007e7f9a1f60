//! Moves of the staging labels by other parties are on record, once each.

use secrecy::SecretString;
use serde_json::{Value as Json, json};
use twinkey_stores::aws::AwsStore;
use twinkey_stores::{SecretStore, VersionId, stage};

use crate::admin::Endpoint;
use twinkey_testkit::aws::sdk_config;
use twinkey_testkit::environment::{SECRET, Setup, until};

/// The recorded changes, newest first.
async fn changes(endpoint: &Endpoint) -> Vec<Json> {
    let records = endpoint.json("/v1/audit?action=change").await;
    records.as_array().unwrap().clone()
}

/// Edits AWSCURRENT without twinkey; returns its version before and after.
async fn edit(endpoint: &Endpoint, text: &str) -> [String; 2] {
    let (mut document, before) = endpoint.env.read(stage::CURRENT).await;
    document["alpha"] = json!(text);
    endpoint.env.put(SECRET, &document).await;
    let (_, after) = endpoint.env.read(stage::CURRENT).await;
    [before.0, after.0]
}

/// The reads of the heartbeats.
async fn heartbeats(endpoint: &Endpoint) -> f64 {
    let text = endpoint.get("/metrics").send().await.unwrap();
    let text = text.text().await.unwrap();
    let name = "twinkey_store_requests_total{operation=\"GetSecretValue\",outcome=\"ok\"} ";
    let mut values = text.lines().filter_map(|line| line.strip_prefix(name));
    values.next().map_or(0.0, |value| value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_by_another_party_is_recorded_once() {
    let endpoint = Endpoint::open(Setup {
        rotation: "heartbeat = \"10s\"".into(),
        ..Setup::default()
    })
    .await;
    let env = &endpoint.env;
    env.run_ok(&["rotate", "shop"]).await;
    assert!(endpoint.json("/v1/rotations/shop").await["password_age"].is_u64());
    // A run or a heartbeat notices this one, whichever is first.
    let [before, after] = edit(&endpoint, "edited").await;
    env.run_ok(&["rotate", "shop"]).await;
    let found = changes(&endpoint).await;
    assert_eq!(found.len(), 1, "{found:?}");
    let record = &found[0];
    let reason = record["reason"].as_str().unwrap();
    let moved = format!("AWSCURRENT moved from version {before} to {after} without a run");
    assert!(reason.starts_with(&moved), "{reason}");
    assert_eq!(
        (&record["actor"]["kind"], &record["outcome"], &record["run"]),
        (&json!("worker"), &json!("done"), &Json::Null)
    );
    env.run_ok(&["rollback", "shop"]).await;
    env.run_ok(&["rollback", "shop", "--again"]).await;
    env.run_ok(&["rotate", "shop"]).await;
    assert_eq!(changes(&endpoint).await.len(), 1, "runs are no changes");

    edit(&endpoint, "edited again").await;
    until("a heartbeat notices it", async || {
        changes(&endpoint).await.len() == 2
    })
    .await;
    let found = changes(&endpoint).await;
    let reason = found[0]["reason"].as_str().unwrap();
    assert!(reason.ends_with("noticed by a heartbeat"), "{reason}");
    let view = endpoint.json("/v1/rotations/shop").await;
    assert_eq!(view["password_age"], Json::Null, "{view}");
    let read = heartbeats(&endpoint).await;
    until("another heartbeat", async || {
        heartbeats(&endpoint).await > read
    })
    .await;

    let store = AwsStore::from_config(&sdk_config(&env.stand_in().url()));
    let mut foreign = env.read(stage::CURRENT).await.0;
    foreign["username"] = json!("stranger");
    let id = VersionId("00000000-0000-4000-8000-000000004711".into());
    let value = SecretString::from(foreign.to_string());
    store
        .put(SECRET, &id, &value, stage::PENDING)
        .await
        .unwrap();
    for _ in 0..2 {
        env.refuses(&["rotate", "shop"], "pending_conflict").await;
    }
    let found = changes(&endpoint).await;
    assert_eq!(found.len(), 3, "{found:?}");
    let reason = found[0]["reason"].as_str().unwrap();
    let pending = format!("AWSPENDING is on version {}", id.0);
    assert!(reason.starts_with(&pending), "{reason}");

    // AWSCURRENT moves to a version of an earlier run.
    let removed = store.move_stage(SECRET, stage::PENDING, Some(&id), None);
    removed.await.unwrap();
    let [current, previous] = [stage::CURRENT, stage::PREVIOUS];
    let (from, to) = (env.read(current).await.1, env.read(previous).await.1);
    let moved = store.move_stage(SECRET, current, Some(&from), Some(&to));
    moved.await.unwrap();
    env.run_ok(&["rotate", "shop"]).await;
    let found = changes(&endpoint).await;
    assert_eq!(found.len(), 4, "{found:?}");
    let history = env.run_ok(&["history", "shop"]).await;
    assert!(history.contains("noticed by worker"), "{history}");
}
