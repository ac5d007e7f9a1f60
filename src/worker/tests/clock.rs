//! Windows across midnight and the year's end, a clock that jumps and a machine that sleeps.
//!
//! To a worker a suspension is a jump forward.

use super::*;
use crate::journal::{Actor, Trigger};
use crate::rotation::event::{Event, Received};
use crate::schedule::Window;
use crate::worker::state::RotateOptions;
use RunState::{Deferred, Failed, Missed};

const DAILY: &str = "schedule = \"cron(0 7 * * ? *)\"\nwindow = \"1h\"";
const MISSING: Option<Code> = Some(Code::SecretNotFound);
const DOWN: Option<Code> = Some(Code::StoreUnavailable);
const CLOSED: Option<Code> = Some(Code::WindowClosed);

#[tokio::test]
async fn a_window_across_the_years_end_is_one_window_with_one_run() {
    let nightly = "schedule = \"cron(30 23 * * ? *)\"\nwindow = \"1h\"";
    let worker = TestWorker::begin(nightly, "2026-12-31T23:00:00", StoreAnswer::Unavailable).await;
    worker.control.set(at("2026-12-31T23:30:00"));
    worker
        .until_windows(&[("2026-12-31T23:30", Deferred, DOWN)])
        .await;
    let before = worker.runs().await;
    worker.control.set(at("2027-01-01T00:29:00"));
    worker
        .until("another try in the new year", async || {
            let runs = worker.runs().await;
            runs[0].attempt > before[0].attempt && runs[0].state == Deferred
        })
        .await;
    assert_eq!(worker.runs().await[0].version_id, before[0].version_id);
    worker.control.set(at("2027-01-01T00:30:00"));
    worker
        .until_windows(&[("2026-12-31T23:30", Missed, DOWN)])
        .await;
    worker.control.set(at("2027-01-01T23:30:00"));
    worker
        .until_windows(&[
            ("2026-12-31T23:30", Missed, DOWN),
            ("2027-01-01T23:30", Deferred, DOWN),
        ])
        .await;
    worker.end().await;
}

#[tokio::test]
async fn after_a_sleep_the_open_window_runs_and_one_is_missed() {
    let run_it = format!("{DAILY}\nmissed = \"run\"");
    let worker = TestWorker::begin(&run_it, "2026-11-20T06:00:00", StoreAnswer::NotFound).await;
    worker.control.set(at("2026-11-23T07:30:00"));
    worker
        .until_windows(&[
            ("2026-11-20T07:00", Missed, CLOSED),
            ("2026-11-23T07:00", Failed, MISSING),
        ])
        .await;
    worker.control.set(at("2026-11-24T07:00:00"));
    worker
        .until_windows(&[
            ("2026-11-20T07:00", Missed, CLOSED),
            ("2026-11-23T07:00", Failed, MISSING),
            ("2026-11-24T07:00", Failed, MISSING),
        ])
        .await;
    worker.end().await;
}

#[tokio::test]
async fn after_a_sleep_into_an_open_window_skip_records_it_as_missed() {
    let worker = TestWorker::begin(DAILY, "2026-11-20T06:00:00", StoreAnswer::NotFound).await;
    worker.control.set(at("2026-11-23T07:30:00"));
    worker
        .until_windows(&[
            ("2026-11-20T07:00", Missed, CLOSED),
            ("2026-11-23T07:00", Missed, CLOSED),
        ])
        .await;
    assert_eq!(worker.store.reads.load(Ordering::SeqCst), 0);
    worker.end().await;
}

#[tokio::test]
async fn a_finished_window_does_not_reopen_when_the_clock_is_set_back() {
    let run_it = format!("{DAILY}\nmissed = \"run\"");
    let worker = TestWorker::begin(&run_it, "2026-11-20T06:00:00", StoreAnswer::NotFound).await;
    worker.control.set(at("2026-11-20T07:00:00"));
    let first = ("2026-11-20T07:00", Failed, MISSING);
    worker.until_windows(&[first]).await;
    let set_back = tokio::spawn({
        let clock = worker.state.runner.rotator.context.clock.clone();
        async move { clock.wait_for_rollback().await }
    });
    let sleepers = worker.control.sleepers();
    worker
        .until("the task watches the clock", async || {
            worker.control.sleepers() > sleepers
        })
        .await;
    worker.control.set(at("2026-11-20T06:30:00"));
    set_back.await.unwrap();
    worker.control.set(at("2026-11-20T07:00:00"));
    // The worker may or may not notice seven o'clock again.
    worker.control.set(at("2026-11-21T07:00:00"));
    worker
        .until_windows(&[first, ("2026-11-21T07:00", Failed, MISSING)])
        .await;
    assert!(worker.runs().await.iter().all(|run| run.attempt == 1));
    worker.end().await;
}

