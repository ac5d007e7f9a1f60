//! Loop of one attempt: observe, decide, act, until nothing is left to do.

use async_trait::async_trait;

use crate::journal::{SecretSummary, StepName};
use crate::rotation::act::{ALREADY_PROMOTED, Convergence, Effect, act};
use crate::rotation::context::RunContext;
use crate::rotation::decide::{Action, Hooks, Own, Proof, decide};
use crate::rotation::error::RotationError;
use crate::rotation::external_changes::{Observer, notice_changes};
use crate::rotation::observe::guards::check_window;
use crate::rotation::observe::observation::{Observation, RunRequest};
use crate::rotation::observe::observe;
use crate::rotation::observe::one_user;
use crate::rotation::observe::ownership::{PairEvent, record_pair};
use crate::rotation::observe::refresh::{confirm_current, refresh_labels, verify_standby};
use crate::rotation::refusal::refusal_error;
use crate::rotation::run::flip_hooks::run_hooks;
use crate::rotation::run::prove::prove;
use twinkey_core::code::{Code, Diagnostic};
use twinkey_core::telemetry::AUDIT;
use twinkey_engines::Session;

/// Limit that no run reaches without a defect: the model proves that fewer actions suffice.
const MAX_ACTIONS: usize = 24;
/// Lost answers of the store after which an attempt ends.
const MAX_LOST_ANSWERS: usize = 3;

/// Observer of an attempt.
#[async_trait]
pub trait Progress: Send + Sync {
    /// Reports the pair as it was before the run.
    fn pair_observed(&self, seen: SecretSummary);
    /// Reports the sessions of the standby before its change, if the server lists them.
    fn sessions_observed(&self, sessions: &[Session]);
    /// Reports the start of a step. `unwritten`: it is not written before the step, because the step
    /// before has performed it already, or because nothing may delay it.
    ///
    /// # Errors
    /// Another worker owns the run: the step must not start.
    async fn step_started(&self, step: StepName, unwritten: bool) -> Result<(), RotationError>;
    /// Reports what a running step waits for.
    ///
    /// # Errors
    /// Another worker owns the run.
    async fn step_waits(&self, step: StepName, detail: &str) -> Result<(), RotationError>;
    /// Reports the end of a step: what it did, or why it failed.
    fn step_ended(&self, step: StepName, result: Result<&str, &str>);
    /// Reports that AWSCURRENT of one user does not sign in, or may not after what follows.
    fn in_gap(&self) {}
    /// Reports that AWSCURRENT is on the version of this run.
    fn current_moved(&self) {}
}

impl Action {
    /// The step of AWS's rotation protocol that shows this action.
    #[must_use]
    pub const fn step(self) -> Option<StepName> {
        match self {
            Self::PutPending { .. } | Self::LabelPending | Self::DropPending => {
                Some(StepName::Create)
            }
            Self::RestoreCurrent | Self::Converge | Self::PutPoolerSecrets | Self::EndSessions => {
                Some(StepName::Set)
            }
            Self::Prove | Self::RunHooks => Some(StepName::Test),
            Self::Promote => Some(StepName::Finish),
            Self::Refuse(_) | Self::Done => None,
        }
    }
}

/// One attempt of one run. It releases the pair before it returns, so that the next run can start.
///
/// # Errors
/// Why the attempt stopped. AWSCURRENT is then unchanged or on the version of this run.
pub async fn reconcile(
    context: &RunContext,
    request: &RunRequest<'_>,
    progress: &dyn Progress,
) -> Result<(), RotationError> {
    let mut observation = observe(context, request).await?;
    let unconfirmed = notice_changes(context, request, &observation, Observer::Run).await;
    let result = run_actions(context, request, progress, &mut observation).await;
    let event = if result.is_ok() {
        PairEvent::Succeeded
    } else {
        PairEvent::Seen
    };
    record_pair(request, &mut observation, event, context.clock.now()).await;
    match result {
        Ok(()) => {
            observation
                .release(request.rotation, &context.idle_admins)
                .await;
        }
        Err(_) => observation.close().await,
    }
    if let Some(unconfirmed) = unconfirmed {
        unconfirmed.confirm(Some(&request.own)).await;
    }
    result
}

