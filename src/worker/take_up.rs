//! A window that is due: whether this worker works it, once the journal has said how it stands.
//!
//! What can go wrong, and what prevents it:
//! - a rotation that is paused runs because the journal could not say so: it is asked until it can;
//! - a worker that starts in an open window which it may not begin calls it missed, while another worker is about to
//!   work it: it waits for the end.

use tokio::sync::OwnedSemaphorePermit;

use crate::config::settings::Rotation;
use crate::journal::{RotationMemory, RunState, Trigger};
use crate::schedule::Window;
use crate::worker::backoff::Backoff;
use crate::worker::recover::still_due;
use crate::worker::windows::Crew;

impl Crew {
    /// Works a window through, unless it is paused, over, or no longer one.
    pub(super) async fn take_up(&self, rotation: &Rotation, window: Window, trigger: Trigger) {
        let Some((place, memory)) = self.remembered(rotation, window).await else {
            return;
        };
        match memory {
            Some(memory) if memory.paused => {
                tracing::info!(rotation = %rotation.name, "window passed over: paused");
            }
            Some(memory) if worked_through(&memory, window) => {
                tracing::info!(rotation = %rotation.name, opens = %window.opens, "window passed over: it was worked through before the clock was set");
            }
            Some(memory)
                if trigger == Trigger::Schedule
                    && !still_due(rotation, &memory, window, self.rotator.site.clock.now()) =>
            {
                tracing::info!(rotation = %rotation.name, "window passed over: a success since has moved it");
            }
            _ if self.rotator.site.clock.now() >= window.closes => {
                self.missed(rotation, window, None).await;
            }
            _ => self.work_in(Some(place), rotation, window, trigger).await,
        }
    }

    /// Leaves a window to the other workers, and records it as missed if it closes without a run.
    pub(super) async fn leave_to_others(&self, rotation: &Rotation, window: Window) {
        tokio::select! {
            () = self.rotator.site.clock.sleep_until(window.closes) => {
                self.missed(rotation, window, None).await;
            }
            () = self.stop.winding_down.cancelled() => {}
        }
    }

    /// What is remembered of a rotation; asked for again while its window is open, so that one that is paused is not
    /// worked because the journal was down. First a place: of a thousand that are due, sixteen ask, and not all of
    /// them at once; the try that follows has it too. `None`: the worker winds down.
    async fn remembered(
        &self,
        rotation: &Rotation,
        window: Window,
    ) -> Option<(OwnedSemaphorePermit, Option<RotationMemory>)> {
        let clock = &self.rotator.site.clock;
        let mut tries = 0;
        loop {
            let place = self.place().await?;
            match self.rotator.journal.memory_of(&rotation.name).await {
                Ok(memory) => return Some((place, memory)),
                Err(_) if clock.now() >= window.closes => return Some((place, None)),
                Err(error) => {
                    tries += 1;
                    tracing::warn!(rotation = %rotation.name, code = %error.code(), %error, "the run could not begin");
                }
            }
            drop(place);
            tokio::select! {
                () = clock.pass(Backoff::RUNS.jittered(tries)) => {}
                () = clock.sleep_until(window.closes) => {}
                () = self.stop.winding_down.cancelled() => return None,
            }
        }
    }
}

/// Whether a window's run is over.
fn worked_through(memory: &RotationMemory, window: Window) -> bool {
    memory.last_in_window.as_ref().is_some_and(|run| {
        run.window == Some(window) && !matches!(run.state, RunState::Running | RunState::Deferred)
    })
}
