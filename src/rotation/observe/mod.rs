//! Read-only observation of the store and the database.
//!
//! An observation reads the secret, signs in as the active user and as the master, and takes the
//! pair's lock. Only then does it read the labels and compare the pair, so that it sees everything
//! an earlier run did under the lock. Independent requests run concurrently.

mod admin;
pub(crate) mod endpoints;
mod facts;
pub(crate) mod guards;
mod labels;
pub(crate) mod master;
pub mod observation;
pub(crate) mod one_user;
pub(crate) mod ownership;
mod pair_state;
pub(crate) mod proof;
pub(crate) mod refresh;
pub(crate) mod resolve;
pub(crate) mod trust;

use crate::rotation::context::RunContext;
use crate::rotation::decide::Hooks;
use crate::rotation::error::{CredentialRole, RotationError};
use crate::rotation::observe::admin::{LockedAdmin, OpenedAdmin, open_admin};
use crate::rotation::observe::endpoints::readers::{
    add_own_replica, own_host, set_readers, survey,
};
use crate::rotation::observe::endpoints::{pooler_secrets, readers, statuses};
use crate::rotation::observe::facts::{
    describe, set_current, set_labels, set_pair_state, set_pending_password,
};
use crate::rotation::observe::guards::{on_other_server, set_guards};
use crate::rotation::observe::master::{MasterLogin, resolve_with_master};
use crate::rotation::observe::observation::{Observation, RunRequest};
use crate::rotation::observe::ownership::{set_ownership, set_user_ownership};
use crate::rotation::observe::pair_state::{PairState, compare_pair};
use crate::rotation::observe::proof::{is_one_address, prove};
use crate::rotation::observe::resolve::{ResolvedSecret, check_next_document};
use twinkey_core::code::Code;
use twinkey_core::secret::document::Document;
use twinkey_engines::{EngineError, InspectRequest, SignInChecks, SignedIn};
use twinkey_stores::{Description, stage};

/// Attempts at a consistent observation while AWSCURRENT moves.
pub(crate) const MAX_OBSERVATIONS: usize = 3;

/// Observes all facts on which the first decision of a run depends.
///
/// # Errors
/// What prevents an observation. A reason to refuse the run is a fact, not an error.
pub(crate) async fn observe(
    context: &RunContext,
    request: &RunRequest<'_>,
) -> Result<Observation, RotationError> {
    for _ in 0..MAX_OBSERVATIONS {
        let (resolved, master) = resolve_with_master(context, request.rotation).await?;
        check_next_document(request.rotation, &resolved)?;
        let Some(permit) = context.hosts.permit(&resolved.server()).await else {
            return Err(CredentialRole::Current.error()(host_down(&resolved)));
        };
        let readers =
            readers::named(context, request.rotation, &resolved, Some(&master.target)).await?;
        let active = resolved.current();
        let target = master.target.clone();
        let elsewhere = !is_one_address(&resolved, &target);
        let checks = SignInChecks {
            identity: elsewhere,
            replication: elsewhere.then_some(resolved.pair.standby_user()),
            ..SignInChecks::default()
        };
        let (current, answers, pooler_secrets, inspected) = tokio::join!(
            prove(&resolved, &target, &active, checks),
            survey(request.rotation, &readers, &resolved),
            pooler_secrets::read(context, request.rotation, &resolved),
            inspect(context, request, &resolved, master),
        );
        permit.record(&current);
        if let Ok(answers) = &answers {
            let states = statuses(&resolved, &current, answers);
            context.endpoints.record(&request.rotation.name, states);
        }
        let Inspected {
            master,
            admin,
            description,
        } = inspected?;
        let mut observation = Observation::new(request, resolved, master, description, permit);
        let gathered = match answers.and_then(|answers| Ok((answers, pooler_secrets?))) {
            Ok((answers, secrets)) => {
                observation.readers = readers;
                observation.current_answers = answers;
                observation.pooler_secrets = secrets;
                observation.own_host = own_host(
                    request.rotation,
                    &observation.resolved,
                    current.as_ref().ok(),
                );
                observation.observed.hooks = hooks(context, request);
                gather(context, request, &mut observation, current, admin).await
            }
            Err(error) => {
                observation.admin = admin.ok().map(|(opened, _)| opened.session);
                Err(error)
            }
        };
        match gathered {
            Ok(true) => {
                set_guards(request, &mut observation, context.clock.now());
                return Ok(observation);
            }
            Ok(false) => observation.close().await,
            Err(error) => {
                observation.close().await;
                return Err(error);
            }
        }
    }
    Err(current_keeps_moving(&request.rotation.secret))
}

/// The error after [`MAX_OBSERVATIONS`] attempts.
pub(crate) fn current_keeps_moving(secret: &str) -> RotationError {
    RotationError::Refused {
        code: Code::LostRace,
        message: format!("AWSCURRENT of {secret:?} moved during each of {MAX_OBSERVATIONS} reads"),
        hint: "switch off the other program that rotates this secret, or remove the rotation from the config".into(),
        passes: true,
    }
}

