//! Windows across midnight and the year's end; a clock that jumps, and a machine that sleeps. To a worker
//! a suspension is a jump forward.

use super::*;
use crate::journal::Trigger;
use crate::rotation::event::{Event, Received};
use crate::schedule::Window;
use RunState::{Deferred, Failed, Missed};

const DAILY: &str = "schedule = \"cron(0 7 * * ? *)\"\nwindow = \"1h\"";
const MISSING: Option<Code> = Some(Code::SecretNotFound);
const DOWN: Option<Code> = Some(Code::StoreUnavailable);
const CLOSED: Option<Code> = Some(Code::WindowClosed);

#[tokio::test]
async fn a_window_across_the_years_end_is_one_window_with_one_run() {
    let nightly = "schedule = \"cron(30 23 * * ? *)\"\nwindow = \"1h\"";
    let shift = Shift::begin(nightly, "2026-12-31T23:00:00", Mood::Down).await;
    shift.hand.set(at("2026-12-31T23:30:00"));
    shift
        .until_windows(&[("2026-12-31T23:30", Deferred, DOWN)])
        .await;
    let before = shift.runs().await;
    shift.hand.set(at("2027-01-01T00:29:00"));
    shift
        .until("another try in the new year", async || {
            let runs = shift.runs().await;
            runs[0].attempt > before[0].attempt && runs[0].state == Deferred
        })
        .await;
    assert_eq!(shift.runs().await[0].version_id, before[0].version_id);
    shift.hand.set(at("2027-01-01T00:30:00"));
    shift
        .until_windows(&[("2026-12-31T23:30", Missed, DOWN)])
        .await;
    shift.hand.set(at("2027-01-01T23:30:00"));
    shift
        .until_windows(&[
            ("2026-12-31T23:30", Missed, DOWN),
            ("2027-01-01T23:30", Deferred, DOWN),
        ])
        .await;
    shift.end().await;
}

#[tokio::test]
async fn after_a_sleep_over_several_windows_the_open_one_is_taken_up_and_the_first_told_as_missed()
{
    let run_it = format!("{DAILY}\nmissed = \"run\"");
    let shift = Shift::begin(&run_it, "2026-11-20T06:00:00", Mood::Empty).await;
    shift.hand.set(at("2026-11-23T07:30:00"));
    shift
        .until_windows(&[
            ("2026-11-20T07:00", Missed, CLOSED),
            ("2026-11-23T07:00", Failed, MISSING),
        ])
        .await;
    shift.hand.set(at("2026-11-24T07:00:00"));
    shift
        .until_windows(&[
            ("2026-11-20T07:00", Missed, CLOSED),
            ("2026-11-23T07:00", Failed, MISSING),
            ("2026-11-24T07:00", Failed, MISSING),
        ])
        .await;
    shift.end().await;
}

#[tokio::test]
async fn after_a_sleep_into_an_open_window_skip_tells_it_as_missed_and_rotates_nothing() {
    let shift = Shift::begin(DAILY, "2026-11-20T06:00:00", Mood::Empty).await;
    shift.hand.set(at("2026-11-23T07:30:00"));
    shift
        .until_windows(&[
            ("2026-11-20T07:00", Missed, CLOSED),
            ("2026-11-23T07:00", Missed, CLOSED),
        ])
        .await;
    assert_eq!(shift.store.reads.load(Ordering::SeqCst), 0);
    shift.end().await;
}

#[tokio::test]
async fn a_clock_set_back_to_before_a_window_that_was_worked_through_does_not_open_it_again() {
    let run_it = format!("{DAILY}\nmissed = \"run\"");
    let shift = Shift::begin(&run_it, "2026-11-20T06:00:00", Mood::Empty).await;
    shift.hand.set(at("2026-11-20T07:00:00"));
    let first = ("2026-11-20T07:00", Failed, MISSING);
    shift.until_windows(&[first]).await;
    let told = tokio::spawn({
        let clock = shift.state.runner.rotator.context.clock.clone();
        async move { clock.set_back().await }
    });
    let sleepers = shift.hand.sleepers();
    shift
        .until("it watches the clock", async || {
            shift.hand.sleepers() > sleepers
        })
        .await;
    shift.hand.set(at("2026-11-20T06:30:00"));
    told.await.unwrap();
    shift.hand.set(at("2026-11-20T07:00:00"));
    // Whether or not the worker has seen seven o'clock come again.
    shift.hand.set(at("2026-11-21T07:00:00"));
    shift
        .until_windows(&[first, ("2026-11-21T07:00", Failed, MISSING)])
        .await;
    assert!(shift.runs().await.iter().all(|run| run.attempt == 1));
    shift.end().await;
}

