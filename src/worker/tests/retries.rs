//! Tries that fail: how many, and what becomes of the window.

use super::*;
use crate::worker::window_runner::MAX_FAILURES;
use chrono::TimeDelta;

#[tokio::test]
async fn a_run_that_fails_too_often_has_failed_until_the_next_window() {
    let daily = "schedule = \"cron(0 7 * * ? *)\"\nwindow = \"12h\"";
    let shift = Shift::begin(daily, "2026-11-20T06:00:00", Mood::Down).await;
    shift.hand.set(at("2026-11-20T07:00:00"));
    shift
        .until("the run has failed for good", async || {
            let runs = shift.runs().await;
            let state = runs.first().map(|run| run.state);
            // Time goes by while it waits for another try, and not while one is on.
            if state == Some(RunState::Deferred) {
                shift.hand.advance(TimeDelta::seconds(10));
            }
            state == Some(RunState::Failed)
        })
        .await;
    let run = &shift.runs().await[0];
    assert_eq!(run.attempt, MAX_FAILURES);
    assert_eq!(run.error.as_ref().unwrap().code, Code::StoreUnavailable);
    assert!(
        run.finished.unwrap() < at("2026-11-20T12:00:00"),
        "the window is still open"
    );
    let reads = shift.store.reads.load(Ordering::SeqCst);
    shift.hand.set(at("2026-11-20T18:00:00"));

    shift.hand.set(at("2026-11-21T07:00:00"));
    shift
        .until("the next window's run has been tried", async || {
            let runs = shift.runs().await;
            runs.get(1)
                .is_some_and(|run| run.state == RunState::Deferred)
        })
        .await;
    assert_eq!(
        shift.store.reads.load(Ordering::SeqCst),
        reads + 1,
        "nothing was tried in between"
    );
    shift.end().await;
}
