//! Comparison of the standby with the active user in the database.

use crate::rotation::error::{CredentialRole, RotationError};
use crate::rotation::observe::proof::prove_at_database;
use crate::rotation::observe::resolve::{ResolvedSecret, credentials};
use twinkey_core::code::Code;
use twinkey_core::secret::document::Document;
use twinkey_engines::{
    Admin, EngineError, InspectRequest, Inspection, Session, SignInChecks, Target,
};

/// Comparison of a pair, with the sessions of the standby.
pub(super) struct PairState {
    pub inspection: Inspection,
    /// `None` if the sessions were not read; `Some(None)` if the server does not report them.
    pub sessions: Option<Option<Vec<Session>>>,
}

/// Compares a pair and reads the sessions of the standby.
///
/// `converged` skips the sessions: this attempt changed the standby, so they were read before.
/// `end_sessions` adds what prevents the end of the sessions to the inspection.
///
/// # Errors
/// Errors of the engine.
pub(super) async fn compare_pair(
    admin: &mut dyn Admin,
    inspect: &InspectRequest<'_>,
    converged: bool,
    end_sessions: bool,
) -> Result<PairState, RotationError> {
    let failed = CredentialRole::Master.error();
    let mut inspection = admin.inspect(inspect).await.map_err(&failed)?;
    if end_sessions && inspection.standby_exists {
        let standby = inspect.pair.standby_user();
        let reasons = admin.cannot_end_sessions(standby).await.map_err(&failed)?;
        let (missing, others): (Vec<_>, Vec<_>) = reasons
            .into_iter()
            .partition(|reason| reason.code == Some(Code::PrivilegesMissing));
        inspection.missing.extend(missing);
        inspection.findings.extend(others);
    }
    let sessions = if !inspection.standby_exists {
        Some(Some(Vec::new()))
    } else if converged {
        None
    } else {
        let standby = inspect.pair.standby_user();
        Some(admin.sessions(standby).await.map_err(failed)?)
    };
    Ok(PairState {
        inspection,
        sessions,
    })
}

/// Whether the standby signs in with the pending password and has it in all of its accounts.
///
/// # Errors
/// Errors of the engine, except a refused sign-in.
pub(super) async fn has_pending_password(
    resolved: &ResolvedSecret,
    master: &Target,
    document: Option<&Document>,
    inspection: Option<&Inspection>,
) -> Result<bool, RotationError> {
    let may_hold = inspection.is_some_and(|i| i.standby_exists && i.holds_password != Some(false));
    let Some(document) = document.filter(|_| may_hold) else {
        return Ok(false);
    };
    let standby = credentials(document);
    match prove_at_database(resolved, master, &standby, SignInChecks::default()).await {
        Ok(_) => Ok(true),
        Err(EngineError::SignIn { .. }) => Ok(false),
        Err(error) => Err(CredentialRole::Pending.error()(error)),
    }
}
