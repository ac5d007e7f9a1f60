//! Findings of `check` and `plan` about readers and poolers, and hooks before the flip.

use std::time::Duration;

use crate::config::settings::ReadersDown;
use crate::rotation::context::RunContext;
use crate::rotation::decide::{Action, Hooks, Proof, Refusal, decide};
use crate::rotation::error::{CredentialRole, RotationError};
use crate::rotation::observe::endpoints::proof::{Proved, Prover, Unobserved};
use crate::rotation::observe::endpoints::readers::Poolers;
use crate::rotation::observe::observation::{Observation, RunRequest};
use crate::rotation::observe::resolve::credentials;
use crate::rotation::refusal::endpoints::{describe, not_accepted};
use crate::rotation::refusal::refusal_error;
use twinkey_core::code::{Code, Diagnostic};
use twinkey_engines::{Finding, Severity, SignInChecks};

/// The readers at which AWSCURRENT signs in, each as a line.
pub(super) fn passed(observation: &Observation) -> Vec<String> {
    let user = observation.resolved.pair.active_user();
    let accepted = observation.current_answers.accepted.iter();
    accepted
        .map(|(endpoint, signed_in)| {
            format!(
                "{user:?} signs in (AWSCURRENT) at {}",
                describe(endpoint, signed_in)
            )
        })
        .collect()
}

/// Why a run would wait, and the readers that it would skip.
pub(super) fn findings(request: &RunRequest<'_>, observation: &Observation) -> Vec<Finding> {
    let refusals = observation.observed.guards.takeover_refusals();
    let mut all: Vec<Finding> = [
        Refusal::ReaderUnreachable,
        Refusal::ReaderBehind,
        Refusal::PoolerRefused,
    ]
    .into_iter()
    .filter(|refusal| refusals.contains(refusal))
    .map(|refusal| failure(&refusal_error(refusal, request, observation)))
    .collect();
    let only = observation.current_answers.only(Refusal::ReaderUnreachable);
    if request.rotation.readers.down == ReadersDown::Skip && !only.unreachable.is_empty() {
        let user = observation.resolved.pair.active_user();
        all.push(Finding {
            severity: Severity::Warning,
            code: Some(Code::ReaderUnreachable),
            what: format!(
                "{}; runs skip it (readers_down = \"skip\")",
                not_accepted(&only, user, "AWSCURRENT")
            ),
            fix: Some("start the reader before its applications read the new version".into()),
        });
    }
    all
}

/// Why a run that continues with AWSPENDING would wait: the database accepts its password already, so
/// that the run does not set it again, and another endpoint does not. Changes nothing.
pub(super) async fn of_pending(
    context: &RunContext,
    request: &RunRequest<'_>,
    observation: &mut Observation,
) -> Option<Finding> {
    let observed = &observation.observed;
    let continues = decide(observed) == Action::PutPending { carry: true };
    let pending = observation.carried.as_ref()?;
    if !(continues && observed.standby.equal) {
        return None;
    }
    // A run writes the secrets of the poolers, and runs the hooks, before it tries the poolers.
    let is_later = observed.hooks == Hooks::Due || !observation.pooler_secrets.is_empty();
    let prover = Prover {
        rotation: request.rotation,
        readers: &observation.readers,
        resolved: &observation.resolved,
        master: &observation.master.target,
        who: &credentials(pending),
        role: CredentialRole::Pending,
        checks: SignInChecks::default(),
        own_host: observation.own_host,
        poolers: if is_later {
            Poolers::Without
        } else {
            Poolers::With
        },
    };
    let proved = Box::pin(prover.prove(&context.clock, Duration::ZERO, None, &Unobserved));
    let answers = match proved.await {
        Ok(Proved::Accepted(answers)) => answers,
        // The run sets the password.
        Ok(Proved::Refused(_)) => return None,
        Err(error) => return Some(failure(&error)),
    };
    let refusal = answers.refusal(request.rotation.readers.down)?;
    observation.observed.proof = Some(Proof::stopped_by(refusal));
    observation.pending_answers = answers;
    Some(failure(&refusal_error(refusal, request, observation)))
}

/// An error as a finding.
pub(super) fn failure(error: &RotationError) -> Finding {
    Finding {
        severity: Severity::Error,
        code: Some(error.code()),
        what: error.to_string(),
        fix: Some(error.hint()),
    }
}

/// What a run does besides its statements before the flip, for `plan`.
pub(super) fn planned(
    context: &RunContext,
    request: &RunRequest<'_>,
    observation: &Observation,
) -> Vec<Finding> {
    let secrets = observation.pooler_secrets.iter().map(|one| {
        format!(
            "the new password is written into the secret {:?} of the pooler {}",
            one.secret, one.pooler
        )
    });
    let endpoints = (observation.current_answers.accepted.iter()).map(|(endpoint, signed_in)| {
        format!(
            "the new password must sign in at {} before the flip",
            describe(endpoint, signed_in)
        )
    });
    let hooks = context.flip_hooks.of_rotation(&request.rotation.name);
    let hooks = hooks.into_iter();
    let hooks = hooks.map(|hook| format!("the hook {hook} must succeed before the flip"));
    secrets
        .chain(endpoints)
        .chain(hooks)
        .map(|what| Finding {
            severity: Severity::Note,
            code: None,
            what,
            fix: None,
        })
        .collect()
}

/// The older key of the config.
pub(super) fn older_key() -> Finding {
    Finding {
        severity: Severity::Note,
        code: None,
        what: "documentdb.reader is the older form of `readers`".into(),
        fix: Some("write readers = [\"HOST:PORT\"] instead".into()),
    }
}
