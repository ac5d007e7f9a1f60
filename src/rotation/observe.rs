//! Looking, without touching: reads the store, signs in as the active user and as the master, takes
//! the pair's lock, and only then reads the labels and compares the pair, so that whatever another run did before it let
//! go of the lock is seen. What does not wait for each other for that reason goes on at the same time.

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::config::settings::{InUse, Rotation};
use crate::rotation::decide::{Elsewhere, Guards, Observed, Own, Standby};
use crate::rotation::error::{Role, RotationError};
use crate::rotation::labels::{describe, labels};
use crate::rotation::locate::{Located, Master, locate_both, master};
use crate::rotation::masters::{Key, SignedInMaster};
use crate::rotation::scene::{Scene, Task};
use crate::rotation::site::Site;
use crate::rotation::standby::{Compared, compare, database, pending_password, request, take_note};
use twinkey_engines::{EngineError, Questions, SignedIn, Target};
use twinkey_stores::{Description, SecretStore, stage};

/// How often the secret may change under an observation before it gives up.
pub(crate) const PATIENCE: usize = 3;

/// Observes everything that a run's first decision rests on.
///
/// # Errors
/// What cannot be observed at all. What speaks against the run is a fact, not an error.
pub(crate) async fn observe(site: &Site, task: &Task<'_>) -> Result<Scene, RotationError> {
    let store = &*site.store;
    for _ in 0..PATIENCE {
        let (located, master) = locate_both(site, task.rotation).await?;
        let Some(place) = site.hosts.place(&located.target.host).await else {
            return Err(Role::Current.error()(down(&located)));
        };
        let active = located.current();
        let questions = Questions {
            identity: !same_name(&located.target, &master.target),
            ..Questions::default()
        };
        let (current, entered) = tokio::join!(
            located.sign_in(&active, questions),
            enter(site, task, &located, master),
        );
        place.heard(&current);
        let (entered, description) = entered?;
        let mut scene = Scene {
            observed: blank(),
            description,
            may_exist: task.may_exist,
            master: entered.master,
            admin: None,
            admin_since: Instant::now(),
            own_document: None,
            carried: None,
            inspection: None,
            sessions: None,
            current_error: None,
            master_error: None,
            pending_error: None,
            proof: None,
            not_before: None,
            place,
            located,
        };
        match look(store, task, &mut scene, current, entered.admin).await {
            Ok(true) => {
                guards(task, &mut scene, site.clock.now());
                return Ok(scene);
            }
            Ok(false) => scene.close().await,
            Err(error) => {
                scene.close().await;
                return Err(error);
            }
        }
    }
    Err(keeps_moving(&task.rotation.secret))
}

/// AWSCURRENT was another version each time.
pub(crate) fn keeps_moving(secret: &str) -> RotationError {
    RotationError::Refused {
        code: twinkey_core::code::Code::LostRace,
        message: format!("AWSCURRENT of {secret:?} keeps moving while it is looked at"),
        hint: "something else rotates this secret now; switch it off, or remove the rotation here"
            .into(),
        passes: true,
    }
}

/// The host was not reached a moment ago, and another run is trying it.
pub(crate) fn down(located: &Located) -> EngineError {
    EngineError::Unreachable {
        host: located.target.host.clone(),
        port: located.target.port.unwrap_or_default(),
        reason: "another run could not reach it, or is trying to at this moment".into(),
    }
}

/// Looks from both connections. `false`: AWSCURRENT is another version by now.
async fn look(
    store: &dyn SecretStore,
    task: &Task<'_>,
    scene: &mut Scene,
    current: Result<SignedIn, EngineError>,
    admin: Result<Entry, EngineError>,
) -> Result<bool, RotationError> {
    let compared = match admin {
        Ok(entry) => {
            scene.observed.guards.locked = !entry.locked;
            scene.admin = Some(entry.master.admin);
            scene.admin_since = entry.master.since;
            Some(entry.compared)
        }
        Err(error) => {
            scene.observed.guards.master_refused = true;
            scene.master_error = Some(error);
            None
        }
    };
    let identity = signed_in(scene, current)?;
    scene.observed.guards.other_server = other_server(scene, identity);
    if scene.description.labelled(stage::CURRENT) != Some(&scene.located.version_id) {
        return Ok(false);
    }
    labels(store, task, scene).await?;
    match compared {
        // Now there is a password to ask about.
        Some(_) if scene.own_document.is_some() => database(task, scene).await?,
        Some(compared) => take_note(task, scene, compared?),
        None => {}
    }
    pending_password(scene).await?;
    Ok(true)
}

/// Nothing known yet: what no fact has been found for stands in nobody's way.
fn blank() -> Observed {
    Observed {
        own: Own::NotThere,
        elsewhere: Elsewhere::Nothing,
        guards: Guards::default(),
        standby: Standby {
            equal: false,
            has_password: false,
        },
        proof: None,
        converged: false,
    }
}

/// What the master found.
struct Entered {
    master: Master,
    admin: Result<Entry, EngineError>,
}

/// The master's connection, and what was seen through it.
struct Entry {
    master: SignedInMaster,
    locked: bool,
    /// Without a password to ask about.
    compared: Result<Compared, RotationError>,
}

