//! Back to AWSPREVIOUS, after proving that it still signs in and can do all that AWSCURRENT can. Where
//! `retire_after` has locked its user, it gets the password of AWSPREVIOUS again first.

use serde::{Deserialize, Serialize};

use crate::journal::Seen;
use crate::rotation::decide::Refusal;
use crate::rotation::error::{Role, RotationError};
use crate::rotation::explain::{explain, free_of};
use crate::rotation::locate::{credentials, read};
use crate::rotation::observe::observe;
use crate::rotation::scene::{Scene, Task};
use crate::rotation::site::Site;
use twinkey_core::code::Code;
use twinkey_core::secret::document::Document;
use twinkey_core::secret::pair::Pair;
use twinkey_engines::{
    ChangeKind, EngineError, InspectRequest, Inspection, Questions, SignedIn, fill,
};
use twinkey_stores::{SecretStore, Selector, StoreError, stage};

/// Who was put back in the place of whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Swapped {
    pub from_user: String,
    pub to_user: String,
}

/// What a rollback did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolledBack {
    pub users: Swapped,
    /// What is known of the secret now.
    pub seen: Seen,
}

/// Moves AWSCURRENT back to AWSPREVIOUS. `task.own` is not used: no version is made.
///
/// # Errors
/// Why not; nothing was changed then.
pub async fn rollback(site: &Site, task: &Task<'_>) -> Result<RolledBack, RotationError> {
    let mut scene = observe(site, task).await?;
    let result = go_back(&*site.store, task, &mut scene).await;
    scene.close().await;
    result
}

async fn go_back(
    store: &dyn SecretStore,
    task: &Task<'_>,
    scene: &mut Scene,
) -> Result<RolledBack, RotationError> {
    let secret = &task.rotation.secret;
    let pair = &scene.located.pair.clone();
    // A broken AWSCURRENT is a reason to go back, not one to stay.
    let in_the_way = [
        Refusal::ManagedElsewhere,
        Refusal::MasterRefused,
        Refusal::OtherServer,
        Refusal::Locked,
        Refusal::Unfit,
    ];
    free_of(&in_the_way, task, scene)?;
    let Some(previous_id) = scene.description.labelled(stage::PREVIOUS).cloned() else {
        return Err(refused(
            Code::SecretNotFound,
            format!("secret {secret:?} has no AWSPREVIOUS to go back to"),
            "there was no rotation yet; set the password by hand, or run `twinkey rotate`",
        ));
    };
    let by_id = Selector::Version(&previous_id);
    let (_, previous) = read(store, "AWSPREVIOUS of secret", secret, by_id).await?;
    if previous.fields().username != pair.standby_user()
        || !previous.same_but_for_credentials(&scene.located.document)
    {
        return Err(refused(
            Code::PendingConflict,
            format!(
                "AWSPREVIOUS of {secret:?} is not AWSCURRENT with the user {:?}: the secret was edited since",
                pair.standby_user()
            ),
            "look at both versions (`twinkey secret versions`, aws secretsmanager list-secret-version-ids) and store the right document by hand",
        ));
    }
    let mut proof = prove(task, scene, &previous).await;
    if matches!(proof, Err(EngineError::SignIn { .. })) && task.retired {
        restore(task, scene, &previous).await?;
        proof = prove(task, scene, &previous).await;
    }
    proof.map_err(Role::Previous.error())?;
    let inspection = inspect(scene, &previous).await?;
    if inspection.as_ref().and_then(|i| i.holds_password) == Some(false) {
        return Err(refused(
            Code::PendingSigninFailed,
            format!(
                "AWSPREVIOUS of {secret:?} signs in, but not every account of {:?} has its password",
                pair.standby_user()
            ),
            "a run was cut off while it gave them a new one: `twinkey rotate` finishes it",
        ));
    }
    lacks_nothing(pair, inspection.as_ref())?;
    store
        .move_stage(
            secret,
            stage::CURRENT,
            Some(&scene.located.version_id),
            Some(&previous_id),
        )
        .await
        .map_err(|source| match source {
            StoreError::StageMoved { .. } => explain(Refusal::LostRace, task, scene),
            source => task.store_error(source),
        })?;
    Ok(RolledBack {
        users: Swapped {
            from_user: pair.active_user().to_owned(),
            to_user: pair.standby_user().to_owned(),
        },
        seen: Seen {
            engine: scene.located.kind.to_string(),
            host: Some(scene.located.target.host.clone()),
            active_user: pair.standby_user().to_owned(),
            standby_user: pair.active_user().to_owned(),
        },
    })
}

async fn prove(
    task: &Task<'_>,
    scene: &Scene,
    previous: &Document,
) -> Result<SignedIn, EngineError> {
    let who = credentials(previous);
    let probes = Questions::probes(&task.rotation.probe);
    scene.located.sign_in(&who, probes).await
}

/// Unlocks the user of AWSPREVIOUS, which `retire_after` has locked, with the password that it had.
async fn restore(
    task: &Task<'_>,
    scene: &mut Scene,
    previous: &Document,
) -> Result<(), RotationError> {
    let inspection = inspect(scene, previous).await?;
    lacks_nothing(&scene.located.pair, inspection.as_ref())?;
    if scene.observed.guards.master_lacks {
        return Err(explain(Refusal::MasterLacks, task, scene));
    }
    if let (Some(admin), Some(inspection)) = (&mut scene.admin, inspection) {
        let failed = Role::Previous.error();
        let changes = fill(&inspection.set_password, previous.password()).map_err(&failed)?;
        admin.apply(&changes).await.map_err(failed)?;
    }
    Ok(())
}

async fn inspect(
    scene: &mut Scene,
    previous: &Document,
) -> Result<Option<Inspection>, RotationError> {
    let Some(admin) = &mut scene.admin else {
        return Ok(None);
    };
    let request = InspectRequest {
        pair: &scene.located.pair,
        password: Some(previous.password()),
        thorough: false,
    };
    let inspected = admin.inspect(&request).await;
    Ok(Some(inspected.map_err(Role::Master.error())?))
}

fn lacks_nothing(pair: &Pair, inspection: Option<&Inspection>) -> Result<(), RotationError> {
    let lacks: Vec<String> = inspection
        .iter()
        .flat_map(|i| &i.differences)
        .filter(|c| c.kind != ChangeKind::Revoke)
        .map(|c| c.statement.to_string())
        .collect();
    if lacks.is_empty() {
        return Ok(());
    }
    Err(refused(
        Code::PrivilegesDiffer,
        format!(
            "{:?} lacks what {:?} has: {}",
            pair.standby_user(),
            pair.active_user(),
            lacks.join("; ")
        ),
        "carry out the statements listed, then roll back; or `twinkey rotate`, which makes the pair equal",
    ))
}

fn refused(code: Code, message: String, hint: &str) -> RotationError {
    RotationError::Refused {
        code,
        message,
        hint: hint.into(),
        passes: false,
    }
}
