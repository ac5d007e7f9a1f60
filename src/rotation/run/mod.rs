//! Run of one rotation, from its claim in the journal to its outcome.
//!
//! # Failure modes
//! - The journal becomes unavailable during a run. It is history, so the run continues until its
//!   lease expires, and the outcome is written when the journal is available again
//!   ([`unrecorded`](crate::rotation::context::unrecorded)).
//! - An attempt is interrupted after it moved AWSCURRENT, because the journal does not answer. It has
//!   succeeded: what remains is the next run's to clean up.
//! - This process loses its lease, because it was suspended or the journal was unreachable. The
//!   attempt is dropped at once, which is as safe as a crash ([`lease`]).
//! - A hook before the flip fails, or its time is over: AWSCURRENT stays, and a later attempt continues
//!   with the same password ([`flip_hooks`]).
//! - A panic ends an attempt, and its run seems to go on until its window closes. The outcome is
//!   recorded first; then the panic goes on to the task, which reports it.
//! - The window closes or the worker stops during a run. The attempt is dropped in the same way.
//! - An attempt is dropped inside the gap of one user, and AWSCURRENT does not sign in until the next
//!   window. Between the change of the password and the flip it goes on, also without its lease: the
//!   flip is a compare-and-swap, and the connection still holds the lock of the user.

mod flip_hooks;
pub mod lease;
mod prove;
pub mod reconcile;
mod recorder;
pub mod version_id;

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;

use crate::config::settings::{Rotation, Strategy};
use crate::journal::{
    AuditAction, AuditRecord, Cause, Claim, ClaimRequest, Claimed, Journal, JournalError, Note,
    Outcome, Run, RunState, Trigger,
};
use crate::rotation::context::SharedContext;
use crate::rotation::context::unrecorded::UnrecordedOutcome;
use crate::rotation::error::RotationError;
use crate::rotation::event::{Event, Events};
use crate::rotation::observe::guards::{last_flip, not_before};
use crate::rotation::observe::observation::RunRequest;
use crate::rotation::refusal::too_soon;
use crate::rotation::run::lease::{LEASE, Lease};
use crate::rotation::run::reconcile::reconcile;
use crate::rotation::run::recorder::Recorder;
use crate::schedule::Window;
use twinkey_core::code::{Code, Diagnostic};
use twinkey_core::telemetry::OUTCOME;
use twinkey_stores::VersionId;

/// How long an interrupted attempt goes on inside the gap of one user.
const GAP_LIMIT: Duration = Duration::from_secs(30);
/// The same while the worker stops.
pub(crate) const STOP_LIMIT: Duration = Duration::from_secs(4);
/// State of the secret if that was too short.
const LEFT_IN_GAP: &str = "AWSCURRENT may not sign in until the next run, which moves it";

/// Why an attempt is interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interruption {
    LeaseLost,
    WindowClosed,
    Stopped,
}

impl Interruption {
    /// `state`: what that means for AWSCURRENT.
    fn error(self, state: &str) -> RotationError {
        let (code, message, hint, passes) = match self {
            Self::LeaseLost => (
                Code::LostRace,
                "this worker lost its lease on the run".to_owned(),
                "wait for the worker that took the run; if there is none, check the journal's disk",
                true,
            ),
            Self::WindowClosed => (
                Code::WindowClosed,
                format!("the window closed before the run ended; {state}"),
                "wait for the next window, which continues the run; make `window` longer if runs take that long",
                false,
            ),
            Self::Stopped => (
                Code::Internal,
                format!("the worker stopped during the run; {state}"),
                "start the worker again inside the window, or run `twinkey rotate`",
                true,
            ),
        };
        refused(code, &message, hint, passes)
    }
}

/// Executor of runs: the context with the journal and the events. Cheap to clone.
#[derive(Clone)]
pub struct Rotator {
    pub context: SharedContext,
    pub journal: Arc<dyn Journal>,
    pub events: Events,
    /// The name of this process in the journal.
    pub worker: String,
}

