//! A worker with real services, of which one fails.

use super::*;
use std::process::ExitCode;
use std::time::Duration;

use prometheus_client::registry::Registry;
use twinkey_stores::local::LocalStore;

/// Runs a worker with one more service. Returns its failure and its metrics.
async fn failure_of(service: impl Future<Output = ()> + Send + 'static) -> (Failure, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = |file| folder.path().join(file);
    let (store, key) = (path("secrets.db"), path("secrets.key"));
    drop(LocalStore::open(&store, &key).await.unwrap());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let journal = path("journal.db");
    let text = format!(
        "[server]\nlisten = \"{address}\"\n[journal]\nurl = \"sqlite://{}\"\n\
         [secrets]\nbackend = \"local\"\npath = {store:?}\nkey_file = {key:?}\n",
        journal.display()
    );
    let config = path("twinkey.toml");
    std::fs::write(&config, text).unwrap();
    let mut started = None;
    let served = serve(Some(&config), |state| {
        started = Some(state.clone());
        state.tasks.spawn_service("extra", service);
    });
    let ended = tokio::time::timeout(Duration::from_secs(60), served).await;
    let failure = ended.expect("the worker stops").expect_err("it failed");
    let started: WorkerState = started.unwrap_or_else(|| panic!("{failure:?}"));
    let metrics = started.metrics.text(&Registry::default()).unwrap();
    (failure, metrics)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_service_fails_exits_with_status_1() {
    for (panics, message) in [
        (
            true,
            "the worker stopped: task extra panicked: in a service",
        ),
        (false, "the worker stopped: task extra ended early"),
    ] {
        let service = async move {
            assert!(!panics, "in a service");
        };
        let (failure, metrics) = failure_of(service).await;
        let Failure::Problem(problem) = &failure else {
            panic!("{failure:?}");
        };
        assert_eq!(problem.message, message);
        assert_eq!(failure.report(), ExitCode::from(1));
        let counted = "twinkey_task_failures_total{task=\"extra\"} 1\n";
        assert!(metrics.contains(counted), "{metrics}");
    }
}
