//! Commands to the scheduler.

use tokio::sync::oneshot;

use super::{StoreAnswer, TestWorker, settings};
use crate::worker::scheduler::Command;

#[tokio::test]
async fn a_barrier_replies_after_the_commands_before_it() {
    let daily = "schedule = \"cron(0 7 * * ? *)\"";
    let worker = TestWorker::begin(daily, "2026-11-20T06:00:00", StoreAnswer::NotFound).await;
    let more = format!("{daily}\n[[rotation]]\nname = \"billing\"\nsecret = \"billing\"");
    let reload = Command::Reload(Box::new(settings(&more)));
    worker.commands.send(reload).await.unwrap();
    let (reply, replied) = oneshot::channel();
    worker.commands.send(Command::Barrier(reply)).await.unwrap();
    replied.await.unwrap();
    assert!(worker.state.rotation("billing").is_some());

    worker.task.abort();
    assert!(worker.task.await.unwrap_err().is_cancelled());
    let (reply, replied) = oneshot::channel();
    assert!(worker.commands.send(Command::Barrier(reply)).await.is_err());
    assert!(replied.await.is_err(), "the channel is closed");
}
