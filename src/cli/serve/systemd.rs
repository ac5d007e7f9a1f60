//! Service state for systemd (sd_notify(3)): `Type=notify` and `WatchdogSec=`.
//!
//! # Failure modes
//! - Dependent units start before the worker: `READY=1` is sent when the schedules are armed, after the
//!   endpoint listens.
//! - A reload is reported too early: `READY=1` is sent after the scheduler has applied or the worker has
//!   refused the new config.
//! - The scheduler or another service hangs: the watchdog is notified only after responses of all.
//! - There is no service manager, or it cannot be notified: the worker continues.

use sd_notify::NotifyState;
use tokio::sync::{mpsc, oneshot};

use crate::worker::scheduler::Command;
use twinkey_core::tasks::Tasks;
use twinkey_core::telemetry::Clock;

/// A state of the worker.
#[derive(Debug, Clone, Copy)]
pub(super) enum ServiceState {
    Ready,
    Reloading,
    /// A reload has finished, and the new config is active.
    Reloaded,
    /// A reload has finished, and the previous config stays active.
    Refused,
    Stopping,
}

/// Reports a state to the service manager, if there is one.
pub(super) fn report_state(state: ServiceState) {
    use NotifyState::{MonotonicUsec, Ready, Reloading, Status, Stopping};
    match state {
        ServiceState::Ready => send(&[Ready, Status("schedules armed")]),
        ServiceState::Reloading => match NotifyState::monotonic_usec_now() {
            Ok(MonotonicUsec(now)) => send(&[Reloading, MonotonicUsec(now)]),
            _ => send(&[Reloading]),
        },
        ServiceState::Reloaded => send(&[Ready, Status("config reloaded")]),
        ServiceState::Refused => send(&[
            Ready,
            Status("new config refused, the previous one stays active"),
        ]),
        ServiceState::Stopping => send(&[Stopping, Status("finishing running rotations")]),
    }
}

/// Whether the scheduler has processed all earlier commands; `false` if it has stopped.
pub(super) async fn scheduler_processed(commands: &mpsc::Sender<Command>) -> bool {
    let (response, received) = oneshot::channel();
    commands.send(Command::Barrier(response)).await.is_ok() && received.await.is_ok()
}

/// Whether the scheduler responds; `false` if it has stopped.
async fn scheduler_responds(commands: &mpsc::Sender<Command>) -> bool {
    let (response, received) = oneshot::channel();
    commands.send(Command::Ping(response)).await.is_ok() && received.await.is_ok()
}

/// Reports readiness, then notifies the watchdog, if there is one, while the scheduler and all other
/// services respond.
pub(super) async fn run_watchdog(commands: mpsc::Sender<Command>, tasks: Tasks, clock: Clock) {
    if scheduler_processed(&commands).await {
        report_state(ServiceState::Ready);
    }
    if let Some(limit) = sd_notify::watchdog_enabled() {
        // Half the limit, as sd_watchdog_enabled(3) recommends.
        let interval = limit / 2;
        while scheduler_responds(&commands).await {
            match tasks.unresponsive(interval).await.as_slice() {
                [] => send(&[NotifyState::Watchdog]),
                silent => {
                    tracing::error!(
                        tasks = silent.join(", "),
                        "tasks do not respond; watchdog not notified"
                    );
                }
            }
            clock.sleep(interval).await;
        }
    }
    // The scheduler has stopped, or there is no watchdog.
    std::future::pending().await
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "service manager notification failed");
    }
}