/// Signs in as the master and takes the lock; then reads the labels and compares the pair, at the same time.
async fn enter(
    site: &Site,
    task: &Task<'_>,
    located: &Located,
    master: Master,
) -> Result<(Entered, Description), RotationError> {
    let store = &*site.store;
    let (master, admin) = connect(site, task, located, master).await?;
    let (mut signed_in, locked) = match admin {
        Ok(admin) => admin,
        Err(refused) => {
            let admin = Err(refused);
            return Ok((Entered { master, admin }, describe(store, task).await?));
        }
    };
    let request = request(task, &located.pair, None);
    let (description, compared) = tokio::join!(
        describe(store, task),
        compare(&mut *signed_in.admin, &request, false),
    );
    match description {
        Ok(description) => {
            let admin = Ok(Entry {
                master: signed_in,
                locked,
                compared,
            });
            Ok((Entered { master, admin }, description))
        }
        Err(error) => {
            signed_in.admin.close().await;
            Err(error)
        }
    }
}

type Connected = Result<(SignedInMaster, bool), EngineError>;

/// Signs in as the master, or goes on with the connection of a run before, and takes the lock. A master that is
/// refused is read once more, because managed master secrets rotate too.
async fn connect(
    site: &Site,
    task: &Task<'_>,
    located: &Located,
    mut master: Master,
) -> Result<(Master, Connected), RotationError> {
    if task.lock
        && let Some(key) = Key::of(task.rotation, located, &master)
        && let Some(taken) = site.masters.take(&key, &located.pair).await
    {
        return Ok((master, Ok(taken)));
    }
    let engine = &located.engine;
    let mut admin = engine.admin(&master.target, &master.credentials).await;
    if matches!(admin, Err(EngineError::SignIn { .. })) {
        let again = self::master(&*site.store, task.rotation, located).await?;
        if again.version_id != master.version_id {
            admin = engine.admin(&again.target, &again.credentials).await;
            master = again;
        }
    }
    let since = Instant::now();
    match admin {
        Ok(mut admin) => {
            let locked = if task.lock {
                admin.lock(&located.pair).await
            } else {
                Ok(true)
            };
            match locked {
                Ok(locked) => Ok((master, Ok((SignedInMaster { admin, since }, locked)))),
                Err(error) => {
                    // It may have been taken, and only the answer lost.
                    admin.close().await;
                    Err(Role::Master.error()(error))
                }
            }
        }
        Err(refused @ EngineError::SignIn { .. }) => Ok((master, Err(refused))),
        Err(error) => Err(Role::Master.error()(error)),
    }
}

/// Takes note of whether the active user signed in; gives the identity of the server it reached.
fn signed_in(
    scene: &mut Scene,
    result: Result<SignedIn, EngineError>,
) -> Result<Option<String>, RotationError> {
    match result {
        Ok(who) => Ok(who.server_identity),
        Err(refused @ EngineError::SignIn { .. }) => {
            scene.observed.guards.current_refused = true;
            scene.current_error = Some(refused);
            Ok(None)
        }
        Err(error) => Err(Role::Current.error()(error)),
    }
}

/// Whether the master is signed in to another server than the active user: told by the names where
/// they are equal, else by what the servers say of themselves.
fn other_server(scene: &Scene, identity: Option<String>) -> bool {
    let Some(admin) = &scene.admin else {
        return false;
    };
    let same_name = same_name(&scene.located.target, &scene.master.target);
    if same_name || scene.observed.guards.current_refused {
        return false;
    }
    identity.is_none() || identity.as_deref() != admin.server_identity()
}

/// Whether one address leads to both.
fn same_name(secret: &Target, master: &Target) -> bool {
    secret.host.eq_ignore_ascii_case(&master.host) && secret.port == master.port
}

/// The guards that rest on the config, the labels and the time.
fn guards(task: &Task<'_>, scene: &mut Scene, now: DateTime<Utc>) {
    let description = &scene.description;
    let had_another_user = description.labelled(stage::PREVIOUS).is_some();
    let last_flip = [
        task.last_flip,
        scene.located.created.filter(|_| had_another_user),
    ]
    .into_iter()
    .flatten()
    .max();
    scene.not_before = not_before(task.rotation, last_flip, now);
    let guards = &mut scene.observed.guards;
    guards.managed_elsewhere = description.rotation_enabled || description.owning_service.is_some();
    guards.too_soon = scene.not_before.is_some() && !task.force;
    guards.standby_in_use = task.rotation.in_use != InUse::Ignore
        && !task.force
        && scene.sessions.as_ref().is_some_and(|s| !s.is_empty());
    look_at_clock(task, scene, now);
}

/// Until when `min_interval` forbids another flip, if it does `now`.
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

/// Asks the clock's guard, at first and again before every effect. A run begins when its window has
/// opened; a clock that is set back in the middle of it does not open the window anew.
pub(crate) fn look_at_clock(task: &Task<'_>, scene: &mut Scene, now: DateTime<Utc>) {
    scene.observed.guards.window_closed = task.window.is_some_and(|w| now >= w.closes);
}
