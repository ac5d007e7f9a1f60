//! Recorder of a run's progress, in the journal and as events.
//!
//! The journal is history: a failed write causes a warning and does not stop the run. Only its
//! report that another worker owns the run stops it. The start of a step is written before the
//! step; everything else is part of the next write, so that a run costs one write a step.
//!
//! # Failure modes
//! - The journal does not answer, and the timeouts of all steps together outlast the lease of a run
//!   that has moved AWSCURRENT. After one failed write only the start of `finish` is written,
//!   because it explains a crash. The rest stays in memory and is part of the next write.
//! - A write prolongs the gap of one user. Inside it nothing is written: the move of AWSCURRENT is a
//!   compare-and-swap, so that it needs no lease.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use crate::journal::{Journal, JournalError, Note, Run, SecretSummary, Step, StepName, StepState};
use crate::rotation::error::RotationError;
use crate::rotation::event::{Event, Events};
use crate::rotation::run::reconcile::Progress;
use parking_lot::{Mutex, MutexGuard};
use twinkey_core::telemetry::Clock;
use twinkey_engines::Session;

/// Writes the progress of one run to the journal and sends it as events.
pub(super) struct Recorder<'a> {
    journal: &'a dyn Journal,
    events: &'a Events,
    clock: &'a Clock,
    state: Mutex<State>,
    /// The last write to the journal failed.
    journal_down: AtomicBool,
    /// The run has moved AWSCURRENT.
    is_promoted: AtomicBool,
    /// AWSCURRENT of one user may not sign in.
    gap_began: AtomicBool,
}

struct State {
    run: Run,
    /// The part that is not in the journal.
    unwritten: Note,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(
        journal: &'a dyn Journal,
        events: &'a Events,
        clock: &'a Clock,
        mut run: Run,
    ) -> Self {
        run.steps.clear();
        run.error = None;
        let unwritten = Note::default();
        Self {
            journal,
            events,
            clock,
            state: Mutex::new(State { run, unwritten }),
            journal_down: AtomicBool::new(false),
            is_promoted: AtomicBool::new(false),
            gap_began: AtomicBool::new(false),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Whether the run has moved AWSCURRENT, which no later error undoes.
    pub(super) fn is_promoted(&self) -> bool {
        self.is_promoted.load(Ordering::Relaxed)
    }

    /// Whether the attempt has begun or found a gap, in which nothing interrupts it.
    pub(super) fn gap_began(&self) -> bool {
        self.gap_began.load(Ordering::Relaxed)
    }

    /// The run, and the part of it that is not in the journal.
    pub(super) fn into_run(self) -> (Run, Note) {
        let state = self.state.into_inner();
        (state.run, state.unwritten)
    }

    /// Records the state of a step in memory.
    fn set_step(&self, name: StepName, step_state: StepState, detail: Option<String>) -> Step {
        let at = self.clock.now();
        let mut state = self.state();
        let known = state.run.steps.iter().find(|step| step.name == name);
        let step = Step {
            name,
            state: step_state,
            started: known.map_or(at, |known| known.started),
            finished: (step_state != StepState::Running).then_some(at),
            detail,
        };
        upsert(&mut state.run.steps, &step);
        upsert(&mut state.unwritten.steps, &step);
        step
    }

    /// Logs a step and sends it as an event.
    fn publish(&self, step: Step) {
        let (id, rotation) = {
            let state = self.state();
            (state.run.id, state.run.rotation.clone())
        };
        tracing::info!(%rotation, run = %id, step = step.name.as_str(), state = step.state.as_str(), detail = step.detail.as_deref().unwrap_or_default(), "step");
        let event = Event::Step {
            run: id,
            rotation,
            step,
        };
        self.events.send(self.clock.now(), event);
    }

    /// Writes the unwritten part to the journal. A write that is cut off counts as failed.
    ///
    /// # Errors
    /// Only [`JournalError::Lost`].
    async fn write(&self) -> Result<(), JournalError> {
        let (hold, note) = {
            let state = self.state();
            (state.run.claim_token(), state.unwritten.clone())
        };
        let written = self.journal.note(hold, &note).await;
        self.journal_down.store(written.is_err(), Ordering::Relaxed);
        match written {
            Ok(()) => {
                self.state().unwritten = Note::default();
                Ok(())
            }
            Err(lost @ JournalError::Lost { .. }) => Err(lost),
            Err(error) => {
                tracing::warn!(run = %hold.run, %error, "run progress not recorded");
                Ok(())
            }
        }
    }
}

/// Replaces the step of the same name, or appends it.
fn upsert(steps: &mut Vec<Step>, step: &Step) {
    match steps.iter_mut().find(|known| known.name == step.name) {
        Some(known) => known.clone_from(step),
        None => steps.push(step.clone()),
    }
}

#[async_trait]
impl Progress for Recorder<'_> {
    fn pair_observed(&self, seen: SecretSummary) {
        let mut state = self.state();
        state.run.from_user = Some(seen.active_user.clone());
        state.run.to_user = Some(seen.standby_user.clone());
        state.unwritten.seen = Some(seen);
    }

    fn sessions_observed(&self, sessions: &[Session]) {
        let rotation = self.state().run.rotation.clone();
        let sessions = sessions.to_vec();
        self.events.send(
            self.clock.now(),
            Event::StandbySessions { rotation, sessions },
        );
    }

    async fn step_started(&self, step: StepName, unwritten: bool) -> Result<(), RotationError> {
        let started = self.set_step(step, StepState::Running, None);
        let is_down = self.journal_down.load(Ordering::Relaxed);
        if !unwritten && (step == StepName::Finish || !is_down) {
            self.write().await?;
        }
        self.publish(started);
        Ok(())
    }

    async fn step_waits(&self, step: StepName, detail: &str) -> Result<(), RotationError> {
        let waiting = self.set_step(step, StepState::Running, Some(detail.to_owned()));
        if !self.gap_began() && !self.journal_down.load(Ordering::Relaxed) {
            self.write().await?;
        }
        self.publish(waiting);
        Ok(())
    }

    fn step_ended(&self, step: StepName, result: Result<&str, &str>) {
        let (state, detail) = match result {
            Ok(done) => (StepState::Succeeded, done),
            Err(reason) => (StepState::Failed, reason),
        };
        let ended = self.set_step(step, state, Some(detail.to_owned()));
        self.publish(ended);
    }

    fn in_gap(&self) {
        self.gap_began.store(true, Ordering::Relaxed);
    }

    fn current_moved(&self) {
        self.is_promoted.store(true, Ordering::Relaxed);
    }
}
