//! Texts for a pair or a standby that is not the secret's own.

use super::listed;
use crate::config::settings::StandbyMode;
use crate::rotation::observe::observation::{Observation, RunRequest};
use crate::rotation::observe::ownership::OwnershipProblem;
use twinkey_engines::Finding;

/// Message and hint for a pair or a standby that is not this secret's.
pub(super) fn not_own(request: &RunRequest<'_>, observation: &Observation) -> (String, String) {
    let secret = &request.rotation.secret;
    let pair = &observation.resolved.pair;
    let (active, standby) = (pair.active_user(), pair.standby_user());
    let own_pair = "create another user for one of the secrets, and store it there";
    match &observation.ownership_problem {
        Some(OwnershipProblem::Login(other)) => (
            format!(
                "AWSCURRENT of the secret {:?} (rotation {:?}) is {standby:?}, the standby of {secret:?}: a new password would lock its applications out",
                other.secret, other.rotation
            ),
            format!(
                "{own_pair}; or delete the secret {:?} if it is obsolete",
                other.secret
            ),
        ),
        Some(OwnershipProblem::Owner(other)) => (
            format!(
                "the pair {:?} and {:?} at {} belongs to the secret {:?} (rotation {:?})",
                other.base, other.clone, other.server, other.secret, other.rotation
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

/// The causes for which no version of the secret signs in as the standby that they name.
pub(super) fn causes(observation: &Observation) -> Option<&[Finding]> {
    let named = OwnershipProblem::Foreign { named: true };
    let is_named = observation.ownership_problem.as_ref() == Some(&named);
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
    let named = observation.ownership_problem == Some(OwnershipProblem::Foreign { named: true });
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
