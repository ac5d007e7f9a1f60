//! Guards that depend on the config, the time and the servers' identities.

use chrono::{DateTime, Utc};

use crate::config::settings::{InUse, Rotation};
use crate::rotation::observe::observation::{Observation, RunRequest};
use crate::rotation::observe::proof::is_one_address;
use twinkey_stores::stage;

/// Updates the guard of the window, first and again before every effect.
///
/// A run begins after its window opened; a clock that is set back does not reopen the window.
pub(crate) fn check_window(
    request: &RunRequest<'_>,
    observation: &mut Observation,
    now: DateTime<Utc>,
) {
    observation.observed.guards.window_closed = request.window.is_some_and(|w| now >= w.closes);
}

/// A flip later than this is recorded by a clock that was ahead.
const CLOCK_SKEW: chrono::TimeDelta = chrono::TimeDelta::minutes(5);

/// The last of these flips that is not in the future. A time from a clock that was ahead proves no
/// flip: it would forbid rotations until that time has come.
pub(crate) fn last_flip(
    rotation: &Rotation,
    known: impl IntoIterator<Item = Option<DateTime<Utc>>>,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let (past, future): (Vec<_>, Vec<_>) =
        (known.into_iter().flatten()).partition(|at| *at <= now + CLOCK_SKEW);
    if let Some(ahead) = future.into_iter().max() {
        tracing::warn!(rotation = %rotation.name, last_flip = %ahead, "last flip is in the future: ignored");
    }
    past.into_iter().max()
}

/// The time until which `min_interval` forbids another flip, if it is after `now`.
pub(crate) fn not_before(
    rotation: &Rotation,
    last_flip: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let interval = chrono::TimeDelta::from_std(rotation.min_interval).ok()?;
    last_flip?
        .checked_add_signed(interval)
        .filter(|at| *at > now)
}

/// Whether the master signed in to another server than the active user. Equal addresses are the
/// same server; otherwise the identities that the servers report are compared.
///
/// This finds mistakes. A hostile server can report any identity, so equal ones permit nothing: the
/// credentials are also proved where the master signs in.
pub(super) fn on_other_server(observation: &Observation, identity: Option<&str>) -> bool {
    let Some(session) = &observation.admin else {
        return false;
    };
    if is_one_address(&observation.resolved, &observation.master.target)
        || observation.observed.guards.current_refused
    {
        return false;
    }
    identity.is_none() || identity != session.admin.server_identity()
}

/// Whether the secret with this ARN is not the one that discovery found: that was deleted, and another
/// secret has its name. `[[discover]]` may not concern it.
fn is_replaced(rotation: &Rotation, arn: &str) -> bool {
    let found = rotation.discovered.as_ref();
    found.is_some_and(|found| !arn.is_empty() && *found.arn != *arn)
}

/// Sets the guards that depend on the config, the labels and the time.
pub(super) fn set_guards(
    request: &RunRequest<'_>,
    observation: &mut Observation,
    now: DateTime<Utc>,
) {
    let description = &observation.description;
    let flipped_before = description.labelled(stage::PREVIOUS).is_some();
    let known = [
        request.last_flip,
        observation.resolved.created.filter(|_| flipped_before),
    ];
    let last_flip = last_flip(request.rotation, known, now);
    observation.not_before = not_before(request.rotation, last_flip, now);
    let guards = &mut observation.observed.guards;
    guards.replaced = is_replaced(request.rotation, &description.arn);
    guards.managed_elsewhere = description.other_rotator().is_some();
    guards.too_soon = observation.not_before.is_some() && !request.force;
    guards.standby_in_use = !observation.resolved.has_one_user()
        && request.rotation.in_use != InUse::Ignore
        && !request.force
        && !request.end_sessions
        && observation.sessions.as_ref().is_some_and(|s| !s.is_empty());
    check_window(request, observation, now);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::rotation;

    #[test]
    fn a_flip_in_the_future_is_no_flip() {
        let rotation = rotation("min_interval = \"15m\"");
        let now: DateTime<Utc> = "2026-11-29T12:00:00Z".parse().unwrap();
        let ahead = now + chrono::TimeDelta::days(40);
        let skewed = now + chrono::TimeDelta::minutes(1);
        let past = now - chrono::TimeDelta::minutes(10);
        for (known, expected) in [
            ([Some(ahead), None], None),
            ([Some(ahead), Some(past)], Some(past)),
            ([Some(past), Some(skewed)], Some(skewed)),
            ([None, None], None),
        ] {
            assert_eq!(last_flip(&rotation, known, now), expected);
        }
        assert_eq!(not_before(&rotation, None, now), None);
        let due = past + chrono::TimeDelta::minutes(15);
        assert_eq!(not_before(&rotation, Some(past), now), Some(due));
    }
}
