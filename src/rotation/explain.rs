//! A refusal in words: what happened, to whom, and what to do now.

use crate::config::settings::InUse;
use crate::rotation::decide::Refusal;
use crate::rotation::error::{Role, RotationError};
use crate::rotation::scene::{Scene, Task};
use twinkey_engines::{Finding, Session, Severity};
use twinkey_stores::stage;

/// The error that a refusal becomes.
pub(crate) fn explain(refusal: Refusal, task: &Task<'_>, scene: &Scene) -> RotationError {
    let secret = &task.rotation.secret;
    let pair = &scene.located.pair;
    let (active, standby) = (pair.active_user(), pair.standby_user());
    let inspection = scene.inspection.as_ref();

    let engine_error = match refusal {
        Refusal::CurrentRefused => scene.current_error.clone().map(|e| (Role::Current, e)),
        Refusal::MasterRefused => scene.master_error.clone().map(|e| (Role::Master, e)),
        Refusal::PendingRefused => scene.pending_error.clone().map(|e| (Role::Pending, e)),
        _ => None,
    };
    if let Some((role, source)) = engine_error {
        return RotationError::Engine { role, source };
    }

    if let (Refusal::TooSoon, Some(at)) = (refusal, scene.not_before) {
        return too_soon(secret, at);
    }

    let (message, hint) = match refusal {
        Refusal::ManagedElsewhere => {
            let who = scene.description.owning_service.as_deref().map_or_else(
                || "rotation is switched on for it in Secrets Manager".to_owned(),
                |service| format!("it is owned by {service}"),
            );
            (
                format!("secret {secret:?} has another rotator: {who}"),
                "switch that off first (aws secretsmanager cancel-rotate-secret), or remove the rotation here".to_owned(),
            )
        }
        Refusal::WindowClosed => (
            match task.window {
                Some(w) => format!("the window {} to {} is not open", w.opens, w.closes),
                None => "the window is not open".to_owned(),
            },
            "the next window takes it up; `twinkey rotate` does it at once".to_owned(),
        ),
        Refusal::OtherServer => (
            format!(
                "the master secret leads to {}, the secret to {}, and they are not shown to be one server",
                scene.master.target.host, scene.located.target.host
            ),
            "give both secrets the host of the same server, or take the host out of the master secret".to_owned(),
        ),
        Refusal::Locked => (
            format!("another run is working on the pair {:?} and {:?}", pair.base, pair.clone),
            "wait for it: `twinkey status` shows it if it is one of this journal's".to_owned(),
        ),
        Refusal::Unfit => listed(
            &format!("the pair {:?} and {:?} cannot be rotated", pair.base, pair.clone),
            inspection.map(|i| {
                i.findings
                    .iter()
                    .filter(|f| f.severity == Severity::Error)
                    .collect()
            }),
        ),
        Refusal::MasterLacks => listed(
            &format!("the master {:?} lacks a privilege", scene.master.credentials.username),
            inspection.map(|i| i.missing.iter().collect()),
        ),
        Refusal::StandbyMissing => (
            format!("the standby {standby:?} is not there, and standby = \"existing\" forbids to create it"),
            format!("create {standby:?} with the privileges of {active:?}, or set standby = \"create\""),
        ),
        Refusal::Differs | Refusal::StillDiffers => {
            let differences: Vec<String> = inspection
                .map(|i| i.differences.iter().map(|c| format!("{} ({})", c.statement, c.why)).collect())
                .unwrap_or_default();
            let said = if refusal == Refusal::Differs {
                "differs"
            } else {
                "still differs after it was made equal"
            };
            (
                format!("the standby {standby:?} {said} from {active:?}: {}", differences.join("; ")),
                "carry out the statements listed, or set grants = \"sync\" and standby = \"create\"".to_owned(),
            )
        }
        Refusal::StandbyInUse => {
            let sessions = scene.sessions.as_deref().unwrap_or_default();
            let who: Vec<String> = sessions.iter().take(5).map(described).collect();
            (
                format!(
                    "{} still signed in as the standby {standby:?}: {}",
                    count(sessions.len(), "session is", "sessions are"),
                    who.join("; ")
                ),
                "those clients hold credentials from two rotations ago and would be cut off at their next connect: restart them, or use --force".to_owned(),
            )
        }
        Refusal::PendingConflict => {
            let id = scene
                .description
                .labelled(stage::PENDING)
                .map_or_else(String::new, ToString::to_string);
            (
                format!("AWSPENDING of {secret:?} is on version {id}, which is not for {standby:?}"),
                format!(
                    "find out who wrote it; if nobody needs it: aws secretsmanager update-secret-version-stage --secret-id {secret} --version-stage AWSPENDING --remove-from-version-id {id}"
                ),
            )
        }
        Refusal::LostRace => (
            format!("secret {secret:?} moved on without this run"),
            "nothing is to be done: the next run starts from where the secret stands now".to_owned(),
        ),
        // Told above, with what was observed.
        Refusal::TooSoon
        | Refusal::CurrentRefused
        | Refusal::MasterRefused
        | Refusal::PendingRefused => (
            "the run was refused".to_owned(),
            "see `twinkey check`".to_owned(),
        ),
    };
    let waits = refusal != Refusal::StandbyInUse || task.rotation.in_use == InUse::Wait;
    RotationError::Refused {
        code: refusal.code(),
        message,
        hint,
        passes: refusal.passes() && waits,
    }
}

