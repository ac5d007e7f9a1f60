//! What the service manager is told of the worker, by sd_notify(3): systemd's `Type=notify` and `WatchdogSec=`.
//!
//! What can go wrong, and what prevents it:
//! - units that need the worker start before it works: it is ready when the schedules are armed, and the endpoint
//!   listens since before that;
//! - a reload counts as done before it is: `READY=1` comes after the scheduler has taken up the new config, or after
//!   the config was refused;
//! - a worker whose scheduler hangs lives on: the watchdog is fed only after the scheduler itself has answered;
//! - there is no service manager: then nothing is sent. One that cannot be told stops nobody.

use sd_notify::NotifyState;
use tokio::sync::{mpsc, oneshot};

use crate::worker::scheduler::Command;
use twinkey_core::telemetry::Clock;

/// What becomes of the worker.
#[derive(Debug, Clone, Copy)]
pub(super) enum News {
    Ready,
    Reloading,
    /// A reload is over: the new config is in force.
    Reloaded,
    /// A reload is over: the old config stays in force.
    Refused,
    Stopping,
}

/// Tells the service manager, if there is one.
pub(super) fn tell(news: News) {
    use NotifyState::{MonotonicUsec, Ready, Reloading, Status, Stopping};
    match news {
        News::Ready => send(&[Ready, Status("the schedules are armed")]),
        News::Reloading => match NotifyState::monotonic_usec_now() {
            Ok(MonotonicUsec(now)) => send(&[Reloading, MonotonicUsec(now)]),
            _ => send(&[Reloading]),
        },
        News::Reloaded => send(&[Ready, Status("the config was reloaded")]),
        News::Refused => send(&[
            Ready,
            Status("the new config was refused, the old one is in force"),
        ]),
        News::Stopping => send(&[Stopping, Status("letting the runs end that are on")]),
    }
}

/// Whether the scheduler has carried out every word before this one; `false` if it is gone.
pub(super) async fn heard(commands: &mpsc::Sender<Command>) -> bool {
    let (answer, answered) = oneshot::channel();
    commands.send(Command::Barrier(answer)).await.is_ok() && answered.await.is_ok()
}

/// Says when the worker is ready, then feeds the watchdog if there is one, for as long as the scheduler answers.
pub(super) async fn keep_told(commands: mpsc::Sender<Command>, clock: Clock) {
    if heard(&commands).await {
        tell(News::Ready);
    }
    // Half the limit, as sd_watchdog_enabled(3) recommends.
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return;
    };
    while heard(&commands).await {
        send(&[NotifyState::Watchdog]);
        clock.pass(limit / 2).await;
    }
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
