//! Errors about endpoints that do not accept credentials.

use std::time::Duration;

use crate::rotation::decide::{Proof, Refusal};
use crate::rotation::error::RotationError;
use crate::rotation::observe::endpoints::{Answers, Endpoint, NotAccepted};
use crate::rotation::observe::observation::Observation;
use twinkey_engines::{Replication, SignedIn};

/// The error of [`Refusal::ReaderBehind`], [`Refusal::ReaderUnreachable`] and
/// [`Refusal::PoolerRefused`]: of AWSPENDING after its proof, of AWSCURRENT before.
pub(super) fn error(refusal: Refusal, observation: &Observation) -> RotationError {
    let pair = &observation.resolved.pair;
    let proved = observation.observed.proof;
    let (answers, user, label) = if matches!(
        proved,
        Some(Proof::Behind | Proof::Unreachable | Proof::PoolerRefused)
    ) {
        let answers = &observation.pending_answers;
        (answers, pair.standby_user(), "AWSPENDING")
    } else {
        (
            &observation.current_answers,
            pair.active_user(),
            "AWSCURRENT",
        )
    };
    let only = answers.only(refusal);
    let mut message = not_accepted(&only, user, label);
    let behind = only.behind.iter().find_map(|one| lag(one, observation));
    if let Some(lag) = behind {
        message.push_str(&format!("; it is {} behind", seconds(lag)));
    }
    let hint = if refusal == Refusal::PoolerRefused && only.behind.is_empty() {
        "start the pooler, or allow the worker to connect to it; to rotate without it, remove it from `poolers`"
    } else if refusal == Refusal::PoolerRefused {
        "give the pooler both users of the pair: let PgBouncer read them by auth_query, write its list in a [[hook]] with when = \"before_flip\", or name the secrets of RDS Proxy in `secrets` of the pooler; a scheduled run tries again while its window is open, and the next run continues with the same password"
    } else if refusal == Refusal::ReaderBehind {
        "wait: a scheduled run tries again while its window is open, and the next run continues with the same password; if a reader never accepts it, check that its replication runs and does not filter the users"
    } else {
        "start the reader, or allow the worker to connect to it; to rotate without it, set readers_down = \"skip\" or remove it from `readers`"
    };
    RotationError::refused(refusal, message, hint.into())
}

/// The error of [`Refusal::ReaderElsewhere`].
pub(super) fn elsewhere(observation: &Observation) -> (String, String) {
    let reader = observation.reader_elsewhere.as_ref();
    let name = reader.map_or_else(|| "a reader".to_owned(), ToString::to_string);
    (
        format!(
            "{name} is no replica of the server at which the master signs in: it accepts writes and reports another identity"
        ),
        "remove it from `readers`, or correct its address; replicas that receive no users (logical replication) have a rotation of their own".into(),
    )
}

/// Which endpoints do not accept credentials, as text.
pub(crate) fn not_accepted(answers: &Answers, user: &str, label: &str) -> String {
    let behind = (answers.behind.iter()).map(|one| {
        format!(
            "{} does not accept {label} of {user:?} yet ({})",
            one.endpoint,
            reason(one)
        )
    });
    let unreachable = (answers.unreachable.iter())
        .map(|one| format!("{} cannot be tried ({})", one.endpoint, reason(one)));
    let all: Vec<String> = behind.chain(unreachable).collect();
    all.join("; ")
}

/// The server's reason without the address, which the endpoint names.
fn reason(one: &NotAccepted) -> String {
    use twinkey_engines::EngineError::{Limit, SignIn, Unreachable};
    match &one.error {
        SignIn { reason, .. } | Unreachable { reason, .. } | Limit { reason, .. } => reason.clone(),
        error => error.to_string(),
    }
}

/// How far the endpoint was behind when AWSCURRENT signed in there.
fn lag(one: &NotAccepted, observation: &Observation) -> Option<Duration> {
    let mut accepted = observation.current_answers.accepted.iter();
    let (_, signed_in) = accepted.find(|(endpoint, _)| *endpoint == one.endpoint)?;
    signed_in.replication.lag
}

/// A reader that accepts AWSCURRENT, as text: its name and what it reports of itself.
pub(crate) fn describe(endpoint: &Endpoint, signed_in: &SignedIn) -> String {
    let Replication {
        is_replica, lag, ..
    } = &signed_in.replication;
    match (is_replica, lag) {
        (Some(true), Some(lag)) => format!("{endpoint} (a replica, {} behind)", seconds(*lag)),
        (Some(true), None) => format!("{endpoint} (a replica; its lag is not known)"),
        (Some(false), _) => format!("{endpoint} (not a replica: it accepts writes)"),
        (None, _) => endpoint.to_string(),
    }
}

fn seconds(lag: Duration) -> String {
    format!("{:.1} s", lag.as_secs_f64())
}