async fn run_actions(
    context: &RunContext,
    request: &RunRequest<'_>,
    progress: &dyn Progress,
    observation: &mut Observation,
) -> Result<(), RotationError> {
    let store = &*context.store;
    progress.pair_observed(pair_before(observation));
    if let Some(sessions) = observation
        .sessions
        .as_ref()
        .filter(|_| observation.observed.own != Own::Current)
    {
        progress.sessions_observed(sessions);
    }
    if observation.is_in_gap() {
        progress.in_gap();
    }
    let mut lost_answers = 0;
    for _ in 0..MAX_ACTIONS {
        check_window(request, observation, context.clock.now());
        let action = decide(&observation.observed);
        let step = match action {
            Action::Done => return Ok(()),
            Action::Refuse(refusal) => return Err(refusal_error(refusal, request, observation)),
            _ => action.step(),
        };
        if let Some(step) = step {
            let performed = action == Action::Prove && observation.proof.is_some();
            // A journal that does not answer must not prolong the gap.
            let unwritten = performed || observation.is_in_gap();
            progress.step_started(step, unwritten).await?;
        }
        let result = perform(context, request, progress, observation, action).await;
        if let Some(step) = step {
            let observed = &observation.observed;
            let refused = match action {
                Action::Prove => observed.proof != Some(Proof::Accepted),
                Action::RunHooks => observed.hooks == Hooks::Failed,
                _ => false,
            };
            match &result {
                Ok(reason) if refused => progress.step_ended(step, Err(reason)),
                Ok(done) => progress.step_ended(step, Ok(done)),
                Err(error) => progress.step_ended(step, Err(&error.to_string())),
            }
        }
        match result {
            Ok(_) => {}
            // The effect may have happened although its answer was lost. A denied call has none.
            Err(error @ RotationError::Store { .. })
                if error.retryable()
                    && error.code() != Code::StoreDenied
                    && lost_answers < MAX_LOST_ANSWERS =>
            {
                lost_answers += 1;
                if refresh_labels(store, request, observation).await.is_err() {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Err(RotationError::Internal(format!(
        "the run of {:?} did not end after {MAX_ACTIONS} actions",
        request.rotation.name
    )))
}

/// Performs one action and the observations that belong to it.
async fn perform(
    context: &RunContext,
    request: &RunRequest<'_>,
    progress: &dyn Progress,
    observation: &mut Observation,
    action: Action,
) -> Result<String, RotationError> {
    let store = &*context.store;
    if action == Action::Converge {
        return converge(context, request, progress, observation).await;
    }
    if action == Action::Prove {
        return prove(context, request, progress, observation).await;
    }
    if action == Action::RunHooks {
        return run_hooks(context, request, progress, observation).await;
    }
    // AWSCURRENT may have moved onto the standby, whose sessions are then those of applications.
    if action == Action::EndSessions && !confirm_current(store, request, observation).await? {
        return Ok(ALREADY_PROMOTED.into());
    }
    match act(store, request, observation, action).await? {
        Effect::Done(detail) => {
            // A new password signs in nowhere.
            let is_known = action == Action::PutPending { carry: true };
            if action == Action::RestoreCurrent || (is_known && observation.resolved.has_one_user())
            {
                one_user::look(request, observation).await?;
            }
            if action == Action::Promote {
                progress.current_moved();
            }
            Ok(detail)
        }
        Effect::Conflict(detail) => {
            refresh_labels(store, request, observation).await?;
            Ok(detail)
        }
    }
}

/// Changes the standby: confirms AWSCURRENT first, and compares the pair afterwards.
async fn converge(
    context: &RunContext,
    request: &RunRequest<'_>,
    progress: &dyn Progress,
    observation: &mut Observation,
) -> Result<String, RotationError> {
    let convergence = Convergence::of(observation)?;
    // The password's verifier takes thousands of hashes, so it is computed during the request.
    let store = &*context.store;
    let (unmoved, rendered) = tokio::join!(confirm_current(store, request, observation), async {
        convergence.render()
    });
    if !unmoved? {
        return Ok(ALREADY_PROMOTED.into());
    }
    let rendered = rendered?;
    if observation.change_has_gap() {
        progress.in_gap();
    }
    let mut detail = convergence.apply(observation, &rendered).await?;
    observation.observed.end_sessions =
        request.end_sessions && !observation.resolved.has_one_user();
    if observation.adopts() {
        let user = observation.resolved.pair.standby_user();
        tracing::warn!(target: AUDIT, rotation = %request.rotation.name, %user, "standby taken over");
        detail.push_str(", which was not this secret's own (standby = \"adopt\")");
        record_pair(
            request,
            observation,
            PairEvent::Adopted,
            context.clock.now(),
        )
        .await;
    }
    verify_standby(request, observation).await?;
    Ok(detail)
}

/// The pair before this run, also if an earlier attempt moved AWSCURRENT.
fn pair_before(observation: &Observation) -> SecretSummary {
    let pair = &observation.resolved.pair;
    let (active, standby) = if observation.observed.own == Own::Current {
        (pair.standby_user(), pair.active_user())
    } else {
        (pair.active_user(), pair.standby_user())
    };
    SecretSummary {
        engine: observation.resolved.kind.to_string(),
        host: Some(observation.resolved.target.host.clone()),
        port: Some(observation.resolved.port()),
        active_user: active.to_owned(),
        standby_user: standby.to_owned(),
    }
}
