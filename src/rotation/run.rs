//! A run, from its claim in the journal to its outcome.
//!
//! What can go wrong, and what prevents it:
//! - the journal goes away in the middle: it is history, so the run goes on for as long as its lease was granted,
//!   and how it ended is written down when the journal is back;
//! - this process loses its lease (it was suspended, the journal was cut off): the attempt is dropped
//!   where it stands, which is as safe as a crash ([`lease`](super::lease));
//! - the window closes in the middle, or the worker is told to stop: likewise.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::config::settings::Rotation;
use crate::journal::{
    Claim, ClaimRequest, Claimed, Hold, Journal, JournalError, Note, Outcome, Run, RunState,
    Trigger,
};
use crate::rotation::attempt::attempt;
use crate::rotation::error::RotationError;
use crate::rotation::event::{Event, Events};
use crate::rotation::explain::too_soon;
use crate::rotation::lease::{LEASE, Lease, RENEWAL};
use crate::rotation::observe::not_before;
use crate::rotation::recorder::Recorder;
use crate::rotation::scene::Task;
use crate::rotation::site::Site;
use crate::schedule::Window;
use twinkey_core::code::Code;
use twinkey_core::telemetry::OUTCOME;
use twinkey_stores::VersionId;

/// What carries runs out: the site, with the journal and the events.
#[derive(Clone)]
pub struct Rotator {
    pub site: Site,
    pub journal: Arc<dyn Journal>,
    pub events: Events,
    /// This process, for the journal.
    pub worker: String,
}

/// A run that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub trigger: Trigger,
    pub reason: Option<String>,
    pub window: Option<Window>,
    pub version_id: VersionId,
    pub force: bool,
}

impl Rotator {
    /// What a claim of this order says to the journal.
    #[must_use]
    pub fn claim_request(&self, rotation: &Rotation, order: &Order) -> ClaimRequest {
        ClaimRequest {
            rotation: rotation.name.clone(),
            trigger: order.trigger,
            reason: order.reason.clone(),
            window: order.window,
            version_id: order.version_id.clone(),
            worker: self.worker.clone(),
            now: self.site.clock.now(),
            lease: LEASE,
        }
    }

    /// Claims a run for this process.
    ///
    /// # Errors
    /// `journal_unavailable`
    pub async fn claim(&self, rotation: &Rotation, order: &Order) -> Result<Claim, RotationError> {
        Ok(self
            .journal
            .claim(&self.claim_request(rotation, order))
            .await?)
    }

    /// When AWSCURRENT last moved, as far as the journal knows.
    ///
    /// # Errors
    /// `journal_unavailable`
    pub async fn last_flip(&self, rotation: &str) -> Result<Option<DateTime<Utc>>, RotationError> {
        let mut memory = self.journal.memory_of(rotation).await?;
        Ok(memory.take().and_then(|m| m.last_flip))
    }

    /// Whether `min_interval` lets the order begin now, as far as the journal knows; the run itself
    /// asks the store too. Asked before a claim, so that a refusal is no failed run.
    ///
    /// # Errors
    /// `too_soon`, `journal_unavailable`
    pub async fn not_too_soon(
        &self,
        rotation: &Rotation,
        order: &Order,
    ) -> Result<(), RotationError> {
        let last_flip = self.last_flip(&rotation.name).await?;
        match not_before(rotation, last_flip, self.site.clock.now()) {
            Some(at) if !order.force => Err(too_soon(&rotation.secret, at)),
            _ => Ok(()),
        }
    }

    /// Carries out a claimed run, once, and records how it ended. `stop` parks it where it stands.
    pub async fn carry_out(
        &self,
        rotation: &Rotation,
        order: &Order,
        claimed: Claimed,
        stop: &CancellationToken,
    ) -> Run {
        let Claimed { run, last_flip } = claimed;
        let started = Box::new(run.clone());
        self.events
            .send(self.site.clock.now(), Event::RunStarted { run: started });
        tracing::info!(rotation = %run.rotation, run = %run.id, attempt = run.attempt, trigger = run.trigger.as_str(), "run started");
        let task = Task {
            rotation,
            own: order.version_id.clone(),
            may_exist: run.attempt > 1,
            force: order.force,
            window: order.window,
            last_flip,
            retired: false,
            lock: true,
        };
        let lease = Lease::new(run.hold(), &*self.journal, &self.site.clock);
        let recorder = Recorder::new(self, run);
        let result = self.guarded(&task, &lease, &recorder, stop).await;
        let (run, untold) = recorder.into_run();
        self.conclude(run, &untold, order, result).await
    }

