//! Words from outside to the scheduler.

use tokio::sync::oneshot;

use super::{Mood, Shift, settings};
use crate::worker::scheduler::Command;

#[tokio::test]
async fn who_asks_the_scheduler_is_answered_after_the_words_before_are_carried_out_and_not_once_it_is_gone()
 {
    let daily = "schedule = \"cron(0 7 * * ? *)\"";
    let shift = Shift::begin(daily, "2026-11-20T06:00:00", Mood::Empty).await;
    let more = format!("{daily}\n[[rotation]]\nname = \"billing\"\nsecret = \"billing\"");
    let reload = Command::Reload(Box::new(settings(&more)));
    shift.commands.send(reload).await.unwrap();
    let (answer, answered) = oneshot::channel();
    shift.commands.send(Command::Barrier(answer)).await.unwrap();
    answered.await.unwrap();
    assert!(shift.state.rotation("billing").is_some());

    shift.worker.abort();
    assert!(shift.worker.await.unwrap_err().is_cancelled());
    let (answer, answered) = oneshot::channel();
    assert!(shift.commands.send(Command::Barrier(answer)).await.is_err());
    assert!(answered.await.is_err(), "nobody answers in its place");
}
