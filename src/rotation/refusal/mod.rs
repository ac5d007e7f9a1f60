//! Errors of refusals, with the object and a hint.

pub(crate) mod endpoints;
pub(crate) mod ownership;

use crate::config::settings::InUse;
use crate::rotation::decide::Refusal;
use crate::rotation::error::{CredentialRole, RotationError};
use crate::rotation::observe::observation::{Observation, RunRequest};
use crate::rotation::observe::proof::is_one_address;
use crate::rotation::observe::trust::same_host;
use twinkey_core::secret::pair::Pair;
use twinkey_engines::{Change, EngineError, Finding, Inspection, LockHolder, Session, Severity};
use twinkey_stores::{OtherRotator, stage};

/// The error of a refusal.
pub(crate) fn refusal_error(
    refusal: Refusal,
    request: &RunRequest<'_>,
    observation: &Observation,
) -> RotationError {
    let secret = &request.rotation.secret;
    let pair = &observation.resolved.pair;
    let (active, standby) = (pair.active_user(), pair.standby_user());
    let inspection = observation.inspection.as_ref();

    if refusal == Refusal::CurrentRefused
        && let Some(error) =
            refused_with_cause(observation).or_else(|| refused_at_master(request, observation))
    {
        return error;
    }
    let engine_error = match refusal {
        Refusal::CurrentRefused => observation
            .current_error
            .clone()
            .map(|e| (CredentialRole::Current, e)),
        Refusal::MasterRefused => observation
            .master_error
            .clone()
            .map(|e| (CredentialRole::Master, e)),
        Refusal::PendingRefused => observation
            .pending_error
            .clone()
            .map(|e| (CredentialRole::Pending, e)),
        Refusal::StandbyUnproved => observation
            .standby_error
            .clone()
            .map(|e| (CredentialRole::Previous, e)),
        _ => None,
    };
    if let Some((role, source)) = engine_error {
        return RotationError::Engine { role, source };
    }

    if matches!(
        refusal,
        Refusal::ReaderBehind | Refusal::ReaderUnreachable | Refusal::PoolerRefused
    ) {
        return endpoints::error(refusal, observation);
    }
    if let (Refusal::TooSoon, Some(at)) = (refusal, observation.not_before) {
        return too_soon(secret, at);
    }

    let (message, hint) = match refusal {
        Refusal::Replaced => (
            format!(
                "another secret has the name {secret:?} since discovery found it: its ARN is {}",
                observation.description.arn
            ),
            "run `twinkey discover`, which arms the new secret if a [[discover]] concerns it".to_owned(),
        ),
        Refusal::ManagedElsewhere => {
            // The guard is set with a rotator.
            let rotator = observation.description.other_rotator();
            let rotator = rotator.unwrap_or(OtherRotator::Enabled);
            (
                format!("secret {secret:?} has another rotator: {rotator}"),
                rotator.hint().to_owned(),
            )
        }
        Refusal::WindowClosed => (
            match request.window {
                Some(w) => format!("the window {} to {} is not open", w.opens, w.closes),
                None => "the window is not open".to_owned(),
            },
            "wait for the next window, or run `twinkey rotate` now".to_owned(),
        ),
        Refusal::OtherServer => (
            format!(
                "the master secret refers to {}, the secret to {}, and they do not report the same server",
                observation.master.target.host, observation.resolved.target.host
            ),
            "set the writer's host of one server in both secrets".to_owned(),
        ),
        Refusal::ReaderElsewhere => endpoints::elsewhere(observation),
        Refusal::Locked => locked(pair, &observation.lock_holders),
        Refusal::GapNotAccepted => (
            format!(
                "strategy = \"single\" has a gap on this server: between the change of the password of {active:?} and the flip, AWSCURRENT of {secret:?} does not sign in"
            ),
            "set gap = \"accept\" for the rotation if its applications read the secret again when they are refused; or use strategy = \"alternating\"".to_owned(),
        ),
        Refusal::PairShared | Refusal::StandbyForeign => ownership::not_own(request, observation),
        Refusal::Unfit => listed(
            &format!(
                "the pair {:?} and {:?} cannot be rotated",
                pair.base, pair.clone
            ),
            inspection.map(|i| {
                i.findings
                    .iter()
                    .filter(|f| f.severity == Severity::Error)
                    .collect()
            }),
        ),
        Refusal::MasterLacks => listed(
            &format!(
                "the changes of the master {:?} need privileges that are missing",
                observation.master.credentials.username
            ),
            inspection.map(|i| i.missing.iter().collect()),
        ),
        Refusal::StandbyMissing => (
            format!(
                "the standby {standby:?} does not exist, and standby = \"existing\" forbids its creation"
            ),
            format!(
                "create {standby:?} with the privileges of {active:?}, or set standby = \"create\""
            ),
        ),
        Refusal::Differs | Refusal::StillDiffers => differs(refusal, active, standby, inspection),
        Refusal::StandbyInUse => {
            let sessions = observation.sessions.as_deref().unwrap_or_default();
            let clients: Vec<String> = sessions.iter().take(5).map(describe_session).collect();
            (
                format!(
                    "{} open as the standby {standby:?}: {}",
                    count(sessions.len(), "session is", "sessions are"),
                    clients.join("; ")
                ),
                ownership::end_its_sessions(request, observation),
            )
        }
        Refusal::PendingConflict => {
            let id = observation
                .description
                .labelled(stage::PENDING)
                .map_or_else(String::new, ToString::to_string);
            (
                format!(
                    "AWSPENDING of {secret:?} is on version {id}, which does not belong to {standby:?}"
                ),
                format!(
                    "find the program that wrote it; if it is obsolete, run aws secretsmanager update-secret-version-stage --secret-id {secret} --version-stage AWSPENDING --remove-from-version-id {id}"
                ),
            )
        }
        Refusal::HookRefused => (
            format!(
                "a hook refused the flip: {}; AWSCURRENT of {secret:?} is unchanged",
                observation.hook_error.as_deref().unwrap_or("it failed")
            ),
            "correct what the hook reports in the worker's log; a scheduled run tries again while its window is open, and the next run continues with the same password".to_owned(),
        ),
        Refusal::LostRace => (
            format!("secret {secret:?} changed during the run"),
            "wait for the next run: it continues from the present state of the secret".to_owned(),
        ),
        // Handled above, unless the observation lacks the error.
        Refusal::TooSoon
        | Refusal::ReaderBehind
        | Refusal::ReaderUnreachable
        | Refusal::PoolerRefused
        | Refusal::CurrentRefused
        | Refusal::MasterRefused
        | Refusal::StandbyUnproved
        | Refusal::PendingRefused => (
            "the run was refused".to_owned(),
            "see `twinkey check`".to_owned(),
        ),
    };
    // The code that `check` gives for the finding.
    let code = match refusal {
        Refusal::Unfit => inspection.and_then(|i| {
            let mut errors = i.findings.iter().filter(|f| f.severity == Severity::Error);
            errors.next()?.code
        }),
        Refusal::StandbyForeign => ownership::causes(observation).and_then(|all| all.first()?.code),
        _ => None,
    };
    let code = code.unwrap_or(refusal.code());
    let temporary = refusal != Refusal::StandbyInUse || request.rotation.in_use == InUse::Wait;
    RotationError::Refused {
        code,
        message,
        hint,
        passes: refusal.passes() && temporary,
    }
}

