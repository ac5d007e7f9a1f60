//! Heartbeats that fail.

use std::time::Duration;

use super::*;
use crate::worker::heartbeat;
use prometheus_client::registry::Registry;

#[tokio::test]
async fn a_panic_ends_one_heartbeat_and_not_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(&folder.path().join("j.db")).await;
    let journal = Arc::new(journal.unwrap());
    let now = "2026-11-20T06:00:00";
    let (state, store, _control) = new_state(journal, "", now, StoreAnswer::Panic);
    let mut orders = (*state.rotation("orders").unwrap()).clone();
    orders.heartbeat = Some(Duration::from_millis(100));
    state.replace(Arc::new([orders].into_iter().collect()));
    let beats = heartbeat::run(state.heartbeats());
    state.tasks.spawn_service("heartbeats", beats);
    let second = async {
        while store.reads.load(Ordering::SeqCst) < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let limit = Duration::from_secs(60);
    tokio::time::timeout(limit, second).await.unwrap();
    assert_eq!(state.tasks.failure(), None, "the worker goes on");
    let metrics = state.metrics.text(&Registry::default()).unwrap();
    let counted = "twinkey_task_failures_total{task=\"heartbeat\"} ";
    assert!(metrics.contains(counted), "{metrics}");
    state.tasks.abort_services();
}
