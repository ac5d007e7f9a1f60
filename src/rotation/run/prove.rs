//! The step `test`: proof of AWSPENDING at the database and at every endpoint.

use std::time::Duration;

use async_trait::async_trait;

use crate::journal::StepName;
use crate::rotation::context::RunContext;
use crate::rotation::decide::{Hooks, Proof};
use crate::rotation::error::{CredentialRole, RotationError};
use crate::rotation::observe::endpoints::Answers;
use crate::rotation::observe::endpoints::proof::{Proved, Prover, WaitObserver};
use crate::rotation::observe::endpoints::readers::Poolers;
use crate::rotation::observe::observation::{Observation, RunRequest};
use crate::rotation::observe::resolve::credentials;
use crate::rotation::refusal::endpoints::not_accepted;
use crate::rotation::run::reconcile::Progress;
use twinkey_engines::SignInChecks;

/// How long an attempt in a window waits for endpoints that are behind. Then it gives its place to
/// other runs, and is tried again.
const WAIT_IN_WINDOW: Duration = Duration::from_secs(5);
/// How long a manual run waits, which is not tried again.
const WAIT_BY_HAND: Duration = Duration::from_secs(60);

/// Shows what the step waits for.
struct ProgressOfWait<'a> {
    progress: &'a dyn Progress,
    user: &'a str,
}

#[async_trait]
impl WaitObserver for ProgressOfWait<'_> {
    async fn waits(&self, answers: &Answers) -> Result<(), RotationError> {
        let reason = not_accepted(answers, self.user, "AWSPENDING");
        let detail = format!("waiting: {reason}");
        self.progress.step_waits(StepName::Test, &detail).await
    }
}

/// Proves AWSPENDING and records the result in the observation. Returns a description of it.
///
/// # Errors
/// What no later try changes.
pub(super) async fn prove(
    context: &RunContext,
    request: &RunRequest<'_>,
    progress: &dyn Progress,
    observation: &mut Observation,
) -> Result<String, RotationError> {
    let Some(document) = &observation.own_document else {
        let message = "the pending document is missing";
        return Err(RotationError::Internal(message.into()));
    };
    let standby = credentials(document);
    let role = (observation.inspection.as_ref()).and_then(|i| i.session_role.clone());
    let first = observation.proof.take();
    // A probe that fails would prolong the gap of one user.
    let probes: &[String] = if observation.is_in_gap() {
        &[]
    } else {
        &request.rotation.probe
    };
    let prover = Prover {
        rotation: request.rotation,
        readers: &observation.readers,
        resolved: &observation.resolved,
        master: &observation.master.target,
        who: &standby,
        role: CredentialRole::Pending,
        checks: SignInChecks {
            role: role.as_deref(),
            ..SignInChecks::probes(probes)
        },
        own_host: observation.own_host,
        poolers: if observation.observed.hooks == Hooks::Due {
            Poolers::Without
        } else {
            Poolers::With
        },
    };
    let limit = if request.window.is_some() {
        WAIT_IN_WINDOW
    } else {
        WAIT_BY_HAND
    };
    let observer = ProgressOfWait {
        progress,
        user: &standby.username,
    };
    let proved = prover.prove(&context.clock, limit, first, &observer);
    let answers = match proved.await? {
        Proved::Refused(refused) => {
            observation.observed.proof = Some(Proof::Refused);
            let detail = refused.to_string();
            observation.pending_error = Some(refused);
            return Ok(detail);
        }
        Proved::Accepted(answers) => answers,
    };
    let refusal = answers.refusal(request.rotation.readers.down);
    let (proof, detail) = if let Some(refusal) = refusal {
        (
            Proof::stopped_by(refusal),
            not_accepted(&answers, &standby.username, "AWSPENDING"),
        )
    } else {
        let user = &standby.username;
        let mut detail = if observation.resolved.has_one_user() {
            format!("{user:?} signs in with the new password")
        } else {
            let active = observation.resolved.pair.active_user();
            format!("{user:?} signs in and has the privileges of {active:?}")
        };
        for (endpoint, _) in &answers.accepted {
            detail.push_str(&format!("; it signs in at {endpoint}"));
        }
        if observation.observed.hooks == Hooks::Succeeded {
            let hooks = context.flip_hooks.of_rotation(&request.rotation.name);
            detail.push_str(&format!(
                "; the hooks before the flip succeeded: {}",
                hooks.join(", ")
            ));
        }
        for skipped in &answers.unreachable {
            let (endpoint, error) = (&skipped.endpoint, &skipped.error);
            tracing::warn!(rotation = %request.rotation.name, %endpoint, %error, "reader skipped");
            detail.push_str(&format!("; {endpoint} was skipped: {error}"));
        }
        (Proof::Accepted, detail)
    };
    observation.observed.proof = Some(proof);
    observation.pending_answers = answers;
    Ok(detail)
}
