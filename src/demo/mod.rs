//! The experiment that this product exists for: a real PostgreSQL, the embedded store, the worker with
//! a window every few seconds, and an application that opens connections all the time. Everything but
//! the length of the windows is what `twinkey serve` runs.

pub mod consumer;
pub mod mysql;
pub mod postgres;
mod server;
pub mod stage;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Semaphore, mpsc};

use crate::demo::consumer::{Consumer, Tally};
use crate::demo::stage::{Stage, StageError};
use crate::journal::{Run, RunState};
use crate::rotation::event::Event;
use crate::worker::fleet::Fleet;
use crate::worker::serve::{Word, schedule};
use crate::worker::windows::{Crew, Stop};

/// A window opens this often.
pub const EVERY: Duration = Duration::from_secs(4);
/// And stays open for this long.
pub const WINDOW: Duration = Duration::from_secs(3);
/// How long the application keeps a secret before it asks the store again. Shorter than
/// [`MIN_INTERVAL`], as the contract asks of consumers.
pub const CACHE: Duration = Duration::from_secs(1);
/// The least time between two flips.
pub const MIN_INTERVAL: Duration = Duration::from_secs(2);

/// What the demo showed.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Runs that moved AWSCURRENT, each inside its window.
    pub rotations: usize,
    /// Runs that failed, windows that were missed, runs outside their window: in words.
    pub faults: Vec<String>,
    pub tally: Tally,
}

impl Outcome {
    /// Whether the demo shows what it is to show.
    #[must_use]
    pub fn holds(&self, wanted: usize) -> bool {
        self.rotations >= wanted && self.faults.is_empty() && self.tally.failed == 0
    }
}

/// Runs the demo until `rotations` have happened, or it is clear that they will not. `show` gets every
/// run that ended, with the application's tally so far.
///
/// # Errors
/// [`StageError`] when there is nothing to show it on.
pub async fn run(rotations: usize, show: impl Fn(&Run, &Tally)) -> Result<Outcome, StageError> {
    let stage = Stage::set(MIN_INTERVAL, EVERY, WINDOW).await?;
    let rotator = stage.rotator.clone();
    let mut events = rotator.events.subscribe();
    let stop = Stop::default();
    let fleet = Fleet::new(
        Crew {
            places: Arc::new(Semaphore::new(stage.settings.limits.concurrency)),
            rotator: rotator.clone(),
            stop,
        },
        &stage.settings,
    );
    let consumer = Consumer::start(Arc::clone(&rotator.site.store), rotator.site.clock.clone());
    let (words, heard) = mpsc::channel(1);
    let worker = tokio::spawn(async move { schedule(&fleet, heard).await });

    let clock = &rotator.site.clock;
    let windows = u32::try_from(rotations)
        .unwrap_or(u32::MAX)
        .saturating_add(4);
    let deadline = clock.now() + EVERY * windows;
    let mut outcome = Outcome::default();
    while outcome.rotations < rotations {
        let event = tokio::select! {
            event = events.recv() => event,
            () = clock.sleep_until(deadline) => {
                outcome.faults.push("the rotations did not come in time".into());
                break;
            }
        };
        match event {
            Ok(Event::RunFinished { run }) => {
                outcome.count(&run);
                show(&run, &consumer.tally());
            }
            Ok(Event::WindowMissed { problem, .. }) => {
                outcome
                    .faults
                    .push(format!("a window was missed: {problem}"));
            }
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => break,
        }
    }
    // The last flip is not survived until the application has met it.
    clock.sleep_until(clock.now() + CACHE * 2).await;
    // A worker that has stopped by itself has nobody to tell.
    let _ = words.send(Word::Stop).await;
    match worker.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => outcome.faults.push(format!("the worker failed: {error}")),
        Err(error) => outcome.faults.push(format!("the worker ended: {error}")),
    }
    outcome.tally = consumer.stop().await;
    Ok(outcome)
}

impl Outcome {
    fn count(&mut self, run: &Run) {
        let inside = run
            .window
            .zip(run.finished)
            .is_some_and(|(w, end)| w.opens <= run.started && end < w.closes);
        match (run.state, inside) {
            (RunState::Succeeded, true) => self.rotations += 1,
            (RunState::Succeeded, false) => {
                self.faults
                    .push(format!("run {} was not inside its window", run.id));
            }
            (RunState::Deferred, _) => {}
            _ => self.faults.push(
                run.error
                    .as_ref()
                    .map_or_else(|| format!("run {} failed", run.id), ToString::to_string),
            ),
        }
    }
}