#[tokio::test]
async fn a_clock_that_was_years_ahead_is_no_reason_to_sleep_for_years() {
    for (keys, next) in [
        (DAILY, "2026-11-20T07:00"),
        (
            "schedule = \"rate(1 day)\"\nwindow = \"1h\"",
            "2026-11-21T06:00",
        ),
    ] {
        let shift = Shift::begin(keys, "2031-03-01T06:00:00", Mood::Empty).await;
        shift.hand.set(at("2026-11-20T06:00:00"));
        shift
            .until("it is known since today", async || {
                let memory = shift.journal.memory_of("orders").await.unwrap().unwrap();
                memory.first_seen == Some(at("2026-11-20T06:00:00"))
            })
            .await;
        shift.hand.set(at(&format!("{next}:00")));
        shift.until_windows(&[(next, Failed, MISSING)]).await;
        shift.end().await;
    }
}

#[tokio::test]
async fn a_clock_adjusted_to_just_before_the_opening_makes_a_try_wait_and_not_fail() {
    let shift = Shift::begin("", "2026-11-20T06:59:59", Mood::Empty).await;
    let window = Window {
        opens: at("2026-11-20T07:00:00"),
        closes: at("2026-11-20T08:00:00"),
    };
    let work = tokio::spawn({
        let (runner, rotation) = (
            shift.state.runner.clone(),
            shift.state.rotation("orders").unwrap(),
        );
        async move { runner.work(&rotation, window, Trigger::Schedule).await }
    });
    let sleepers = shift.hand.sleepers();
    shift
        .until("it waits", async || {
            shift.hand.sleepers() > sleepers || work.is_finished()
        })
        .await;
    assert_eq!(shift.windows().await, []);
    shift.hand.set(window.opens);
    work.await.unwrap();
    shift
        .until_windows(&[("2026-11-20T07:00", Failed, MISSING)])
        .await;
    shift.end().await;
}

#[tokio::test]
async fn a_clock_set_back_between_two_tries_makes_the_wait_no_longer() {
    let shift = Shift::begin(DAILY, "2026-11-20T06:00:00", Mood::Down).await;
    shift.hand.set(at("2026-11-20T07:30:00"));
    shift
        .until_windows(&[("2026-11-20T07:00", Deferred, DOWN)])
        .await;
    *shift.store.mood.lock() = Mood::Empty;
    shift.hand.set(at("2026-11-20T07:10:00"));
    // A minute, and not the twenty that the clock has to make good.
    let mut seconds = 0;
    shift
        .until("another try", async || {
            seconds += 1;
            shift.hand.advance(chrono::TimeDelta::seconds(1));
            shift.runs().await[0].state == Failed
        })
        .await;
    assert!(seconds < 60, "{seconds}");
    shift.end().await;
}

#[tokio::test]
async fn a_run_by_hand_in_a_window_that_was_worked_through_does_not_make_it_a_missed_one() {
    let shift = Shift::begin(DAILY, "2026-11-20T06:00:00", Mood::Empty).await;
    shift.hand.set(at("2026-11-20T07:00:00"));
    let first = ("2026-11-20T07:00", Failed, MISSING);
    shift.until_windows(&[first]).await;
    let rotation = shift.state.rotation("orders").unwrap();
    shift
        .state
        .rotate(rotation, false, None, None)
        .await
        .unwrap();
    let mut events = shift.state.runner.rotator.events.subscribe();
    let again = Box::new(settings(DAILY));
    shift.commands.send(Command::Reload(again)).await.unwrap();
    shift
        .until("the config is read again", async || {
            shift.commands.capacity() == 1
        })
        .await;
    shift.hand.set(at("2026-11-21T07:00:00"));
    shift
        .until("the next day's run has ended", async || {
            let runs = shift.runs().await;
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
async fn a_config_that_is_read_again_at_the_moment_of_an_opening_makes_no_window_missed() {
    let shift = Shift::begin(DAILY, "2026-11-20T06:00:00", Mood::Empty).await;
    let mut told = Vec::new();
    for day in 20..28 {
        told.push(format!("2026-11-{day}T07:00"));
        let again = Box::new(settings(DAILY));
        // Both are there when the worker observation_permits.
        shift.commands.send(Command::Reload(again)).await.unwrap();
        shift.hand.set(at(&format!("2026-11-{day}T07:00:00")));
        let expected: Vec<_> = told
            .iter()
            .map(|opens| (opens.as_str(), Failed, MISSING))
            .collect();
        shift.until_windows(&expected).await;
        shift
            .until("the config is read", async || {
                shift.commands.capacity() == 1
            })
            .await;
    }
    shift.end().await;
}