/// Message and hint of a standby that differs: the statements that would make it equal.
fn differs(
    refusal: Refusal,
    active: &str,
    standby: &str,
    inspection: Option<&Inspection>,
) -> (String, String) {
    let listed = |changes: &[Change]| -> Vec<String> {
        let shown = changes
            .iter()
            .map(|c| format!("{} ({})", c.statement, c.why));
        shown.collect()
    };
    let differences = inspection
        .map(|i| listed(&i.differences))
        .unwrap_or_default();
    if refusal == Refusal::StillDiffers && differences.is_empty() {
        let password = inspection
            .map(|i| listed(&i.set_password))
            .unwrap_or_default();
        return (
            format!(
                "the standby {standby:?} still differs from {active:?} after the change: its password is not the pending one, although this statement set it: {}",
                password.join("; ")
            ),
            format!(
                "find the program that changes {standby:?} at the same time; if there is none, the server ignored a part of the statement: drop {standby:?}, which the next run creates, once no client uses it"
            ),
        );
    }
    let said = if refusal == Refusal::Differs {
        "differs"
    } else {
        "still differs after the change"
    };
    (
        format!(
            "the standby {standby:?} {said} from {active:?}: {}",
            differences.join("; ")
        ),
        "run the statements listed, or set grants = \"sync\" and standby = \"create\"".to_owned(),
    )
}

/// The error of AWSCURRENT, if the server refused it to which the master signs in.
fn refusal_at_master(observation: &Observation) -> Option<&EngineError> {
    let error = observation.current_error.as_ref()?;
    let EngineError::SignIn { host, port, .. } = error else {
        return None;
    };
    let (resolved, master) = (&observation.resolved, &observation.master.target);
    let master_port = master.port.unwrap_or(resolved.kind.default_port());
    (same_host(host, &master.host) && *port == master_port).then_some(error)
}

/// The error for AWSCURRENT that the master's server refuses, with the causes that the master sees.
fn refused_with_cause(observation: &Observation) -> Option<RotationError> {
    let error = refusal_at_master(observation)?;
    let obstacles = &observation.inspection.as_ref()?.obstacles;
    if obstacles.is_empty() {
        return None;
    }
    let (message, hint) = listed(
        &format!("AWSCURRENT: {error}"),
        Some(obstacles.iter().collect()),
    );
    Some(RotationError::Refused {
        code: Refusal::CurrentRefused.code(),
        message,
        hint,
        passes: false,
    })
}

