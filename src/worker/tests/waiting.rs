//! Windows that open while the secret cannot be described.

use super::*;
use crate::journal::Actor;
use crate::rotation::run::version_id;
use crate::worker::views::RotationState;
use chrono::TimeDelta;

const DAILY: &str = "schedule = \"cron(0 7 * * ? *)\"\nwindow = \"1h\"";
const OPENS: &str = "2026-11-20T07:00";
const MISSING: Option<Code> = Some(Code::SecretNotFound);

/// A worker in whose window the secret is missing, with its waiting run.
async fn waiting() -> (tempfile::TempDir, Arc<dyn Journal>, TestWorker, Run) {
    let folder = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(&folder.path().join("j.db")).await;
    let journal: Arc<dyn Journal> = Arc::new(journal.unwrap());
    let (shared, before) = (Arc::clone(&journal), "2026-11-20T06:00:00");
    let worker = TestWorker::begin_on(shared, DAILY, before, StoreAnswer::NoSecret).await;
    worker.control.set(at("2026-11-20T07:00:00"));
    worker
        .until_windows(&[(OPENS, RunState::Deferred, MISSING)])
        .await;
    let run = worker.runs().await.remove(0);
    assert_eq!(run.finished, None, "it is not over");
    (folder, journal, worker, run)
}

/// Advances the clock until the run has been tried with its own version id.
async fn continued(worker: &TestWorker, waiting: &Run) {
    let opens = waiting.window.unwrap().opens;
    worker
        .until("the run is continued", async || {
            worker.control.advance(TimeDelta::seconds(10));
            let runs = worker.runs().await;
            assert_eq!((runs.len(), runs[0].id), (1, waiting.id));
            runs[0].version_id == version_id::scheduled("arn:orders", opens)
                && runs[0].state == RunState::Deferred
                && runs[0].error.as_ref().map(|e| e.code) == Some(Code::StoreUnavailable)
        })
        .await;
}

#[tokio::test]
async fn a_waiting_run_continues_when_its_secret_is_described() {
    let (_folder, _journal, worker, run) = waiting().await;
    *worker.store.answer.lock() = StoreAnswer::Unavailable;
    continued(&worker, &run).await;
    worker.end().await;
}

#[tokio::test]
async fn a_waiting_run_shows_its_window_and_its_next_try() {
    let (_folder, _journal, worker, run) = waiting().await;
    let rotation = worker.state.rotation("orders").unwrap();
    let view = async || worker.state.view(&rotation).await.unwrap();
    worker
        .until("the next try is shown", async || {
            view().await.next_try.is_some()
        })
        .await;
    let shown = view().await;
    assert_eq!(shown.open_window, run.window);
    let first = shown.next_try.unwrap();
    let now = at("2026-11-20T07:00:00");
    assert!(
        now < first && first <= now + TimeDelta::minutes(5),
        "{first}"
    );
    // At that time the run is tried, and fails again.
    worker.control.set(first + TimeDelta::milliseconds(1));
    worker
        .until("a later try is shown", async || {
            view().await.next_try.is_some_and(|next| next > first)
        })
        .await;
    // A try that would be after the window is none.
    worker.control.set(at("2026-11-20T07:59:59.999"));
    worker
        .until("the last try is over", async || {
            let shown = view().await;
            (shown.state, shown.next_try) == (RotationState::Waiting, None)
        })
        .await;
    worker.control.set(at("2026-11-20T08:00:00"));
    worker
        .until_windows(&[(OPENS, RunState::Missed, MISSING)])
        .await;
    let shown = view().await;
    assert_eq!((shown.open_window, shown.next_try), (None, None));
    worker.end().await;
}

#[tokio::test]
async fn a_waiting_run_is_not_tried_while_it_is_paused() {
    let (_folder, _journal, worker, run) = waiting().await;
    let rotator = &worker.state.runner.rotator;
    let orders = worker.state.rotation("orders").unwrap();
    let cause = || Actor::worker("test").into();
    rotator.pause(&orders, cause(), None).await.unwrap();
    *worker.store.answer.lock() = StoreAnswer::Unavailable;
    // Enough for dozens of tries.
    for _ in 0..60 {
        worker.control.advance(TimeDelta::seconds(15));
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let runs = worker.runs().await;
    assert_eq!(runs[0].version_id, run.version_id, "it was not tried");
    rotator.resume(&orders, cause()).await.unwrap();
    continued(&worker, &run).await;
    worker.end().await;
}

#[tokio::test]
async fn a_waiting_run_is_taken_up_after_a_restart() {
    let (_folder, journal, worker, run) = waiting().await;
    worker.end().await;
    // `missed = "skip"`: a window without a run would be over.
    let now = "2026-11-20T07:10:00";
    let worker = TestWorker::begin_on(journal, DAILY, now, StoreAnswer::Unavailable).await;
    continued(&worker, &run).await;
    worker.end().await;
}

#[tokio::test]
async fn a_window_that_closes_is_missed_with_the_reason() {
    let (_folder, _journal, worker, _) = waiting().await;
    worker.control.set(at("2026-11-20T08:00:00"));
    worker
        .until_windows(&[(OPENS, RunState::Missed, MISSING)])
        .await;
    assert_eq!(worker.end().await.len(), 1);
}

#[tokio::test]
async fn a_worker_that_starts_later_records_the_reason() {
    let (_folder, journal, worker, _) = waiting().await;
    worker.end().await;
    let now = "2026-11-20T09:00:00";
    let worker = TestWorker::begin_on(journal, DAILY, now, StoreAnswer::Unavailable).await;
    worker
        .until_windows(&[(OPENS, RunState::Missed, MISSING)])
        .await;
    worker.end().await;
}
