//! Batch reads: saved calls, and denied, stale or incomplete batches.

use secrecy::ExposeSecret;
use twinkey_stores::batch::BatchReader;
use twinkey_stores::stage::{CURRENT, PENDING};
use twinkey_stores::{SecretStore, StoreError};

use crate::aws::seeded;
use crate::subject::{new_id, secret};
use twinkey_core::code::Diagnostic;
use twinkey_testkit::aws::StandIn;

/// Creates secrets whose values are their names.
async fn more(stand_in: &StandIn, names: &[String]) {
    for name in names {
        let value = secret(name);
        stand_in.store().create_or_put(name, &value).await.unwrap();
    }
}

/// The values, or the codes of the errors.
async fn read(batches: &BatchReader, store: &dyn SecretStore, secrets: &[&str]) -> Vec<String> {
    let read = batches.read(store, secrets).await;
    read.into_iter()
        .map(|read| match read {
            Ok(version) => version.value.expose_secret().to_owned(),
            Err(error) => error.code().as_str().to_owned(),
        })
        .collect()
}

fn calls(stand_in: &StandIn) -> [usize; 2] {
    ["BatchGetSecretValue", "GetSecretValue"].map(|action| stand_in.faults().count(action))
}

#[tokio::test]
async fn reads_45_secrets_in_three_calls_and_in_order() {
    let (stand_in, store, _) = seeded().await;
    let names: Vec<String> = (0..45).map(|n| format!("many/{n:02}")).collect();
    more(&stand_in, &names).await;
    let asked: Vec<&str> = names.iter().rev().map(String::as_str).collect();
    assert_eq!(read(&BatchReader::default(), &store, &asked).await, asked);
    assert_eq!(calls(&stand_in), [3, 0]);
}

#[tokio::test]
async fn one_secret_is_no_batch() {
    let (stand_in, store, _) = seeded().await;
    assert_eq!(read(&BatchReader::default(), &store, &["a"]).await, ["one"]);
    assert_eq!(calls(&stand_in), [0, 1]);
}

#[tokio::test]
async fn secrets_without_a_value_are_read_alone() {
    let (stand_in, store, _) = seeded().await;
    more(&stand_in, &["b".into()]).await;
    let asked = ["b", "nowhere", "a"];
    let found = read(&BatchReader::default(), &store, &asked).await;
    assert_eq!(found, ["b", "secret_not_found", "one"]);
    assert_eq!(calls(&stand_in), [1, 1]);
}

#[tokio::test]
async fn denied_batches_pause_and_secrets_are_read_alone() {
    let (stand_in, store, _) = seeded().await;
    more(&stand_in, &["b".into()]).await;
    stand_in.faults().deny("BatchGetSecretValue");
    let batches = BatchReader::default();
    for round in 1..=3 {
        assert_eq!(read(&batches, &store, &["a", "b"]).await, ["one", "b"]);
        assert_eq!(calls(&stand_in), [1, round * 2]);
    }
}

#[tokio::test]
async fn a_temporary_failure_does_not_pause_batches() {
    let (stand_in, store, _) = seeded().await;
    more(&stand_in, &["b".into()]).await;
    stand_in.faults().throttle("BatchGetSecretValue", 1);
    let batches = BatchReader::default();
    assert_eq!(read(&batches, &store, &["a", "b"]).await, ["one", "b"]);
    assert_eq!(calls(&stand_in), [1, 2], "once, and not five times");
    assert_eq!(read(&batches, &store, &["a", "b"]).await, ["one", "b"]);
    assert_eq!(calls(&stand_in), [2, 2]);
}

#[tokio::test]
async fn a_stale_batch_value_is_read_again() {
    let (stand_in, store, first) = seeded().await;
    more(&stand_in, &["b".into()]).await;
    stand_in.lag(Some(1)).await;
    let id = new_id();
    store.put("a", &id, &secret("two"), PENDING).await.unwrap();
    let moved = store.move_stage("a", CURRENT, Some(&first), Some(&id));
    moved.await.unwrap();
    let found = read(&BatchReader::default(), &store, &["a", "b"]).await;
    assert_eq!(found, ["two", "b"]);
    assert_eq!(calls(&stand_in), [1, 1]);
}

#[tokio::test]
async fn too_many_secrets_are_refused_as_by_aws() {
    let (_stand_in, store, _) = seeded().await;
    let error = store.get_batch(&["a"; 21]).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error}");
}