/// Order of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub trigger: Trigger,
    pub cause: Cause,
    pub window: Option<Window>,
    pub version_id: VersionId,
    pub force: bool,
    /// See [`RunRequest::end_sessions`].
    pub end_sessions: bool,
}

impl Rotator {
    /// The claim of this order in the journal.
    #[must_use]
    pub fn claim_request(&self, rotation: &Rotation, order: &Order) -> ClaimRequest {
        ClaimRequest {
            rotation: rotation.name.clone(),
            trigger: order.trigger,
            cause: order.cause.clone(),
            window: order.window,
            version_id: order.version_id.clone(),
            provisional: (order.window)
                .map(|window| version_id::provisional(&rotation.secret_in_store(), window.opens)),
            worker: self.worker.clone(),
            now: self.context.clock.now(),
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

    /// The last move of AWSCURRENT in the journal.
    ///
    /// # Errors
    /// `journal_unavailable`
    pub async fn last_flip(&self, rotation: &str) -> Result<Option<DateTime<Utc>>, RotationError> {
        let mut memory = self.journal.rotation_record(rotation).await?;
        Ok(memory.take().and_then(|m| m.last_flip))
    }

    /// Checks `min_interval` against the journal; the run also checks the store.
    ///
    /// Callers use it before a claim, so that a refusal is not recorded as a failed run.
    ///
    /// # Errors
    /// `too_soon`, `journal_unavailable`
    pub async fn not_too_soon(
        &self,
        rotation: &Rotation,
        order: &Order,
    ) -> Result<(), RotationError> {
        let record = self.journal.rotation_record(&rotation.name).await?;
        let record = record.unwrap_or_default();
        // The last run of one user may have left a gap, which no interval prolongs.
        let succeeded = |run: &Run| run.state == RunState::Succeeded;
        let may_have_gap = rotation.strategy != Strategy::Alternating
            && !record.last_run.as_ref().is_none_or(succeeded);
        if may_have_gap {
            return Ok(());
        }
        let now = self.context.clock.now();
        let last_flip = last_flip(rotation, [record.last_flip], now);
        match not_before(rotation, last_flip, now) {
            Some(at) if !order.force => Err(too_soon(&rotation.secret, at)),
            _ => Ok(()),
        }
    }

    /// Records an action that was refused, unless the journal refuses that too.
    pub async fn record_refusal(
        &self,
        action: AuditAction,
        rotation: &Rotation,
        cause: &Cause,
        error: &RotationError,
    ) {
        let now = self.context.clock.now();
        let record = AuditRecord::done(action, &rotation.name, cause.clone(), now);
        if let Err(journal) = self.journal.append(&record.refused(error.code())).await {
            tracing::warn!(rotation = %rotation.name, action = action.as_str(), %error, %journal, "refusal not recorded");
        }
    }

    /// Records a reload of the config; `refused` if the previous one stays active.
    pub async fn record_reload(&self, refused: Option<Code>) {
        let record = AuditRecord::reload(&self.worker, self.context.clock.now());
        let record = match refused {
            Some(code) => record.refused(code),
            None => record,
        };
        if let Err(error) = self.journal.append(&record).await {
            tracing::warn!(%error, "reload not recorded");
        }
    }

    /// Carries out one attempt of a claimed run and records its outcome. `stop` interrupts it.
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
            .send(self.context.clock.now(), Event::RunStarted { run: started });
        tracing::info!(rotation = %run.rotation, run = %run.id, attempt = run.attempt, trigger = run.trigger.as_str(), actor = %run.shown_actor(), "run started");
        let request = RunRequest {
            rotation,
            run: Some(run.id),
            own: order.version_id.clone(),
            may_exist: run.attempt > 1,
            force: order.force,
            end_sessions: order.end_sessions,
            window: order.window,
            last_flip,
            retired: false,
            lock: true,
            journal: &*self.journal,
            worker: &self.worker,
        };
        let lease = Lease::new(run.claim_token(), &*self.journal, &self.context.clock);
        let recorder = Recorder::new(&*self.journal, &self.events, &self.context.clock, run);
        // Boxed: the future of an attempt is large, and would be moved on the stack of a thread.
        let attempt = Box::pin(self.guarded(&request, &lease, &recorder, stop));
        let attempt = AssertUnwindSafe(attempt);
        let (mut result, panic) = match attempt.catch_unwind().await {
            Ok(result) => (result, None),
            Err(panic) => (Err(panicked()), Some(panic)),
        };
        if recorder.is_promoted() {
            if let Err(error) = &result {
                tracing::warn!(%error, "run interrupted after AWSCURRENT moved");
            }
            result = Ok(());
        }
        let (run, unwritten) = recorder.into_run();
        let run = self.conclude(run, &unwritten, order, result).await;
        if let Some(panic) = panic {
            // The task of the run logs and counts it.
            resume_unwind(panic);
        }
        run
    }

    /// The attempt, while the lease is valid, the window is open and `stop` is not cancelled. Inside the
    /// gap of one user it goes on, for a limited time.
    async fn guarded(
        &self,
        request: &RunRequest<'_>,
        lease: &Lease<'_>,
        recorder: &Recorder<'_>,
        stop: &CancellationToken,
    ) -> Result<(), RotationError> {
        let context = self.context.of(request.rotation);
        let clock = &self.context.clock;
        let closing = async {
            match request.window {
                Some(window) => clock.sleep_until(window.closes).await,
                None => std::future::pending().await,
            }
        };
        let attempt = reconcile(&context, request, recorder);
        let mut attempt = pin!(lease.while_valid(|| recorder.gap_began(), attempt));
        let interruption = tokio::select! {
            biased;
            () = lease.renew_until_lost() => Interruption::LeaseLost,
            () = closing => Interruption::WindowClosed,
            () = stop.cancelled() => Interruption::Stopped,
            result = &mut attempt => return result,
        };
        if !recorder.gap_began() {
            return Err(interruption.error("AWSCURRENT is unchanged"));
        }
        tracing::warn!(rotation = %request.rotation.name, ?interruption, "run continues until it has moved AWSCURRENT");
        let stopped = async {
            stop.cancelled().await;
            clock.sleep(STOP_LIMIT).await;
        };
        tokio::select! {
            biased;
            result = attempt => result,
            () = clock.sleep(GAP_LIMIT) => Err(interruption.error(LEFT_IN_GAP)),
            () = stopped => Err(interruption.error(LEFT_IN_GAP)),
        }
    }

    async fn conclude(
        &self,
        mut run: Run,
        unwritten: &Note,
        order: &Order,
        result: Result<(), RotationError>,
    ) -> Run {
        let now = self.context.clock.now();
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
        match self
            .journal
            .finish(run.claim_token(), unwritten, &outcome)
            .await
        {
            Ok(()) => {}
            Err(error @ JournalError::Lost { .. }) => {
                tracing::warn!(run = %run.id, %error, "run outcome left to another worker");
            }
            Err(error) => {
                tracing::error!(run = %run.id, %error, "run outcome not recorded yet");
                let unrecorded = UnrecordedOutcome {
                    token: run.claim_token(),
                    unwritten: unwritten.clone(),
                    outcome,
                };
                self.context.unrecorded.push(unrecorded);
            }
        }
        log_outcome(&run);
        let finished = Box::new(run.clone());
        self.events.send(now, Event::RunFinished { run: finished });
        run
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
            tracing::warn!(target: OUTCOME, %rotation, run = %id, code = %why.code, error = %why.message, "run deferred");
        }
        Some(why) => {
            tracing::error!(target: OUTCOME, %rotation, run = %id, code = %why.code, error = %why.message, hint = %why.hint, "run failed");
        }
    }
}

fn panicked() -> RotationError {
    refused(
        Code::Internal,
        "a panic, which is an error of twinkey, ended the run; AWSCURRENT is unchanged",
        "report `task panicked` of the worker's log; the next window continues the run, and so does `twinkey rotate`",
        false,
    )
}

fn refused(code: Code, message: &str, hint: &str, passes: bool) -> RotationError {
    RotationError::Refused {
        code,
        message: message.into(),
        hint: hint.into(),
        passes,
    }
}
