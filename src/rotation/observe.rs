//! Looking, without touching: reads the store, signs in as the active user and as the master, takes
//! the pair's lock, and only then reads the labels, so that whatever another run did before it let
//! go of the lock is seen.

use chrono::{DateTime, Utc};

use crate::config::settings::{GrantsMode, InUse, StandbyMode};
use crate::engine::{Admin, Credentials, EngineError, InspectRequest, Severity, SignedIn};
use crate::rotation::decide::{Content, Elsewhere, Guards, Observed, Own, Standby};
use crate::rotation::error::{Role, RotationError};
use crate::rotation::locate::{Located, Master, locate, master};
use crate::rotation::scene::{Scene, Task};
use crate::rotation::site::Site;
use crate::secret::ExposeSecret;
use crate::secret::document::Document;
use crate::store::{Description, SecretStore, Selector, StoreError, VersionId, stage};

/// How often the secret may change under an observation before it gives up.
const PATIENCE: usize = 3;

/// Observes everything that a run's first decision rests on.
///
/// # Errors
/// What cannot be observed at all. What speaks against the run is a fact, not an error.
pub(crate) async fn observe(site: &Site, task: &Task<'_>) -> Result<Scene, RotationError> {
    let store = &*site.store;
    for _ in 0..PATIENCE {
        let located = locate(store, task.rotation).await?;
        let master = master(store, task.rotation, &located).await?;
        let place = site.hosts.place(&located.target.host).await;
        let active = located.current();
        let (current, admin) = tokio::join!(
            located.engine.sign_in(&located.target, &active, &[]),
            connect(store, task, &located, master),
        );
        let (master, admin) = admin?;
        let mut scene = Scene {
            observed: blank(),
            description: describe(store, task).await?,
            master,
            admin: None,
            own_document: None,
            carried: None,
            inspection: None,
            sessions: None,
            current_error: None,
            master_error: None,
            pending_error: None,
            not_before: None,
            place,
            located,
        };
        let identity = signed_in(&mut scene, current)?;
        match admin {
            Ok((admin, locked)) => {
                scene.observed.guards.other_server = other_server(&scene, &*admin, identity);
                scene.observed.guards.locked = !locked;
                scene.admin = Some(admin);
            }
            Err(error) => {
                scene.observed.guards.master_refused = true;
                scene.master_error = Some(error);
            }
        }
        if scene.description.labelled(stage::CURRENT) != Some(&scene.located.version_id) {
            continue;
        }
        labels(store, task, &mut scene).await?;
        database(task, &mut scene).await?;
        pending_password(&mut scene).await?;
        guards(task, &mut scene, site.clock.now());
        return Ok(scene);
    }
    Err(RotationError::Refused {
        code: crate::code::Code::LostRace,
        message: format!(
            "AWSCURRENT of {:?} keeps moving while it is looked at",
            task.rotation.secret
        ),
        hint: "something else rotates this secret now; switch it off, or remove the rotation here"
            .into(),
        passes: true,
    })
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

type Connected = Result<(Box<dyn Admin>, bool), EngineError>;

/// Signs in as the master and takes the lock. A master that is refused is read once more, because
/// managed master secrets rotate too.
async fn connect(
    store: &dyn SecretStore,
    task: &Task<'_>,
    located: &Located,
    mut master: Master,
) -> Result<(Master, Connected), RotationError> {
    let engine = &located.engine;
    let as_master = |source| RotationError::Engine {
        role: Role::Master,
        source,
    };
    let mut admin = engine.admin(&master.target, &master.credentials).await;
    if matches!(admin, Err(EngineError::SignIn { .. })) {
        let again = self::master(store, task.rotation, located).await?;
        if again.version_id != master.version_id {
            admin = engine.admin(&again.target, &again.credentials).await;
            master = again;
        }
    }
    match admin {
        Ok(mut admin) => {
            let locked = !task.lock || admin.lock(&located.pair).await.map_err(as_master)?;
            Ok((master, Ok((admin, locked))))
        }
        Err(refused @ EngineError::SignIn { .. }) => Ok((master, Err(refused))),
        Err(error) => Err(as_master(error)),
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
        Err(source) => Err(RotationError::Engine {
            role: Role::Current,
            source,
        }),
    }
}

/// Whether the master is signed in to another server than the active user: told by the names where
/// they are equal, else by what the servers say of themselves.
fn other_server(scene: &Scene, admin: &dyn Admin, identity: Option<String>) -> bool {
    let (secret, master) = (&scene.located.target, &scene.master.target);
    let same_name = secret.host.eq_ignore_ascii_case(&master.host) && secret.port == master.port;
    if same_name || scene.observed.guards.current_refused {
        return false;
    }
    identity.is_none() || identity.as_deref() != admin.server_identity()
}

async fn describe(store: &dyn SecretStore, task: &Task<'_>) -> Result<Description, RotationError> {
    store
        .describe(&task.rotation.secret)
        .await
        .map_err(|source| store_error(task, source))
}

fn store_error(task: &Task<'_>, source: StoreError) -> RotationError {
    RotationError::Store {
        secret: task.rotation.secret.clone(),
        source,
    }
}

/// Reads the labels anew after a conflict, and what they are on.
///
/// # Errors
/// `lost_race` when AWSCURRENT is no longer where it was; the store's.
pub(crate) async fn look_at_labels(
    store: &dyn SecretStore,
    task: &Task<'_>,
    scene: &mut Scene,
) -> Result<(), RotationError> {
    scene.description = describe(store, task).await?;
    let current = scene.description.labelled(stage::CURRENT);
    if current != Some(&scene.located.version_id) && current != Some(&task.own) {
        return Err(RotationError::refused(
            super::decide::Refusal::LostRace,
            format!(
                "AWSCURRENT of {:?} was moved by somebody else during the run",
                task.rotation.secret
            ),
            "nothing is to be done: the next run starts from where the secret stands now".into(),
        ));
    }
    labels(store, task, scene).await?;
    pending_password(scene).await
}

/// Where the version of this run and AWSPENDING stand, with the documents behind them.
async fn labels(
    store: &dyn SecretStore,
    task: &Task<'_>,
    scene: &mut Scene,
) -> Result<(), RotationError> {
    let description = &scene.description;
    let on = |label| description.labelled(label);
    let pending = on(stage::PENDING)
        .filter(|id| Some(*id) != on(stage::CURRENT) && Some(*id) != on(stage::PREVIOUS))
        .cloned();
    scene.own_document = None;
    scene.carried = None;

    let own_is = |label| description.labelled(label) == Some(&task.own);
    if own_is(stage::CURRENT) {
        scene.observed.own = Own::Current;
        return Ok(());
    }
    if own_is(stage::PREVIOUS) {
        scene.observed.own = Own::Previous;
        return Ok(());
    }
    let labelled = pending.as_ref() == Some(&task.own);
    scene.observed.own = if labelled || task.may_exist {
        match content(store, task, scene, &task.own).await? {
            Read::Nothing if labelled => Own::Pending(Content::Empty),
            Read::Nothing => Own::NotThere,
            Read::Version(content, document) => {
                scene.own_document = document.filter(|_| content == Content::Fits);
                if labelled {
                    Own::Pending(content)
                } else {
                    Own::Unlabelled(content)
                }
            }
        }
    } else {
        Own::NotThere
    };
    scene.observed.elsewhere = match pending.filter(|id| *id != task.own) {
        None => Elsewhere::Nothing,
        Some(id) => match content(store, task, scene, &id).await? {
            Read::Nothing => Elsewhere::Pending {
                content: Content::Empty,
                same_password: false,
            },
            Read::Version(content, document) => {
                let theirs = document.as_ref().map(|d| d.password().expose_secret());
                let ours = scene
                    .own_document
                    .as_ref()
                    .map(|d| d.password().expose_secret());
                let same_password = ours.is_some() && ours == theirs;
                scene.carried =
                    document.filter(|_| matches!(content, Content::Fits | Content::Outdated));
                Elsewhere::Pending {
                    content,
                    same_password,
                }
            }
        },
    };
    Ok(())
}

enum Read {
    Nothing,
    Version(Content, Option<Document>),
}

/// What a version holds, seen from the current document.
async fn content(
    store: &dyn SecretStore,
    task: &Task<'_>,
    scene: &Scene,
    id: &VersionId,
) -> Result<Read, RotationError> {
    let secret = &task.rotation.secret;
    let version = match store.get(secret, Selector::Version(id)).await {
        Ok(version) => version,
        Err(StoreError::NotFound { .. }) => return Ok(Read::Nothing),
        Err(source) => return Err(store_error(task, source)),
    };
    let Ok(document) = Document::parse(version.value) else {
        return Ok(Read::Version(Content::Foreign, None));
    };
    let content = if document.fields().username != scene.located.pair.standby_user() {
        Content::Foreign
    } else if document.same_but_for_credentials(&scene.located.document) {
        Content::Fits
    } else {
        Content::Outdated
    };
    Ok(Read::Version(content, Some(document)))
}

/// How the standby differs, and who lives on it.
///
/// # Errors
/// The engine's.
pub(crate) async fn database(task: &Task<'_>, scene: &mut Scene) -> Result<(), RotationError> {
    let as_master = |source| RotationError::Engine {
        role: Role::Master,
        source,
    };
    let Some(admin) = &mut scene.admin else {
        return Ok(());
    };
    let pair = &scene.located.pair;
    let request = InspectRequest {
        pair,
        dbname: scene.located.target.dbname.as_deref(),
    };
    let inspection = admin.inspect(&request).await.map_err(as_master)?;
    if inspection.standby_exists && !scene.observed.converged {
        let standby = pair.standby_user();
        scene.sessions = admin.sessions(standby).await.map_err(as_master)?;
    } else if !inspection.standby_exists {
        scene.sessions = Some(Vec::new());
    }
    scene.observed.standby.equal = inspection.standby_exists && inspection.differences.is_empty();
    let hands_off = task.rotation.grants == GrantsMode::Verify
        || task.rotation.standby == StandbyMode::Existing;
    let guards = &mut scene.observed.guards;
    guards.unfit = inspection
        .findings
        .iter()
        .any(|f| f.severity == Severity::Error);
    guards.standby_missing =
        !inspection.standby_exists && task.rotation.standby == StandbyMode::Existing;
    guards.master_lacks = !inspection.missing.is_empty();
    guards.differs = hands_off && inspection.standby_exists && !inspection.differences.is_empty();
    scene.inspection = Some(inspection);
    Ok(())
}

/// Whether the standby signs in with the password of this run's document, if there is one already.
async fn pending_password(scene: &mut Scene) -> Result<(), RotationError> {
    let exists = scene.inspection.as_ref().is_some_and(|i| i.standby_exists);
    scene.observed.standby.has_password = match &scene.own_document {
        Some(document) if exists => {
            let who: Credentials = super::locate::credentials(document);
            let located = &scene.located;
            match located.engine.sign_in(&located.target, &who, &[]).await {
                Ok(_) => true,
                Err(EngineError::SignIn { .. }) => false,
                Err(source) => {
                    return Err(RotationError::Engine {
                        role: Role::Pending,
                        source,
                    });
                }
            }
        }
        _ => false,
    };
    Ok(())
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
    scene.not_before = last_flip
        .and_then(|flip| {
            let interval = chrono::TimeDelta::from_std(task.rotation.min_interval).ok()?;
            flip.checked_add_signed(interval)
        })
        .filter(|at| *at > now);
    let guards = &mut scene.observed.guards;
    guards.managed_elsewhere = description.rotation_enabled || description.owning_service.is_some();
    guards.too_soon = scene.not_before.is_some() && !task.force;
    guards.standby_in_use = task.rotation.in_use != InUse::Ignore
        && !task.force
        && scene.sessions.as_ref().is_some_and(|s| !s.is_empty());
    guards.window_closed = task
        .window
        .is_some_and(|w| now >= w.closes || now < w.opens);
}

/// Asks the clock's guard again before an effect.
pub(crate) fn look_at_clock(task: &Task<'_>, scene: &mut Scene, now: DateTime<Utc>) {
    scene.observed.guards.window_closed = task
        .window
        .is_some_and(|w| now >= w.closes || now < w.opens);
}
