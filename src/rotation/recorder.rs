//! A run's progress, into the journal and to the subscribers. The journal is history: what it cannot
//! take down costs a warning, not the run. Only its word that the run is another worker's ends it.
//!
//! What can go wrong, and what prevents it: a journal that does not answer costs its time limit at each step, and
//! together they outlast the lease of a run that has moved AWSCURRENT already. So once it has not answered,
//! only the beginning of `finish` is still told to it, by which a crash is understood.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use crate::engine::Session;
use crate::journal::{JournalError, Run, Seen, Step, StepName, StepState};
use crate::rotation::attempt::Progress;
use crate::rotation::error::RotationError;
use crate::rotation::event::Event;
use crate::rotation::run::Rotator;

/// Writes a run's progress into the journal and tells the subscribers.
pub(super) struct Recorder<'a> {
    rotator: &'a Rotator,
    run: Mutex<Run>,
    /// The journal did not answer when it was last told something.
    silent: AtomicBool,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(rotator: &'a Rotator, mut run: Run) -> Self {
        run.steps.clear();
        run.error = None;
        Self {
            rotator,
            run: Mutex::new(run),
            silent: AtomicBool::new(false),
        }
    }

    pub(super) fn with<T>(&self, look: impl FnOnce(&mut Run) -> T) -> T {
        look(&mut self.run.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn into_run(self) -> Run {
        self.run
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Records where a step stands; `detail` is there once it has ended.
    ///
    /// # Errors
    /// Only [`JournalError::Lost`]; nobody is told of the step then.
    async fn record(
        &self,
        name: StepName,
        state: StepState,
        detail: Option<String>,
    ) -> Result<(), JournalError> {
        let now = self.rotator.site.clock.now();
        let (hold, rotation, step) = self.with(|run| {
            let place = run.steps.iter().position(|step| step.name == name);
            let step = Step {
                name,
                state,
                started: place.map_or(now, |at| run.steps[at].started),
                finished: detail.is_some().then_some(now),
                detail,
            };
            match place {
                Some(at) => run.steps[at] = step.clone(),
                None => run.steps.push(step.clone()),
            }
            (run.hold(), run.rotation.clone(), step)
        });
        let id = hold.run;
        let may_flip = name == StepName::Finish && state == StepState::Running;
        if may_flip || !self.silent.load(Ordering::Relaxed) {
            let told = self.rotator.journal.step(hold, &step).await;
            self.silent.store(told.is_err(), Ordering::Relaxed);
            match told {
                Ok(()) => {}
                Err(lost @ JournalError::Lost { .. }) => return Err(lost),
                Err(error) => tracing::warn!(run = %id, %error, "a step could not be recorded"),
            }
        }
        tracing::info!(%rotation, run = %id, step = step.name.as_str(), state = step.state.as_str(), detail = step.detail.as_deref().unwrap_or_default(), "step");
        self.rotator.events.send(
            now,
            Event::Step {
                run: id,
                rotation,
                step,
            },
        );
        Ok(())
    }
}

#[async_trait]
impl Progress for Recorder<'_> {
    async fn seen(&self, seen: Seen) {
        let (hold, rotation) = self.with(|run| {
            run.from_user = Some(seen.active_user.clone());
            run.to_user = Some(seen.standby_user.clone());
            (run.hold(), run.rotation.clone())
        });
        if let Err(error) = self
            .rotator
            .journal
            .seen(Some(hold), &rotation, &seen)
            .await
        {
            tracing::warn!(run = %hold.run, %error, "what the run saw could not be recorded");
        }
    }

    async fn sessions(&self, sessions: &[Session]) {
        let rotation = self.with(|run| run.rotation.clone());
        let sessions = sessions.to_vec();
        self.rotator.events.send(
            self.rotator.site.clock.now(),
            Event::StandbySessions { rotation, sessions },
        );
    }

    async fn began(&self, step: StepName) -> Result<(), RotationError> {
        Ok(self.record(step, StepState::Running, None).await?)
    }

    async fn ended(&self, step: StepName, result: Result<&str, &RotationError>) {
        let (state, detail) = match result {
            Ok(done) => (StepState::Succeeded, done.to_owned()),
            Err(error) => (StepState::Failed, error.to_string()),
        };
        if let Err(lost) = self.record(step, state, Some(detail)).await {
            tracing::warn!(error = %lost, "how a step ended is not recorded");
        }
    }
}
