//! A run's progress, into the journal and to the subscribers. The journal is history: what it cannot
//! take down costs a warning, not the run. Only its word that the run is another worker's ends it.
//!
//! A step's beginning is written before it begins; everything else goes with the next write, so that a run costs no more
//! than a write a step.
//!
//! What can go wrong, and what prevents it: a journal that does not answer costs its time limit at each step, and
//! together they outlast the lease of a run that has moved AWSCURRENT already. So once it has not answered,
//! only the beginning of `finish` is still told to it, by which a crash is understood. What it has missed is kept, and
//! goes with the next word that it hears.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::journal::{JournalError, Note, Run, Seen, Step, StepName, StepState};
use crate::rotation::attempt::Progress;
use crate::rotation::error::RotationError;
use crate::rotation::event::Event;
use crate::rotation::run::Rotator;
use twinkey_engines::Session;

/// Writes a run's progress into the journal and tells the subscribers.
pub(super) struct Recorder<'a> {
    rotator: &'a Rotator,
    stand: Mutex<Stand>,
    /// The journal did not answer when it was last told something.
    silent: AtomicBool,
}

/// Where the run stands, and what of that the journal has not heard.
struct Stand {
    run: Run,
    untold: Note,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(rotator: &'a Rotator, mut run: Run) -> Self {
        run.steps.clear();
        run.error = None;
        let untold = Note::default();
        Self {
            rotator,
            stand: Mutex::new(Stand { run, untold }),
            silent: AtomicBool::new(false),
        }
    }

    fn stand(&self) -> MutexGuard<'_, Stand> {
        self.stand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run, and what the journal has yet to hear of it.
    pub(super) fn into_run(self) -> (Run, Note) {
        let stand = self.stand.into_inner();
        let stand = stand.unwrap_or_else(PoisonError::into_inner);
        (stand.run, stand.untold)
    }

    /// Takes down where a step stands; `detail` is there once it has ended.
    fn take_down(&self, name: StepName, state: StepState, detail: Option<String>) -> Step {
        let at = self.rotator.site.clock.now();
        let mut stand = self.stand();
        let known = stand.run.steps.iter().find(|step| step.name == name);
        let step = Step {
            name,
            state,
            started: known.map_or(at, |known| known.started),
            finished: detail.is_some().then_some(at),
            detail,
        };
        put(&mut stand.run.steps, &step);
        put(&mut stand.untold.steps, &step);
        step
    }

    /// Tells the subscribers of a step.
    fn tell(&self, step: Step) {
        let (id, rotation) = {
            let stand = self.stand();
            (stand.run.id, stand.run.rotation.clone())
        };
        tracing::info!(%rotation, run = %id, step = step.name.as_str(), state = step.state.as_str(), detail = step.detail.as_deref().unwrap_or_default(), "step");
        let happened = Event::Step {
            run: id,
            rotation,
            step,
        };
        let at = self.rotator.site.clock.now();
        self.rotator.events.send(at, happened);
    }

    /// Writes down what the journal has not heard. Where this is cut off, it counts as not heard.
    ///
    /// # Errors
    /// Only [`JournalError::Lost`].
    async fn write(&self) -> Result<(), JournalError> {
        let (hold, note) = {
            let stand = self.stand();
            (stand.run.hold(), stand.untold.clone())
        };
        let told = self.rotator.journal.note(hold, &note).await;
        self.silent.store(told.is_err(), Ordering::Relaxed);
        match told {
            Ok(()) => {
                self.stand().untold = Note::default();
                Ok(())
            }
            Err(lost @ JournalError::Lost { .. }) => Err(lost),
            Err(error) => {
                tracing::warn!(run = %hold.run, %error, "where the run stands could not be recorded");
                Ok(())
            }
        }
    }
}

/// The last word on a step, in the place of the first one.
fn put(steps: &mut Vec<Step>, step: &Step) {
    match steps.iter_mut().find(|known| known.name == step.name) {
        Some(known) => known.clone_from(step),
        None => steps.push(step.clone()),
    }
}

#[async_trait]
impl Progress for Recorder<'_> {
    fn seen(&self, seen: Seen) {
        let mut stand = self.stand();
        stand.run.from_user = Some(seen.active_user.clone());
        stand.run.to_user = Some(seen.standby_user.clone());
        stand.untold.seen = Some(seen);
    }

    fn sessions(&self, sessions: &[Session]) {
        let rotation = self.stand().run.rotation.clone();
        let sessions = sessions.to_vec();
        self.rotator.events.send(
            self.rotator.site.clock.now(),
            Event::StandbySessions { rotation, sessions },
        );
    }

    async fn began(&self, step: StepName, already: bool) -> Result<(), RotationError> {
        let begun = self.take_down(step, StepState::Running, None);
        if step == StepName::Finish || !(already || self.silent.load(Ordering::Relaxed)) {
            self.write().await?;
        }
        self.tell(begun);
        Ok(())
    }

    fn ended(&self, step: StepName, result: Result<&str, &RotationError>) {
        let (state, detail) = match result {
            Ok(done) => (StepState::Succeeded, done.to_owned()),
            Err(error) => (StepState::Failed, error.to_string()),
        };
        let ended = self.take_down(step, state, Some(detail));
        self.tell(ended);
    }
}