/// The error for AWSCURRENT that signs in at the secret's host at most, not where the master does.
fn refused_at_master(request: &RunRequest<'_>, observation: &Observation) -> Option<RotationError> {
    let error = refusal_at_master(observation)?;
    let resolved = &observation.resolved;
    if is_one_address(resolved, &observation.master.target) {
        return None;
    }
    Some(RotationError::Refused {
        code: Refusal::CurrentRefused.code(),
        message: format!(
            "AWSCURRENT: {error}; the master signs in there, and the secret {:?} names {}",
            request.rotation.secret,
            resolved.server()
        ),
        hint: "make both secrets name one server; if they do, store the active user's current password in the secret, and find out who changed the secret".into(),
        passes: false,
    })
}

/// Checks that none of these guards refuses.
///
/// # Errors
/// The first refusing one, in the order of [`crate::rotation::decide::Guards::refusals`].
pub(crate) fn reject_if(
    guards: &[Refusal],
    request: &RunRequest<'_>,
    observation: &Observation,
) -> Result<(), RotationError> {
    let mut standing = observation.observed.guards.refusals().into_iter();
    match standing.find(|refusal| guards.contains(refusal)) {
        Some(refusal) => Err(refusal_error(refusal, request, observation)),
        None => Ok(()),
    }
}

/// The error of `min_interval`, which has passed at `at`.
pub(crate) fn too_soon(secret: &str, at: chrono::DateTime<chrono::Utc>) -> RotationError {
    RotationError::refused(
        Refusal::TooSoon,
        format!(
            "AWSCURRENT of {secret:?} moved less than min_interval ago; applications may still use the credentials that the next run would replace"
        ),
        format!(
            "wait until {}, or use --force if no application caches the old credentials",
            at.format("%Y-%m-%dT%H:%M:%SZ")
        ),
    )
}

/// Message and hint for a lock that another run may hold.
fn locked(pair: &Pair, holders: &[LockHolder]) -> (String, String) {
    let what = format!("the lock of the pair {:?} and {:?}", pair.base, pair.clone);
    let run = holders.iter().find(|holder| holder.may_be_run);
    let Some(holder) = run.or_else(|| holders.first()) else {
        return (
            format!("another run holds {what}"),
            "wait for its end; `twinkey status` shows it if it uses the same journal".to_owned(),
        );
    };
    let holds = format!("{what} is held by {}", describe_holder(holder));
    if !holder.may_be_run {
        let end = format!("end its session: {}", holder.end);
        return (format!("{holds}, which is no run"), end);
    }
    let hint = format!(
        "wait for the end of the run; `twinkey status` shows it if it uses the same journal. If its worker no longer exists: {}",
        holder.end
    );
    (holds, hint)
}

/// The holder of a lock as text.
pub(crate) fn describe_holder(holder: &LockHolder) -> String {
    let mut parts = vec![holder.id.clone()];
    if let Some(user) = &holder.user {
        parts.push(format!("of the user {user:?}"));
    }
    if let Some(application) = &holder.application {
        parts.push(format!("({application})"));
    }
    if let Some(client) = &holder.client {
        parts.push(format!("from {client}"));
    }
    if let Some(since) = holder.since {
        parts.push(format!("since {}", since.format("%Y-%m-%dT%H:%M:%SZ")));
    }
    parts.join(" ")
}

fn count(n: usize, one: &str, many: &str) -> String {
    if n == 1 {
        format!("1 {one}")
    } else {
        format!("{n} {many}")
    }
}

/// A session as text, for messages and tables.
#[must_use]
pub fn describe_session(session: &Session) -> String {
    let from = session.client.as_deref().unwrap_or("an unknown address");
    let what = session
        .application
        .as_deref()
        .filter(|a| !a.is_empty())
        .unwrap_or("an unnamed client");
    let since = session.since.map_or_else(String::new, |at| {
        format!(" since {}", at.format("%Y-%m-%dT%H:%M:%SZ"))
    });
    match &session.pooler {
        Some(pooler) => format!("an idle connection that {pooler} keeps open from {from}{since}"),
        None => format!("{what} from {from}{since}"),
    }
}

fn listed(what: &str, findings: Option<Vec<&Finding>>) -> (String, String) {
    let findings = findings.unwrap_or_default();
    let whats: Vec<&str> = findings.iter().map(|f| f.what.as_str()).collect();
    let fixes: Vec<&str> = findings.iter().filter_map(|f| f.fix.as_deref()).collect();
    let hint = if fixes.is_empty() {
        "see `twinkey check`".to_owned()
    } else {
        fixes.join("; ")
    };
    (format!("{what}: {}", whats.join("; ")), hint)
}
