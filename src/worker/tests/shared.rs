//! Workers that share a journal and start in an open window that none of them may begin.

use super::*;
use crate::journal::tests::postgres::with_test_time;
use crate::rotation::event::{Event, Received};

const DAILY: &str = "schedule = \"cron(0 7 * * ? *)\"\nwindow = \"1h\"";

#[tokio::test]
async fn an_open_window_is_left_to_others_and_missed_once() {
    let journal = Arc::new(with_test_time().await);
    let names = ["orders".to_owned()];
    journal
        .first_seen(&names, at("2026-11-19T00:00:00"))
        .await
        .unwrap();
    let mut workers = Vec::new();
    for _ in 0..2 {
        let journal = Arc::clone(&journal) as Arc<dyn Journal>;
        workers.push(
            TestWorker::begin_on(journal, DAILY, "2026-11-20T07:30:00", StoreAnswer::NotFound)
                .await,
        );
    }
    let mut events: Vec<_> = workers
        .iter()
        .map(|worker| worker.state.runner.rotator.events.subscribe())
        .collect();
    assert_eq!(
        workers[0].windows().await,
        [],
        "another worker may be about to run it"
    );
    for worker in &workers {
        worker.control.set(at("2026-11-20T08:00:00"));
    }
    workers[0]
        .until_windows(&[(
            "2026-11-20T07:00",
            RunState::Missed,
            Some(Code::WindowClosed),
        )])
        .await;
    for worker in workers {
        worker
            .until("its window is over", async || worker.state.tasks.is_empty())
            .await;
        assert_eq!(worker.end().await.len(), 1);
    }
    let mut reported = 0;
    for events in &mut events {
        while let Some(heard) = events.try_recv() {
            let missed = |event: &Event| matches!(event, Event::WindowMissed { .. });
            reported += usize::from(matches!(heard, Received::Event(h) if missed(&h.event)));
        }
    }
    assert_eq!(reported, 1, "one worker reports it");
}
