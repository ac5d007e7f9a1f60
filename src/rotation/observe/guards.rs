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

/// Sets the guards that depend on the config, the labels and the time.
pub(super) fn set_guards(
    request: &RunRequest<'_>,
    observation: &mut Observation,
    now: DateTime<Utc>,
) {
    let description = &observation.description;
    let flipped_before = description.labelled(stage::PREVIOUS).is_some();
    let last_flip = [
        request.last_flip,
        observation.resolved.created.filter(|_| flipped_before),
    ]
    .into_iter()
    .flatten()
    .max();
    observation.not_before = not_before(request.rotation, last_flip, now);
    let guards = &mut observation.observed.guards;
    guards.managed_elsewhere = description.rotation_enabled || description.owning_service.is_some();
    guards.too_soon = observation.not_before.is_some() && !request.force;
    guards.standby_in_use = request.rotation.in_use != InUse::Ignore
        && !request.force
        && !request.end_sessions
        && observation.sessions.as_ref().is_some_and(|s| !s.is_empty());
    check_window(request, observation, now);
}
