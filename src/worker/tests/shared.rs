//! Workers that share a journal, and start in the middle of a window that none of them may begin.

use super::*;
use crate::journal::tests::postgres::by_our_time;
use crate::rotation::event::{Event, Received};

const DAILY: &str = "schedule = \"cron(0 7 * * ? *)\"\nwindow = \"1h\"";

#[tokio::test]
async fn a_window_that_is_still_open_is_left_to_other_workers_and_missed_once_when_it_has_closed() {
    let journal = Arc::new(by_our_time().await);
    let names = ["orders".to_owned()];
    journal
        .first_seen(&names, at("2026-11-19T00:00:00"))
        .await
        .unwrap();
    let mut shifts = Vec::new();
    for _ in 0..2 {
        let journal = Arc::clone(&journal) as Arc<dyn Journal>;
        shifts.push(Shift::begin_on(journal, DAILY, "2026-11-20T07:30:00", Mood::Empty).await);
    }
    let mut events: Vec<_> = shifts
        .iter()
        .map(|shift| shift.state.runner.rotator.events.subscribe())
        .collect();
    assert_eq!(
        shifts[0].windows().await,
        [],
        "another may be about to work it"
    );
    for shift in &shifts {
        shift.hand.set(at("2026-11-20T08:00:00"));
    }
    shifts[0]
        .until_windows(&[(
            "2026-11-20T07:00",
            RunState::Missed,
            Some(Code::WindowClosed),
        )])
        .await;
    for shift in shifts {
        shift
            .until("its window is over", async || shift.state.tasks.is_empty())
            .await;
        assert_eq!(shift.end().await.len(), 1);
    }
    let mut told = 0;
    for events in &mut events {
        while let Some(heard) = events.try_recv() {
            let missed = |event: &Event| matches!(event, Event::WindowMissed { .. });
            told += usize::from(matches!(heard, Received::Event(h) if missed(&h.event)));
        }
    }
    assert_eq!(told, 1, "one worker tells of it");
}
