//! Properties of AWS alone: stale reads, throttling, interruptions, denials, other rotators, SDK
//! logs.

use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;

use parking_lot::Mutex;
use secrecy::ExposeSecret;
use serde_json::json;
use twinkey_stores::aws::AwsStore;
use twinkey_stores::stage::{CURRENT, PENDING};
use twinkey_stores::throttle::Throttled;
use twinkey_stores::{SecretStore, Selector, StoreError, VersionId};

use crate::subject::{new_id, secret};
use twinkey_core::code::Diagnostic;
use twinkey_testkit::aws::faults::Cut;
use twinkey_testkit::aws::{StandIn, sdk_config};

/// A stand-in with the secret `a`, and its store.
pub async fn seeded() -> (StandIn, AwsStore, VersionId) {
    let stand_in = StandIn::start().await;
    let first = stand_in.store().create_or_put("a", &secret("one")).await;
    let store = AwsStore::from_config(&sdk_config(&stand_in.url()));
    (stand_in, store, first.unwrap())
}

#[tokio::test]
async fn a_stale_read_after_an_own_write_is_retried() {
    let (stand_in, store, first) = seeded().await;
    stand_in.lag(Some(2)).await;
    let id = new_id();
    store.put("a", &id, &secret("two"), PENDING).await.unwrap();
    let read = store.get("a", Selector::Version(&id)).await.unwrap();
    assert_eq!(read.value.expose_secret(), "two");
    assert_eq!(stand_in.faults().count("GetSecretValue"), 3);

    stand_in.lag(Some(2)).await;
    store
        .move_stage("a", CURRENT, Some(&first), Some(&id))
        .await
        .unwrap();
    let seen = store.describe("a").await.unwrap();
    assert_eq!(seen.labelled(CURRENT), Some(&id));
    assert_eq!(stand_in.faults().count("DescribeSecret"), 3);
}

#[tokio::test]
async fn an_unknown_version_is_missing_without_retries() {
    let (stand_in, store, _) = seeded().await;
    store
        .get("a", Selector::Version(&new_id()))
        .await
        .unwrap_err();
    assert_eq!(stand_in.faults().count("GetSecretValue"), 1);
}

#[tokio::test]
async fn a_persistent_contradiction_is_accepted() {
    let (stand_in, store, first) = seeded().await;
    let id = new_id();
    store.put("a", &id, &secret("two"), PENDING).await.unwrap();
    let behind = stand_in.store();
    behind
        .move_stage("a", PENDING, Some(&id), Some(&first))
        .await
        .unwrap();
    let seen = store.describe("a").await.unwrap();
    assert_eq!(seen.labelled(PENDING), Some(&first));
    let tries = stand_in.faults().count("DescribeSecret");
    store.describe("a").await.unwrap();
    assert_eq!(stand_in.faults().count("DescribeSecret"), tries + 1);
}

#[tokio::test]
async fn a_put_whose_answer_was_lost_is_made_once() {
    let (stand_in, store, _) = seeded().await;
    let id = new_id();
    stand_in.faults().cut(1, Cut::After);
    store.put("a", &id, &secret("two"), PENDING).await.unwrap();
    assert_eq!(stand_in.faults().count("PutSecretValue"), 2);
    assert_eq!(stand_in.store().versions("a").await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_move_with_a_lost_response_is_not_repeated() {
    let (stand_in, store, first) = seeded().await;
    let id = new_id();
    store.put("a", &id, &secret("two"), PENDING).await.unwrap();
    for (when, holder) in [(Cut::Before, &first), (Cut::After, &id)] {
        stand_in.faults().cut(1, when);
        let moved = store
            .move_stage("a", CURRENT, Some(&first), Some(&id))
            .await;
        let error = moved.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
        assert!(error.retryable());
        let seen = store.describe("a").await.unwrap();
        assert_eq!(seen.labelled(CURRENT), Some(holder));
    }
    assert_eq!(stand_in.faults().count("UpdateSecretVersionStage"), 2);
}

#[tokio::test]
async fn throttling_is_waited_out_and_then_reported() {
    let (stand_in, store, first) = seeded().await;
    let id = new_id();
    stand_in.faults().throttle("PutSecretValue", 2);
    store.put("a", &id, &secret("two"), PENDING).await.unwrap();
    stand_in.faults().throttle("UpdateSecretVersionStage", 2);
    store
        .move_stage("a", CURRENT, Some(&first), Some(&id))
        .await
        .unwrap();
    stand_in.faults().throttle("DescribeSecret", 100);
    let error = store.describe("a").await.unwrap_err();
    assert!(matches!(error, StoreError::Throttled { .. }), "{error}");
}

#[tokio::test]
async fn denials_and_outages_are_told_apart() {
    let (stand_in, store, _) = seeded().await;
    stand_in.faults().deny("PutSecretValue");
    let put = store.put("a", &new_id(), &secret("hunter2"), PENDING).await;
    let error = put.unwrap_err();
    assert!(matches!(error, StoreError::Denied { .. }), "{error}");
    assert!(error.hint().contains("secretsmanager:PutSecretValue"));
    stand_in
        .faults()
        .answer("DescribeSecret", 100, 503, "ServiceUnavailable");
    let error = store.describe("a").await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    stand_in.faults().deny("ListSecrets");
    store.ping().await.unwrap();
    drop(stand_in);
    let error = store.ping().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn reports_another_rotator_and_an_owning_service() {
    let (stand_in, store, _) = seeded().await;
    stand_in.faults().patch_description(
        "a",
        json!({"RotationEnabled": true, "RotationLambdaARN": "arn:aws:lambda:x", "OwningService": "rds"}),
    );
    let seen = store.describe("a").await.unwrap();
    assert!(seen.rotation_enabled);
    assert_eq!(seen.owning_service.as_deref(), Some("rds"));
}

#[tokio::test]
async fn the_bucket_keeps_writes_under_awss_limit() {
    let (stand_in, store, _) = seeded().await;
    stand_in.faults().limit_writes(50);
    let store = Arc::new(Throttled::new(store, NonZeroU32::new(40).unwrap()));
    let writers: Vec<_> = (0..100)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.put("a", &new_id(), &secret("x"), PENDING).await })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap().unwrap();
    }
    // A throttled write would have been sent again.
    assert_eq!(stand_in.faults().count("PutSecretValue"), 100);
}

/// Log of the SDK and its HTTP client at the most verbose level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_value_is_logged_at_any_level() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let (_stand_in, store, _) = seeded().await;
    let id = new_id();
    store
        .put("a", &id, &secret("hunter2"), PENDING)
        .await
        .unwrap();
    store.get("a", Selector::Version(&id)).await.unwrap();
    store
        .put("a", &id, &secret("hunter3"), PENDING)
        .await
        .unwrap_err();
    let text = String::from_utf8_lossy(&log.0.lock()).into_owned();
    assert!(text.contains("TRACE") && text.contains("aws_smithy_runtime"));
    for value in ["hunter2", "hunter3", "104, 117, 110, 116, 101, 114"] {
        let line = text.lines().find(|line| line.contains(value));
        assert!(line.is_none(), "{line:?}");
    }
}
