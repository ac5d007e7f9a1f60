//! Findings of `check` and `plan` about readers.

use crate::config::settings::ReadersDown;
use crate::rotation::decide::Refusal;
use crate::rotation::observe::endpoints::Answers;
use crate::rotation::observe::observation::{Observation, RunRequest};
use crate::rotation::refusal::endpoints::{describe, not_accepted};
use crate::rotation::refusal::refusal_error;
use twinkey_core::code::{Code, Diagnostic};
use twinkey_engines::{Finding, Severity};

/// The readers at which AWSCURRENT signs in, each as a line.
pub(super) fn passed(observation: &Observation) -> Vec<String> {
    let user = observation.resolved.pair.active_user();
    let accepted = observation.readers.accepted.iter();
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
    let mut all: Vec<Finding> = [Refusal::ReaderUnreachable, Refusal::ReaderBehind]
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
    let readers = &observation.readers;
    if request.rotation.readers.down == ReadersDown::Skip && !readers.unreachable.is_empty() {
        let only = Answers {
            unreachable: readers.unreachable.clone(),
            ..Answers::default()
        };
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

/// The readers that a run waits for, for `plan`.
pub(super) fn planned(observation: &Observation) -> Vec<Finding> {
    let accepted = observation.readers.accepted.iter();
    accepted
        .map(|(endpoint, signed_in)| Finding {
            severity: Severity::Note,
            code: None,
            what: format!(
                "the new password must sign in at {} before the flip",
                describe(endpoint, signed_in)
            ),
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
