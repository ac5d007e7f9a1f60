//! Reads that update an observation between two actions.

use crate::rotation::decide::{Own, Refusal};
use crate::rotation::error::RotationError;
use crate::rotation::observe::endpoints::pooler_secrets;
use crate::rotation::observe::facts::{describe, set_labels, set_pair_state, set_pending_password};
use crate::rotation::observe::observation::{Observation, RunRequest};
use crate::rotation::observe::one_user;
use crate::rotation::observe::pair_state::compare_pair;
use crate::rotation::observe::proof::prove_at_database;
use crate::rotation::observe::resolve::credentials;
use twinkey_engines::{InspectRequest, SignInChecks};
use twinkey_stores::{SecretStore, stage};

/// Reads the labels again after a conflict or a lost answer, and what they point to.
///
/// # Errors
/// `lost_race` if AWSCURRENT left the observed version; errors of the store and the engine.
pub(crate) async fn refresh_labels(
    store: &dyn SecretStore,
    request: &RunRequest<'_>,
    observation: &mut Observation,
) -> Result<(), RotationError> {
    observation.description = describe(store, request).await?;
    check_current(request, observation)?;
    set_labels(store, request, observation).await?;
    if observation.resolved.has_one_user() {
        return one_user::look(request, observation).await;
    }
    pooler_secrets::compare(observation);
    set_pending_password(observation).await
}

/// Reads where AWSCURRENT is immediately before the standby changes, because it may have moved onto
/// the standby. `false` if AWSCURRENT is on the version of this run.
///
/// # Errors
/// `lost_race` if AWSCURRENT is on any other version; errors of the store.
pub(crate) async fn confirm_current(
    store: &dyn SecretStore,
    request: &RunRequest<'_>,
    observation: &mut Observation,
) -> Result<bool, RotationError> {
    observation.description = describe(store, request).await?;
    check_current(request, observation)?;
    let done = observation.description.labelled(stage::CURRENT) == Some(&request.own);
    if done {
        observation.observed.own = Own::Current;
    }
    let pending = observation.description.labelled(stage::PENDING);
    if !done && observation.resolved.has_one_user() && pending != Some(&request.own) {
        return Err(RotationError::refused(
            Refusal::LostRace,
            format!(
                "AWSPENDING of {:?} was moved by another program during the run",
                request.rotation.secret
            ),
            "wait for the next run: it continues from the present state of the secret".into(),
        ));
    }
    Ok(!done)
}

/// Compares the pair after a change, and signs in with the pending password at the same time.
///
/// # Errors
/// Errors of the engine. The result of the sign-in is part of the observation.
pub(crate) async fn verify_standby(
    request: &RunRequest<'_>,
    observation: &mut Observation,
) -> Result<(), RotationError> {
    if observation.resolved.has_one_user() {
        one_user::verify_change(request, observation).await;
        return Ok(());
    }
    let (Some(session), Some(document)) = (&mut observation.admin, &observation.own_document)
    else {
        return Ok(());
    };
    let standby = credentials(document);
    let inspect = InspectRequest {
        pair: &observation.resolved.pair,
        password: Some(document.password()),
        current: Some(observation.resolved.document.password()),
        tls: observation.resolved.target.tls.mode,
        thorough: !request.lock,
    };
    let role = observation
        .inspection
        .as_ref()
        .and_then(|i| i.session_role.clone());
    let checks = SignInChecks {
        role: role.as_deref(),
        ..SignInChecks::probes(&request.rotation.probe)
    };
    let (compared, proof) = tokio::join!(
        compare_pair(&mut *session.admin, &inspect, true, false),
        prove_at_database(
            &observation.resolved,
            &observation.master.target,
            &standby,
            checks
        ),
    );
    observation.proof = Some(proof);
    set_pair_state(request, observation, compared?);
    let holds = observation
        .inspection
        .as_ref()
        .and_then(|i| i.holds_password);
    observation.observed.standby.has_password = holds != Some(false);
    Ok(())
}

/// Refuses if AWSCURRENT is neither on the observed version nor on the version of this run.
fn check_current(request: &RunRequest<'_>, observation: &Observation) -> Result<(), RotationError> {
    let current = observation.description.labelled(stage::CURRENT);
    if current == Some(&observation.resolved.version_id) || current == Some(&request.own) {
        return Ok(());
    }
    Err(RotationError::refused(
        Refusal::LostRace,
        format!(
            "AWSCURRENT of {:?} was moved by another program during the run",
            request.rotation.secret
        ),
        "wait for the next run: it continues from the present state of the secret".into(),
    ))
}