    /// The attempt, as long as the lease holds, the window is open and nobody says stop.
    async fn guarded(
        &self,
        task: &Task<'_>,
        lease: &Lease<'_>,
        recorder: &Recorder<'_>,
        stop: &CancellationToken,
    ) -> Result<(), RotationError> {
        let closing = async {
            match task.window {
                Some(window) => self.site.clock.sleep_until(window.closes).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = lease.lost() => Err(refused(
                Code::LostRace,
                "this worker lost its claim on the run",
                "another worker goes on with it; if there is none, look at the journal's disk",
                true,
            )),
            () = closing => Err(refused(
                Code::WindowClosed,
                "the window closed before the run was done; AWSCURRENT is as it was",
                "the next window goes on from here; make `window` longer if runs take that long",
                false,
            )),
            () = stop.cancelled() => Err(refused(
                Code::Internal,
                "the worker was stopped in the middle of the run; AWSCURRENT is as it was",
                "start the worker again inside the window, or run `twinkey rotate`",
                true,
            )),
            result = lease.under(attempt(&self.site, task, recorder)) => result,
        }
    }

    async fn conclude(
        &self,
        mut run: Run,
        untold: &Note,
        order: &Order,
        result: Result<(), RotationError>,
    ) -> Run {
        let now = self.site.clock.now();
        let open = order.window.is_some_and(|w| now < w.closes);
        run.error = result.as_ref().err().map(RotationError::problem);
        run.state = match &result {
            Ok(()) => RunState::Succeeded,
            Err(error) if open && error.retryable() => RunState::Deferred,
            Err(_) if order.window.is_some() && !open => RunState::Missed,
            Err(_) => RunState::Failed,
        };
        run.finished = Some(now);
        let outcome = Outcome {
            state: run.state,
            error: run.error.clone(),
            now,
        };
        match self.journal.finish(run.hold(), untold, &outcome).await {
            Ok(()) => {}
            Err(error @ JournalError::Lost { .. }) => {
                tracing::warn!(run = %run.id, %error, "the run's end is left to the worker that goes on with it");
            }
            Err(error) => {
                tracing::error!(run = %run.id, %error, "the run's end could not be recorded yet");
                self.record_later(run.hold(), untold.clone(), outcome);
            }
        }
        log_outcome(&run);
        let finished = Box::new(run.clone());
        self.events.send(now, Event::RunFinished { run: finished });
        run
    }

    /// Records how a run ended when the journal is back, unless somebody else has ended it by then.
    fn record_later(&self, hold: Hold, untold: Note, outcome: Outcome) {
        let (journal, clock) = (Arc::clone(&self.journal), self.site.clock.clone());
        tokio::spawn(async move {
            loop {
                clock.pass(RENEWAL).await;
                match journal.finish(hold, &untold, &outcome).await {
                    Ok(()) => {
                        tracing::info!(run = %hold.run, "the run's end was recorded");
                        return;
                    }
                    Err(JournalError::Lost { .. }) => return,
                    Err(_) => {}
                }
            }
        });
    }
}

fn log_outcome(run: &Run) {
    let (rotation, id) = (&run.rotation, run.id);
    match &run.error {
        None => {
            let from = run.from_user.as_deref().unwrap_or("-");
            let to = run.to_user.as_deref().unwrap_or("-");
            tracing::info!(target: OUTCOME, %rotation, run = %id, from, to, "run succeeded");
        }
        Some(why) if run.state == RunState::Deferred => {
            tracing::warn!(target: OUTCOME, %rotation, run = %id, code = %why.code, error = %why.message, "run waits for another try");
        }
        Some(why) => {
            tracing::error!(target: OUTCOME, %rotation, run = %id, code = %why.code, error = %why.message, hint = %why.hint, "run failed");
        }
    }
}

fn refused(code: Code, message: &str, hint: &str, passes: bool) -> RotationError {
    RotationError::Refused {
        code,
        message: message.into(),
        hint: hint.into(),
        passes,
    }
}
