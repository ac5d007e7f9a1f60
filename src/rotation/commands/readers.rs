//! Findings of `check` and `plan` about readers and poolers, and hooks before the flip.

use crate::config::settings::ReadersDown;
use crate::rotation::context::RunContext;
use crate::rotation::decide::Refusal;
use crate::rotation::observe::observation::{Observation, RunRequest};
use crate::rotation::refusal::endpoints::{describe, not_accepted};
use crate::rotation::refusal::refusal_error;
use twinkey_core::code::{Code, Diagnostic};
use twinkey_engines::{Finding, Severity};

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
    .map(|refusal| {
        let error = refusal_error(refusal, request, observation);
        Finding {
            severity: Severity::Error,
            code: Some(error.code()),
            what: error.to_string(),
            fix: Some(error.hint()),
        }
    })
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
