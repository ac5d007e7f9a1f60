//! Requests with an idempotency key.

use chrono::TimeDelta;

use super::fixture::*;
use super::*;

fn keyed(rotation: &str, key: &str, request: &str) -> KeyedRequest {
    KeyedRequest {
        rotation: rotation.into(),
        key: key.into(),
        request: request.into(),
        worker: "a".into(),
        at: at(0),
    }
}

pub async fn a_key_keeps_its_request_and_answer_for_a_week(journal: &dyn Journal) {
    let pause = keyed("orders", "k", "pause");
    let begin = async |request: &KeyedRequest| journal.begin_keyed(request).await.unwrap();
    assert_eq!(begin(&pause).await, KeyedState::New);
    let from_b = KeyedRequest {
        worker: "b".into(),
        at: at(5),
        ..pause.clone()
    };
    let open = KeyedState::Open {
        worker: "a".into(),
        at: at(0),
    };
    assert_eq!(begin(&from_b).await, open);
    let answer = serde_json::json!({"paused": true, "rotation": "orders"});
    journal.end_keyed(&pause, Some(&answer)).await.unwrap();
    assert_eq!(begin(&from_b).await, KeyedState::Ended(answer));
    let other = KeyedState::Other {
        request: "pause".into(),
    };
    assert_eq!(begin(&keyed("orders", "k", "resume")).await, other);
    // Each rotation has its own keys.
    let billing = keyed("billing", "k", "resume");
    assert_eq!(begin(&billing).await, KeyedState::New);
    // A refused request is forgotten; others are not.
    journal.end_keyed(&billing, None).await.unwrap();
    assert_eq!(begin(&billing).await, KeyedState::New);
    let later = |days, seconds| KeyedRequest {
        at: at(seconds) + TimeDelta::days(days),
        ..pause.clone()
    };
    assert!(matches!(begin(&later(7, 0)).await, KeyedState::Ended(_)));
    assert_eq!(begin(&later(7, 1)).await, KeyedState::New);
}

pub async fn one_of_many_equal_requests_is_new(journal: &dyn Journal) {
    let pause = keyed("orders", "k", "pause");
    let all = futures_util::future::join_all((0..8).map(|_| journal.begin_keyed(&pause))).await;
    let new = all.iter().filter(|state| **state == Ok(KeyedState::New));
    assert_eq!(new.count(), 1, "{all:?}");
}
