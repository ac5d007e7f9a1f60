//! Decision whether this worker runs a window that is due.
//!
//! # Failure modes
//! - A paused rotation runs because the journal is unavailable. The journal is read until it
//!   answers or the window closes.
//! - A worker starts in an open window that it must not begin, and records it as missed although
//!   another worker is about to run it. It waits until the window closes.

use tokio::sync::OwnedSemaphorePermit;

use crate::config::settings::Rotation;
use crate::journal::{RotationRecord, RunState, Trigger};
use crate::schedule::Window;
use crate::worker::catch_up::still_due;
use crate::worker::rotation_state::pause;
use crate::worker::window_runner::WindowRunner;
use twinkey_core::backoff::Backoff;
use twinkey_core::code::Diagnostic;

impl WindowRunner {
    /// Runs a window, unless it is paused, finished or obsolete.
    pub(super) async fn start_window(&self, rotation: &Rotation, window: Window, trigger: Trigger) {
        let Some((permit, memory)) = self.read_record(rotation, window).await else {
            return;
        };
        let now = self.rotator.context.clock.now();
        let is_paused = |memory: &RotationRecord| pause(rotation, memory, now).is_some();
        match memory {
            memory if memory.as_ref().map_or(rotation.paused, is_paused) => {
                tracing::info!(rotation = %rotation.name, "window skipped: rotation paused");
            }
            Some(memory) if is_finished(&memory, window) => {
                tracing::info!(rotation = %rotation.name, opens = %window.opens, "window skipped: already finished");
            }
            Some(memory)
                if trigger == Trigger::Schedule
                    && !still_due(rotation, &memory, window, self.rotator.context.clock.now()) =>
            {
                tracing::info!(rotation = %rotation.name, "window skipped: moved by a success");
            }
            _ if self.rotator.context.clock.now() >= window.closes => {
                self.record_missed(rotation, window, None).await;
            }
            _ => {
                self.run_with_permit(Some(permit), rotation, window, trigger)
                    .await
            }
        }
    }

    /// Leaves a window to other workers; records it as missed if it closes without a run.
    pub(super) async fn leave_to_others(&self, rotation: &Rotation, window: Window) {
        tokio::select! {
            () = self.rotator.context.clock.sleep_until(window.closes) => {
                self.record_missed(rotation, window, None).await;
            }
            () = self.shutdown.drain.cancelled() => {}
        }
    }

    /// Reads the record of a rotation from the journal, repeatedly while the window is open.
    ///
    /// A permit is taken first, so that a thousand due windows do not read at once. The attempt
    /// that follows uses the permit too. `None` if the worker shuts down.
    async fn read_record(
        &self,
        rotation: &Rotation,
        window: Window,
    ) -> Option<(OwnedSemaphorePermit, Option<RotationRecord>)> {
        let clock = &self.rotator.context.clock;
        let mut tries = 0;
        loop {
            let permit = self.permit().await?;
            match self.rotator.journal.rotation_record(&rotation.name).await {
                Ok(memory) => return Some((permit, memory)),
                Err(_) if clock.now() >= window.closes => return Some((permit, None)),
                Err(error) => {
                    tries += 1;
                    tracing::warn!(rotation = %rotation.name, code = %error.code(), %error, "run not started");
                }
            }
            drop(permit);
            tokio::select! {
                () = clock.sleep(Backoff::RUNS.jittered(tries)) => {}
                () = clock.sleep_until(window.closes) => {}
                () = self.shutdown.drain.cancelled() => return None,
            }
        }
    }
}

/// Whether the run of a window ended.
fn is_finished(memory: &RotationRecord, window: Window) -> bool {
    memory.last_in_window.as_ref().is_some_and(|run| {
        run.window == Some(window) && !matches!(run.state, RunState::Running | RunState::Deferred)
    })
}
