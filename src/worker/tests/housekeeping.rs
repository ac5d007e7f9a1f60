//! Jobs of the housekeeping, and a journal that does not respond.

use super::*;
use crate::journal::tests::fixture;
use crate::worker::housekeeping::{self, HousekeepingJob, journal_jobs};
use std::time::Duration;

const DAILY: &str = "schedule = \"cron(0 7 * * ? *)\"\nwindow = \"1h\"";
const KEEP: Duration = Duration::from_secs(30 * 86_400);

/// A job that runs each second, and whose runs end when they are released.
struct SlowJob {
    begun: mpsc::UnboundedSender<()>,
    released: Arc<Semaphore>,
    running: Arc<AtomicUsize>,
}

#[async_trait]
impl HousekeepingJob for SlowJob {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn schedule(&self) -> &'static str {
        "* * * * * *"
    }

    async fn run(&mut self) {
        assert_eq!(
            self.running.fetch_add(1, Ordering::SeqCst),
            0,
            "it runs twice"
        );
        self.begun.send(()).unwrap();
        self.released.acquire().await.unwrap().forget();
        self.running.fetch_sub(1, Ordering::SeqCst);
    }
}

struct PanickingJob;

#[async_trait]
impl HousekeepingJob for PanickingJob {
    fn name(&self) -> &'static str {
        "panicking"
    }

    fn schedule(&self) -> &'static str {
        "* * * * * *"
    }

    async fn run(&mut self) {
        panic!("in a job");
    }
}

async fn new_journal(folder: &tempfile::TempDir) -> Arc<dyn Journal> {
    let journal = SqliteJournal::open(&folder.path().join("j.db")).await;
    Arc::new(journal.unwrap())
}

/// A worker whose schedules are armed; the housekeeping is left to the test.
async fn worker() -> TestWorker {
    TestWorker::begin(DAILY, "2026-11-20T06:00:00", StoreAnswer::NotFound).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_job_runs_again_and_never_twice_at_once() {
    let worker = worker().await;
    let (begun, mut runs) = mpsc::unbounded_channel();
    let released = Arc::new(Semaphore::new(0));
    let job = SlowJob {
        begun,
        released: Arc::clone(&released),
        running: Arc::default(),
    };
    housekeeping::start(&worker.state, vec![Box::new(job)]);
    runs.recv().await.unwrap();
    // Times pass while it runs.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(runs.try_recv().is_err());
    released.add_permits(1);
    // The times that passed are one run, which does not end either.
    runs.recv().await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(runs.try_recv().is_err());
    released.add_permits(10);
    for _ in 0..3 {
        runs.recv().await.unwrap();
    }
    assert_eq!(worker.state.tasks.failure(), None);
    worker.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_panics_is_a_failure_of_the_worker() {
    let worker = worker().await;
    housekeeping::start(&worker.state, vec![Box::new(PanickingJob)]);
    let failure = worker.state.tasks.failed().await;
    assert_eq!(failure.to_string(), "task panicking panicked: in a job");
    worker.end().await;
}

#[tokio::test]
async fn old_history_is_removed_in_batches() {
    let folder = tempfile::tempdir().unwrap();
    let journal = new_journal(&folder).await;
    for n in 0..700 {
        let old = fixture::by("a", fixture::at(0), fixture::request("orders", n));
        let run = fixture::claimed(&*journal, &old).await;
        fixture::end(&*journal, &run, RunState::Succeeded, fixture::at(1)).await;
    }
    let now = (fixture::at(0) + chrono::TimeDelta::days(31)).format("%Y-%m-%dT%H:%M:%S");
    let (state, _, _control) = new_state(
        Arc::clone(&journal),
        "",
        &now.to_string(),
        StoreAnswer::NotFound,
    );
    let jobs = journal_jobs(&state, KEEP);
    let mut job = jobs
        .into_iter()
        .find(|job| job.name() == "old history")
        .unwrap();
    job.run().await;
    let all = RunQuery {
        limit: 1000,
        ..RunQuery::default()
    };
    let kept = journal.runs(&all).await.unwrap();
    assert_eq!(kept.len(), 1, "the newest success");
}

#[tokio::test]
async fn a_run_whose_worker_exited_is_ended_after_its_window() {
    let folder = tempfile::tempdir().unwrap();
    let journal = new_journal(&folder).await;
    let abandoned = fixture::claimed(&*journal, &fixture::request("orders", 1)).await;
    let closes = abandoned.window.unwrap().closes;
    let now = closes.format("%Y-%m-%dT%H:%M:%S").to_string();
    let (state, _, control) = new_state(Arc::clone(&journal), "", &now, StoreAnswer::NotFound);
    let jobs = journal_jobs(&state, KEEP);
    let mut job = jobs
        .into_iter()
        .find(|job| job.name() == "abandoned runs")
        .unwrap();
    let mut events = state.runner.rotator.events.subscribe();
    job.run().await;
    assert_eq!(
        fixture::read(&*journal, &abandoned).await.state,
        RunState::Running
    );
    assert!(events.try_recv().is_none());
    control.advance(chrono::TimeDelta::seconds(62));
    job.run().await;
    assert_eq!(
        fixture::read(&*journal, &abandoned).await.state,
        RunState::Missed
    );
    assert!(events.try_recv().is_some(), "it is reported");
}

#[tokio::test]
async fn a_user_is_locked_when_it_is_due() {
    let folder = tempfile::tempdir().unwrap();
    let journal = new_journal(&folder).await;
    fixture::flip(&*journal, "orders", at("2026-11-20T05:59:30")).await;
    let keys = "min_interval = \"0s\"\nretire_after = \"1m\"";
    let (now, answer) = ("2026-11-20T06:00:00", StoreAnswer::NotFound);
    let (state, store, control) = new_state(Arc::clone(&journal), keys, now, answer);
    let jobs = journal_jobs(&state, KEEP);
    let mut job = jobs
        .into_iter()
        .find(|job| job.name() == "retirements")
        .unwrap();
    let mut attempts = async || {
        job.run().await;
        while !state.tasks.is_empty() {
            tokio::task::yield_now().await;
        }
        store.reads.load(Ordering::SeqCst)
    };
    assert_eq!(attempts().await, 0, "it is not due");
    control.set(at("2026-11-20T06:00:29"));
    assert_eq!(attempts().await, 0);
    control.set(at("2026-11-20T06:00:30"));
    let tried = attempts().await;
    assert!(tried > 0, "the secret is read to lock the user");
    control.set(at("2026-11-20T06:05:00"));
    assert_eq!(
        attempts().await,
        tried,
        "it is tried again after ten minutes"
    );
    // Without the key, at the next reload, and with it again.
    state.replace(Arc::new(settings("").rotations.into_iter().collect()));
    control.set(at("2026-11-20T06:20:00"));
    assert_eq!(attempts().await, tried);
    state.replace(Arc::new(settings(keys).rotations.into_iter().collect()));
    assert!(attempts().await > tried);
}