#[tokio::test]
async fn a_clock_that_was_years_ahead_delays_no_window() {
    for (keys, next) in [
        (DAILY, "2026-11-20T07:00"),
        (
            "schedule = \"rate(1 day)\"\nwindow = \"1h\"",
            "2026-11-21T06:00",
        ),
    ] {
        let worker = TestWorker::begin(keys, "2031-03-01T06:00:00", StoreAnswer::NotFound).await;
        worker.control.set(at("2026-11-20T06:00:00"));
        worker
            .until("the rotation is recorded as of today", async || {
                let memory = worker
                    .journal
                    .rotation_record("orders")
                    .await
                    .unwrap()
                    .unwrap();
                memory.first_seen == Some(at("2026-11-20T06:00:00"))
            })
            .await;
        worker.control.set(at(&format!("{next}:00")));
        worker.until_windows(&[(next, Failed, MISSING)]).await;
        worker.end().await;
    }
}

#[tokio::test]
async fn an_attempt_waits_for_the_opening_if_the_clock_is_set_back() {
    let worker = TestWorker::begin("", "2026-11-20T06:59:59", StoreAnswer::NotFound).await;
    let window = Window {
        opens: at("2026-11-20T07:00:00"),
        closes: at("2026-11-20T08:00:00"),
    };
    let work = tokio::spawn({
        let (runner, rotation) = (
            worker.state.runner.clone(),
            worker.state.rotation("orders").unwrap(),
        );
        async move { runner.run(&rotation, window, Trigger::Schedule).await }
    });
    let sleepers = worker.control.sleepers();
    worker
        .until("the attempt waits", async || {
            worker.control.sleepers() > sleepers || work.is_finished()
        })
        .await;
    assert_eq!(worker.windows().await, []);
    worker.control.set(window.opens);
    work.await.unwrap();
    worker
        .until_windows(&[("2026-11-20T07:00", Failed, MISSING)])
        .await;
    worker.end().await;
}

#[tokio::test]
async fn a_clock_set_back_between_attempts_does_not_prolong_the_wait() {
    let worker = TestWorker::begin(DAILY, "2026-11-20T06:00:00", StoreAnswer::Unavailable).await;
    worker.control.set(at("2026-11-20T07:30:00"));
    worker
        .until_windows(&[("2026-11-20T07:00", Deferred, DOWN)])
        .await;
    *worker.store.answer.lock() = StoreAnswer::NotFound;
    worker.control.set(at("2026-11-20T07:10:00"));
    // The wait is a minute, not the twenty by which the clock was set back.
    let mut seconds = 0;
    worker
        .until("another try", async || {
            seconds += 1;
            worker.control.advance(chrono::TimeDelta::seconds(1));
            worker.runs().await[0].state == Failed
        })
        .await;
    assert!(seconds < 60, "{seconds}");
    worker.end().await;
}

#[tokio::test]
async fn a_manual_run_after_a_window_does_not_make_it_missed() {
    let worker = TestWorker::begin(DAILY, "2026-11-20T06:00:00", StoreAnswer::NotFound).await;
    worker.control.set(at("2026-11-20T07:00:00"));
    let first = ("2026-11-20T07:00", Failed, MISSING);
    worker.until_windows(&[first]).await;
    let rotation = worker.state.rotation("orders").unwrap();
    worker
        .state
        .rotate(
            rotation,
            RotateOptions::default(),
            Actor::worker("test").into(),
            None,
        )
        .await
        .unwrap();
    let mut events = worker.state.runner.rotator.events.subscribe();
    let again = Box::new(settings(DAILY));
    worker.commands.send(Command::Reload(again)).await.unwrap();
    worker
        .until("the config is read again", async || {
            worker.commands.capacity() == 1
        })
        .await;
    worker.control.set(at("2026-11-21T07:00:00"));
    worker
        .until("the next day's run has ended", async || {
            let runs = worker.runs().await;
            runs.len() == 3 && runs.iter().all(|run| run.state == Failed)
        })
        .await;
    while let Some(heard) = events.try_recv() {
        let Received::Event(happened) = heard else {
            panic!("no event was lost");
        };
        assert!(
            !matches!(happened.event, Event::WindowMissed { .. }),
            "{happened:?}"
        );
    }
}

#[tokio::test]
async fn a_reload_at_an_opening_makes_no_window_missed() {
    let worker = TestWorker::begin(DAILY, "2026-11-20T06:00:00", StoreAnswer::NotFound).await;
    let mut openings = Vec::new();
    for day in 20..28 {
        openings.push(format!("2026-11-{day}T07:00"));
        let again = Box::new(settings(DAILY));
        // Both are there when the worker observation_permits.
        worker.commands.send(Command::Reload(again)).await.unwrap();
        worker.control.set(at(&format!("2026-11-{day}T07:00:00")));
        let expected: Vec<_> = openings
            .iter()
            .map(|opens| (opens.as_str(), Failed, MISSING))
            .collect();
        worker.until_windows(&expected).await;
        worker
            .until("the config is read", async || {
                worker.commands.capacity() == 1
            })
            .await;
    }
    worker.end().await;
}
