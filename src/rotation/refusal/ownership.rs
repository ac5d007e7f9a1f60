//! Texts for a pair or a standby that is not the secret's own, or is not proved to be.

use super::listed;
use crate::config::settings::StandbyMode;
use crate::journal::PairRecord;
use crate::rotation::observe::observation::{Observation, RunRequest};
use crate::rotation::observe::ownership::{OwnershipProblem, Takeover, server};
use twinkey_core::code::Code;
use twinkey_engines::{Finding, Severity};

/// Message and hint for a pair or a standby that is not this secret's.
pub(super) fn not_own(request: &RunRequest<'_>, observation: &Observation) -> (String, String) {
    let secret = &request.rotation.secret;
    let pair = &observation.resolved.pair;
    let (active, standby) = (pair.active_user(), pair.standby_user());
    let own_pair = "create another user for one of the secrets, and store it there";
    if observation.resolved.has_one_user() {
        return not_own_user(request, observation, own_pair);
    }
    match &observation.ownership.problem {
        Some(OwnershipProblem::Duplicate(other)) => (
            format!(
                "the rotations {:?} and {:?} have one secret, {:?}",
                request.rotation.name, other.rotation, other.secret
            ),
            format!(
                "remove the rotation {:?} or {:?} from the config",
                request.rotation.name, other.rotation
            ),
        ),
        Some(OwnershipProblem::Login(other)) => (
            format!(
                "AWSCURRENT of the secret {:?} (rotation {:?}{}) is {standby:?}, the standby of {secret:?}: a new password would lock its applications out",
                other.secret,
                other.rotation,
                other_address(observation, other)
            ),
            format!(
                "{own_pair}; or delete the secret {:?} if it is obsolete",
                other.secret
            ),
        ),
        Some(OwnershipProblem::Owner(other)) => (
            format!(
                "the pair {:?} and {:?} at {} belongs to the secret {:?} (rotation {:?}{})",
                other.base,
                other.clone,
                server(&observation.master, &observation.resolved),
                other.secret,
                other.rotation,
                other_address(observation, other)
            ),
            format!(
                "{own_pair}; or, if {secret:?} replaces the other secret, delete that one, remove the rotation {:?} and set standby = \"adopt\" for {:?}",
                other.rotation, request.rotation.name
            ),
        ),
        Some(OwnershipProblem::Complete) => (
            format!(
                "the standby {standby:?} has every privilege of {active:?}, and no version of {secret:?} names it: another secret rotates this pair"
            ),
            format!(
                "{own_pair}; or, if no other secret has {standby:?} and no application signs in with it, set standby = \"adopt\" for {:?}",
                request.rotation.name
            ),
        ),
        Some(OwnershipProblem::Foreign { .. }) | None => foreign(request, observation),
    }
}

/// As [`not_own`], for one user.
fn not_own_user(
    request: &RunRequest<'_>,
    observation: &Observation,
    own_user: &str,
) -> (String, String) {
    let user = observation.resolved.pair.active_user();
    match &observation.ownership.problem {
        Some(OwnershipProblem::Duplicate(other)) => (
            format!(
                "the rotations {:?} and {:?} have one secret, {:?}",
                request.rotation.name, other.rotation, other.secret
            ),
            format!(
                "remove the rotation {:?} or {:?} from the config",
                request.rotation.name, other.rotation
            ),
        ),
        Some(OwnershipProblem::Login(other) | OwnershipProblem::Owner(other)) => (
            format!(
                "the secret {:?} (rotation {:?}{}) has the user {user:?} of {:?} too: a new password would lock its applications out",
                other.secret,
                other.rotation,
                other_address(observation, other),
                request.rotation.secret
            ),
            format!(
                "{own_user}; or, if the secret {:?} is obsolete, delete it, and remove the rotation {:?}",
                other.secret, other.rotation
            ),
        ),
        _ => (
            format!("another secret may have the user {user:?}"),
            own_user.to_owned(),
        ),
    }
}

/// How another secret names this server, if its address is another one.
fn other_address(observation: &Observation, other: &PairRecord) -> String {
    if server(&observation.master, &observation.resolved) == other.server {
        return String::new();
    }
    format!(", whose address {} is this server too", other.server)
}

/// The causes for which no version of the secret signs in as the standby that they name.
pub(super) fn causes(observation: &Observation) -> Option<&[Finding]> {
    let named = OwnershipProblem::Foreign { named: true };
    let is_named = observation.ownership.problem.as_ref() == Some(&named);
    let causes = &observation.inspection.as_ref()?.standby_obstacles;
    (is_named && !causes.is_empty()).then_some(causes)
}