/// Whether none of these guards stands in the way.
///
/// # Errors
/// The first of them that does, in the order of [`crate::rotation::decide::Guards::refusals`].
pub(crate) fn free_of(
    guards: &[Refusal],
    task: &Task<'_>,
    scene: &Scene,
) -> Result<(), RotationError> {
    let mut standing = scene.observed.guards.refusals().into_iter();
    match standing.find(|refusal| guards.contains(refusal)) {
        Some(refusal) => Err(explain(refusal, task, scene)),
        None => Ok(()),
    }
}

/// `min_interval` has not passed since AWSCURRENT moved; it has at `at`.
pub(crate) fn too_soon(secret: &str, at: chrono::DateTime<chrono::Utc>) -> RotationError {
    RotationError::refused(
        Refusal::TooSoon,
        format!(
            "AWSCURRENT of {secret:?} moved less than min_interval ago; applications may still hold the credentials that the next run would replace"
        ),
        format!(
            "wait until {}, or force it (--force) if no application caches the old credentials",
            at.format("%Y-%m-%dT%H:%M:%SZ")
        ),
    )
}

fn count(n: usize, one: &str, many: &str) -> String {
    if n == 1 {
        format!("1 {one}")
    } else {
        format!("{n} {many}")
    }
}

/// A session in words, for messages and tables.
#[must_use]
pub fn described(session: &Session) -> String {
    let from = session.client.as_deref().unwrap_or("an unknown address");
    let what = session
        .application
        .as_deref()
        .filter(|a| !a.is_empty())
        .unwrap_or("an unnamed client");
    let since = session.since.map_or_else(String::new, |at| {
        format!(" since {}", at.format("%Y-%m-%dT%H:%M:%SZ"))
    });
    format!("{what} from {from}{since}")
}

fn listed(what: &str, findings: Option<Vec<&Finding>>) -> (String, String) {
    let findings = findings.unwrap_or_default();
    let whats: Vec<&str> = findings.iter().map(|f| f.what.as_str()).collect();
    let fixes: Vec<&str> = findings.iter().filter_map(|f| f.fix.as_deref()).collect();
    let hint = if fixes.is_empty() {
        "see `twinkey check`".to_owned()
    } else {
        fixes.join(" ")
    };
    (format!("{what}: {}", whats.join("; ")), hint)
}
