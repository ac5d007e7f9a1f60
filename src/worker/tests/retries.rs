//! Failed attempts and their limit.

use super::*;
use crate::worker::window_runner::MAX_FAILURES;
use chrono::TimeDelta;
use prometheus_client::registry::Registry;

#[tokio::test]
async fn a_run_that_fails_too_often_waits_for_the_next_window() {
    let daily = "schedule = \"cron(0 7 * * ? *)\"\nwindow = \"12h\"";
    let worker = TestWorker::begin(daily, "2026-11-20T06:00:00", StoreAnswer::Unavailable).await;
    worker.control.set(at("2026-11-20T07:00:00"));
    worker
        .until("the run has failed for good", async || {
            let runs = worker.runs().await;
            let state = runs.first().map(|run| run.state);
            // Advance the clock only while the run waits for another attempt.
            if state == Some(RunState::Deferred) {
                worker.control.advance(TimeDelta::seconds(10));
            }
            state == Some(RunState::Failed)
        })
        .await;
    let run = &worker.runs().await[0];
    assert_eq!(run.attempt, MAX_FAILURES);
    assert_eq!(run.error.as_ref().unwrap().code, Code::StoreUnavailable);
    assert!(
        run.finished.unwrap() < at("2026-11-20T12:00:00"),
        "the window is still open"
    );
    let reads = worker.store.reads.load(Ordering::SeqCst);
    worker.control.set(at("2026-11-20T18:00:00"));

    worker.control.set(at("2026-11-21T07:00:00"));
    worker
        .until("the next window's run has been tried", async || {
            let runs = worker.runs().await;
            runs.get(1)
                .is_some_and(|run| run.state == RunState::Deferred)
        })
        .await;
    assert_eq!(
        worker.store.reads.load(Ordering::SeqCst),
        reads + 1,
        "nothing was tried in between"
    );
    worker.end().await;
}

#[tokio::test]
async fn a_run_that_panics_has_failed_and_the_next_window_tries_again() {
    let daily = "schedule = \"cron(0 7 * * ? *)\"\nwindow = \"1h\"";
    let worker = TestWorker::begin(daily, "2026-11-20T06:00:00", StoreAnswer::Panic).await;
    worker.control.set(at("2026-11-20T07:00:00"));
    let panicked = ("2026-11-20T07:00", RunState::Failed, Some(Code::Internal));
    worker.until_windows(&[panicked]).await;
    worker
        .until("its task has ended", async || worker.state.tasks.is_empty())
        .await;
    let metrics = worker.state.metrics.text(&Registry::default()).unwrap();
    let counted = "twinkey_task_failures_total{task=\"window\"} 1\n";
    assert!(metrics.contains(counted), "{metrics}");
    assert_eq!(worker.state.tasks.failure(), None, "the worker goes on");
    *worker.store.answer.lock() = StoreAnswer::NotFound;
    worker.control.set(at("2026-11-20T07:30:00"));
    worker.control.set(at("2026-11-21T07:00:00"));
    let next = (
        "2026-11-21T07:00",
        RunState::Failed,
        Some(Code::SecretNotFound),
    );
    worker.until_windows(&[panicked, next]).await;
    worker.end().await;
}