/// Message and hint for a standby of unknown origin.
fn foreign(request: &RunRequest<'_>, observation: &Observation) -> (String, String) {
    let secret = &request.rotation.secret;
    let pair = &observation.resolved.pair;
    let standby = pair.standby_user();
    if let Some(causes) = causes(observation) {
        let what = format!(
            "no version of {secret:?} signs in as the standby {standby:?}, so nothing shows that it is this secret's"
        );
        return listed(&what, Some(causes.iter().collect()));
    }
    let named = observation.ownership.problem == Some(OwnershipProblem::Foreign { named: true });
    let what = if named {
        format!(
            "the standby {standby:?} refuses the passwords that versions of {secret:?} have for it: another program or a person changed it"
        )
    } else {
        format!("the standby {standby:?} exists, and no version of {secret:?} names it")
    };
    let is_clone = standby == pair.clone;
    let mut ways = Vec::new();
    let adopt = request.rotation.standby == StandbyMode::Adopt;
    if !adopt {
        ways.push(format!(
            "if no application signs in as {standby:?}, set standby = \"adopt\" for {:?}",
            request.rotation.name
        ));
    }
    if named {
        ways.push(format!(
            "give {standby:?} the password that AWSPREVIOUS has"
        ));
    }
    if is_clone {
        ways.push(format!("drop {standby:?}, and the next run creates it"));
        ways.push("set another clone_suffix".to_owned());
    } else if ways.is_empty() {
        ways.push(format!(
            "store the password of {standby:?} as a version of {secret:?}"
        ));
    }
    let used = if adopt {
        "; standby = \"adopt\" was used before, and counts once"
    } else {
        ""
    };
    (format!("{what}{used}"), ways.join("; or "))
}

/// What `check` and `plan` report about the pair although the run is not refused.
pub(crate) fn findings(request: &RunRequest<'_>, observation: &Observation) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(taken(observation));
    if !observation.observed.guards.pair_shared {
        findings.extend(shared(request, observation));
    }
    findings.extend(unknown(observation));
    findings.extend(unconfirmed(observation));
    findings
}

/// The standby that the next run takes without a proof.
fn taken(observation: &Observation) -> Option<Finding> {
    let standby = observation.resolved.pair.standby_user();
    let what = match observation.ownership.takeover? {
        Takeover::Adopted => format!(
            "{standby:?} is not this secret's own: the next run takes it over, with its objects and privileges (standby = \"adopt\")"
        ),
        Takeover::Existing => format!(
            "no version of the secret has the password of {standby:?}: the next run replaces it (standby = \"existing\")"
        ),
        Takeover::ClonedByAws => format!(
            "no version of the secret has the password of {standby:?}: the next run replaces it, as AWS's rotation function made this pair"
        ),
    };
    Some(Finding {
        severity: Severity::Warning,
        code: Some(Code::StandbyForeign),
        what,
        fix: Some(format!(
            "check that no application and no other secret has {standby:?}"
        )),
    })
}

/// Other secrets that name a user of the pair. One of the rotations is refused after the next run.
fn shared(request: &RunRequest<'_>, observation: &Observation) -> Vec<Finding> {
    let ownership = &observation.ownership;
    let all = ownership.shared_with.iter();
    let has_one_user = observation.resolved.has_one_user();
    all.map(|(other, user)| Finding {
        // The rotation that owns the pair goes on.
        severity: if ownership.owned || has_one_user {
            Severity::Warning
        } else {
            Severity::Error
        },
        code: Some(Code::PairShared),
        what: if has_one_user {
            format!(
                "AWSCURRENT of the secret {:?} (rotation {:?}) names {user:?}: a user of two secrets has the password of one of them only",
                other.secret, other.rotation
            )
        } else {
            format!(
                "AWSCURRENT of the secret {:?} (rotation {:?}) is {user:?} too: two rotations of one pair lock each other's applications out, so runs are refused once {user:?} is the standby",
                other.secret, other.rotation
            )
        },
        fix: Some(format!(
            "create another user for {:?} or {:?}, and store it there; or remove one of the rotations, and delete its secret",
            request.rotation.secret, other.secret
        )),
    })
    .collect()
}

/// The rotations whose pair is not known.
fn unknown(observation: &Observation) -> Option<Finding> {
    const SHOWN: usize = 5;
    let all = &observation.ownership.unknown;
    if all.is_empty() {
        return None;
    }
    let shown: Vec<String> = all.iter().take(SHOWN).map(|r| format!("{r:?}")).collect();
    let more = match all.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(Finding {
        severity: Severity::Note,
        code: None,
        what: format!(
            "the secrets of other rotations cannot be read, so it is not known whether they have this pair: {}{more}",
            shown.join(", ")
        ),
        fix: Some("run `twinkey check` for these rotations".into()),
    })
}

/// Other secrets whose server may be this one.
fn unconfirmed(observation: &Observation) -> Vec<Finding> {
    let all = observation.ownership.unconfirmed.iter();
    all.map(|(other, reason)| Finding {
        severity: Severity::Warning,
        code: None,
        what: format!(
            "the secret {:?} (rotation {:?}) has a user of this pair at {}, where the server reports the identity of this one. It is not known whether they are one server: {reason}",
            other.secret, other.rotation, other.server
        ),
        fix: Some(format!(
            "if {} is another name of this server, give the secrets different users; if it was restored from a snapshot, there is nothing to do",
            other.server
        )),
    })
    .collect()
}

/// The hint for open sessions of the standby.
pub(crate) fn end_its_sessions(request: &RunRequest<'_>, observation: &Observation) -> String {
    let standby = observation.resolved.pair.standby_user();
    if observation.ownership.takeover.is_none() {
        return "restart these clients, or use --force: they hold the credentials of two rotations ago and their next connection would fail".to_owned();
    }
    format!(
        "find the secret of these clients: no version of {:?} has the password of {standby:?}, and the run would lock them out. Give them another user, or stop them",
        request.rotation.secret
    )
}