/// The error for a host that another run probes.
pub(crate) fn host_down(resolved: &ResolvedSecret) -> EngineError {
    EngineError::Unreachable {
        host: resolved.target.host.clone(),
        port: resolved.port(),
        reason: "the last connection attempt failed, and another run is probing the host".into(),
    }
}

/// What the admin connection reported, and the labels that were read under the lock.
struct Inspected {
    master: MasterLogin,
    admin: Result<(LockedAdmin, Result<Option<PairState>, RotationError>), EngineError>,
    description: Description,
}

/// Takes the lock; then reads the labels and compares the pair at the same time.
async fn inspect(
    context: &RunContext,
    request: &RunRequest<'_>,
    resolved: &ResolvedSecret,
    master: MasterLogin,
) -> Result<Inspected, RotationError> {
    let store = &*context.store;
    let OpenedAdmin { master, session } = open_admin(context, request, resolved, master).await?;
    let mut opened = match session {
        Ok(opened) => opened,
        Err(refused) => {
            return Ok(Inspected {
                master,
                admin: Err(refused),
                description: describe(store, request).await?,
            });
        }
    };
    let inspect = InspectRequest {
        pair: &resolved.pair,
        password: None,
        current: Some(resolved.document.password()),
        tls: resolved.target.tls.mode,
        thorough: !request.lock,
    };
    let (description, compared) = tokio::join!(describe(store, request), async {
        // The one user is read when AWSPENDING is known.
        if resolved.has_one_user() {
            return Ok(None);
        }
        let admin = &mut *opened.session.admin;
        let compared = compare_pair(admin, &inspect, false, request.end_sessions).await;
        compared.map(Some)
    });
    match description {
        Ok(description) => Ok(Inspected {
            master,
            admin: Ok((opened, compared)),
            description,
        }),
        Err(error) => {
            opened.session.admin.close().await;
            Err(error)
        }
    }
}

/// Adds the results of both connections and the labels. `false` if AWSCURRENT moved meanwhile.
async fn gather(
    context: &RunContext,
    request: &RunRequest<'_>,
    observation: &mut Observation,
    current: Result<SignedIn, EngineError>,
    admin: Result<(LockedAdmin, Result<Option<PairState>, RotationError>), EngineError>,
) -> Result<bool, RotationError> {
    let compared = match admin {
        Ok((opened, compared)) => {
            observation.observed.guards.locked = opened.lock.refused;
            observation.lock_holders = opened.lock.holders;
            observation.admin = Some(opened.session);
            Some(compared)
        }
        Err(error) => {
            observation.observed.guards.master_refused = true;
            observation.master_error = Some(error);
            None
        }
    };
    add_own_replica(observation, current.as_ref().ok());
    let identity = set_current(observation, current)?;
    observation.observed.guards.other_server = on_other_server(observation, identity.as_deref());
    let current = observation.description.labelled(stage::CURRENT);
    if current != Some(&observation.resolved.version_id) {
        return Ok(false);
    }
    set_labels(&*context.store, request, observation).await?;
    if observation.resolved.has_one_user() {
        one_user::look(request, observation).await?;
        set_readers(context, request, observation).await?;
        set_user_ownership(context, request, observation).await;
        return Ok(true);
    }
    match compared {
        // The first comparison did not include the pending password, which is known now.
        Some(_) if observation.own_document.is_some() => {
            compare_again(request, observation).await?;
        }
        Some(compared) => {
            if let Some(compared) = compared? {
                set_pair_state(request, observation, compared);
            }
        }
        None => {}
    }
    set_pending_password(observation).await?;
    pooler_secrets::compare(observation);
    set_readers(context, request, observation).await?;
    set_ownership(context, request, observation).await?;
    Ok(true)
}

/// The hooks before the flip, none of which has run in this attempt.
fn hooks(context: &RunContext, request: &RunRequest<'_>) -> Hooks {
    if context
        .flip_hooks
        .of_rotation(&request.rotation.name)
        .is_empty()
    {
        Hooks::Absent
    } else {
        Hooks::Due
    }
}

/// Compares the pair again, with the pending password.
async fn compare_again(
    request: &RunRequest<'_>,
    observation: &mut Observation,
) -> Result<(), RotationError> {
    let Some(session) = &mut observation.admin else {
        return Ok(());
    };
    let inspect = InspectRequest {
        pair: &observation.resolved.pair,
        password: observation.own_document.as_ref().map(Document::password),
        current: Some(observation.resolved.document.password()),
        tls: observation.resolved.target.tls.mode,
        thorough: !request.lock,
    };
    let converged = observation.observed.converged;
    let end = request.end_sessions;
    let compared = compare_pair(&mut *session.admin, &inspect, converged, end).await?;
    set_pair_state(request, observation, compared);
    Ok(())
}
