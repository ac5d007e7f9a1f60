//! How the standby stands: the database's part of an observation.

use crate::config::settings::{GrantsMode, StandbyMode};
use crate::rotation::error::{Role, RotationError};
use crate::rotation::locate::credentials;
use crate::rotation::scene::{Scene, Task};
use twinkey_core::secret::Sensitive;
use twinkey_core::secret::document::Document;
use twinkey_core::secret::pair::Pair;
use twinkey_engines::{
    Admin, EngineError, InspectRequest, Inspection, Questions, Session, Severity,
};

/// How the pair compares, and who lives on the standby.
pub(crate) struct Compared {
    inspection: Inspection,
    /// `None`: nobody looked.
    sessions: Option<Option<Vec<Session>>>,
}

/// Compares the pair, and looks who lives on the standby; where it was made equal in this attempt, nobody does.
///
/// # Errors
/// The engine's.
pub(crate) async fn compare(
    admin: &mut dyn Admin,
    request: &InspectRequest<'_>,
    converged: bool,
) -> Result<Compared, RotationError> {
    let failed = Role::Master.error();
    let inspection = admin.inspect(request).await.map_err(&failed)?;
    let sessions = if !inspection.standby_exists {
        Some(Some(Vec::new()))
    } else if converged {
        None
    } else {
        let standby = request.pair.standby_user();
        Some(admin.sessions(standby).await.map_err(failed)?)
    };
    Ok(Compared {
        inspection,
        sessions,
    })
}

/// What is asked of a comparison. A preview has the time that a run has not.
pub(crate) const fn request<'a>(
    task: &Task<'_>,
    pair: &'a Pair,
    password: Option<&'a Sensitive>,
) -> InspectRequest<'a> {
    InspectRequest {
        pair,
        password,
        thorough: !task.lock,
    }
}

/// How the standby differs, and who lives on it.
///
/// # Errors
/// The engine's.
pub(crate) async fn database(task: &Task<'_>, scene: &mut Scene) -> Result<(), RotationError> {
    let Some(admin) = &mut scene.admin else {
        return Ok(());
    };
    let password = scene.own_document.as_ref().map(Document::password);
    let request = request(task, &scene.located.pair, password);
    let compared = compare(&mut **admin, &request, scene.observed.converged).await?;
    take_note(task, scene, compared);
    Ok(())
}

/// Puts a comparison into the scene.
pub(crate) fn take_note(task: &Task<'_>, scene: &mut Scene, compared: Compared) {
    let inspection = compared.inspection;
    if let Some(sessions) = compared.sessions {
        scene.sessions = sessions;
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
}

/// Whether the standby signs in with the password of this run's document, if there is one already,
/// and holds it in all of its accounts.
pub(crate) async fn pending_password(scene: &mut Scene) -> Result<(), RotationError> {
    let may_hold = scene
        .inspection
        .as_ref()
        .is_some_and(|i| i.standby_exists && i.holds_password != Some(false));
    scene.observed.standby.has_password = match &scene.own_document {
        Some(document) if may_hold => {
            let who = credentials(document);
            match scene.located.sign_in(&who, Questions::default()).await {
                Ok(_) => true,
                Err(EngineError::SignIn { .. }) => false,
                Err(error) => return Err(Role::Pending.error()(error)),
            }
        }
        _ => false,
    };
    Ok(())
}
