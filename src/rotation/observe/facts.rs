//! Functions that record what was read as facts of an observation.

use crate::config::settings::{GrantsMode, StandbyMode};
use crate::rotation::error::{CredentialRole, RotationError};
use crate::rotation::observe::labels::read_labels;
use crate::rotation::observe::observation::{Observation, RunRequest};
use crate::rotation::observe::pair_state::{PairState, has_pending_password};
use twinkey_engines::{EngineError, Severity, SignedIn};
use twinkey_stores::{Description, SecretStore};

/// DescribeSecret.
pub(super) async fn describe(
    store: &dyn SecretStore,
    request: &RunRequest<'_>,
) -> Result<Description, RotationError> {
    store
        .describe(&request.rotation.secret)
        .await
        .map_err(|source| request.store_error(source))
}

/// Records whether the active user signed in, and how its password is stored. Returns the identity of the server it reached.
pub(super) fn set_current(
    observation: &mut Observation,
    result: Result<SignedIn, EngineError>,
) -> Result<Option<String>, RotationError> {
    match result {
        Ok(signed_in) => {
            observation.stored_form = signed_in.stored_form;
            Ok(signed_in.server_identity)
        }
        Err(refused @ EngineError::SignIn { .. }) => {
            observation.observed.guards.current_refused = true;
            observation.current_error = Some(refused);
            Ok(None)
        }
        Err(error) => Err(CredentialRole::Current.error()(error)),
    }
}

pub(super) async fn set_labels(
    store: &dyn SecretStore,
    request: &RunRequest<'_>,
    observation: &mut Observation,
) -> Result<(), RotationError> {
    let state = read_labels(
        store,
        request,
        &observation.resolved,
        &observation.description,
        &mut observation.may_exist,
    )
    .await?;
    observation.observed.own = state.own;
    observation.observed.elsewhere = state.elsewhere;
    observation.own_document = state.own_document;
    observation.carried = state.carried;
    observation.carried_is_older = state.carried_is_older;
    Ok(())
}

pub(super) fn set_pair_state(
    request: &RunRequest<'_>,
    observation: &mut Observation,
    state: PairState,
) {
    let mut inspection = state.inspection;
    inspection.use_form_of(observation.stored_form);
    if let Some(sessions) = state.sessions {
        observation.sessions = sessions;
    }
    observation.observed.standby.equal =
        inspection.readable && inspection.standby_exists && inspection.differences.is_empty();
    let existing = request.rotation.standby == StandbyMode::Existing;
    let password_only = existing || request.rotation.grants == GrantsMode::Verify;
    let guards = &mut observation.observed.guards;
    guards.unfit = inspection
        .findings
        .iter()
        .any(|f| f.severity == Severity::Error);
    guards.standby_missing = !inspection.standby_exists && existing;
    guards.master_lacks = !inspection.missing.is_empty();
    guards.differs =
        password_only && inspection.standby_exists && !inspection.differences.is_empty();
    observation.inspection = Some(inspection);
}

pub(super) async fn set_pending_password(
    observation: &mut Observation,
) -> Result<(), RotationError> {
    observation.observed.standby.has_password = has_pending_password(
        &observation.resolved,
        &observation.master.target,
        observation.own_document.as_ref(),
        observation.inspection.as_ref(),
    )
    .await?;
    Ok(())
}
