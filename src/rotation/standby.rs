//! How the standby stands: the database's part of an observation.

use crate::config::settings::{GrantsMode, StandbyMode};
use crate::engine::{EngineError, InspectRequest, Severity};
use crate::rotation::error::{Role, RotationError};
use crate::rotation::locate::credentials;
use crate::rotation::scene::{Scene, Task};
use crate::secret::document::Document;

/// How the standby differs, and who lives on it.
///
/// # Errors
/// The engine's.
pub(crate) async fn database(task: &Task<'_>, scene: &mut Scene) -> Result<(), RotationError> {
    let Some(admin) = &mut scene.admin else {
        return Ok(());
    };
    let pair = &scene.located.pair;
    let request = InspectRequest {
        pair,
        password: scene.own_document.as_ref().map(Document::password),
        // A preview has the time that a run has not.
        thorough: !task.lock,
    };
    let inspection = admin
        .inspect(&request)
        .await
        .map_err(Role::Master.error())?;
    if inspection.standby_exists && !scene.observed.converged {
        let standby = pair.standby_user();
        scene.sessions = admin
            .sessions(standby)
            .await
            .map_err(Role::Master.error())?;
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
            match scene.located.sign_in(&who, &[]).await {
                Ok(_) => true,
                Err(EngineError::SignIn { .. }) => false,
                Err(error) => return Err(Role::Pending.error()(error)),
            }
        }
        _ => false,
    };
    Ok(())
}
