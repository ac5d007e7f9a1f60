//! One action, one effect. What it did is put into the scene, so that the next decision sees it;
//! a store that says that somebody else was there first sends the run back to looking.

use crate::rotation::decide::{Action, Content, Elsewhere, Own};
use crate::rotation::error::{Role, RotationError};
use crate::rotation::labels::{look_at_current, look_at_labels};
use crate::rotation::locate::credentials;
use crate::rotation::scene::{Scene, Task};
use crate::rotation::standby::{compare, request, take_note};
use twinkey_core::secret::Sensitive;
use twinkey_core::secret::document::Document;
use twinkey_engines::{EngineError, Questions, fill};
use twinkey_stores::{SecretStore, StoreError, stage};

/// Carries out an action that has an effect (or, for `Prove`, looks closely), and says in a few words
/// what was done.
///
/// # Errors
/// What the store or the database answered; nothing is lost by it, the next attempt goes on from there.
pub(crate) async fn act(
    store: &dyn SecretStore,
    task: &Task<'_>,
    scene: &mut Scene,
    action: Action,
) -> Result<String, RotationError> {
    match action {
        Action::PutPending { carry } => put_pending(store, task, scene, carry).await,
        Action::LabelPending => label_pending(store, task, scene).await,
        Action::DropPending => drop_pending(store, task, scene).await,
        Action::Converge => converge(store, task, scene).await,
        Action::Prove => prove(task, scene).await,
        Action::Promote => promote(store, task, scene).await,
        Action::Refuse(_) | Action::Done => Ok(String::new()),
    }
}

fn internal(what: &str) -> RotationError {
    RotationError::Internal(what.to_owned())
}

async fn put_pending(
    store: &dyn SecretStore,
    task: &Task<'_>,
    scene: &mut Scene,
    carry: bool,
) -> Result<String, RotationError> {
    let (password, how): (Sensitive, &str) = match (carry, &scene.carried) {
        (true, Some(document)) => (
            document.password().clone(),
            "the pending password of an earlier run, carried on",
        ),
        (false, _) => (
            task.rotation
                .password
                .generate()
                .map_err(|_| internal("the operating system gave no randomness"))?,
            "a new password",
        ),
        (true, None) => return Err(internal("a password to carry on is not there")),
    };
    let standby = scene.located.pair.standby_user();
    let document: Document = scene
        .located
        .document
        .with_credentials(standby, &password)
        .map_err(|source| RotationError::Document {
            what: "secret",
            secret: task.rotation.secret.clone(),
            source,
        })?;
    let secret = &task.rotation.secret;
    // Also where the answer is lost or says no.
    scene.may_exist = true;
    match store
        .put(secret, &task.own, document.text(), stage::PENDING)
        .await
    {
        Ok(()) => {
            let done = format!("{how} for {standby:?} is AWSPENDING");
            scene.own_document = Some(document);
            scene.observed.own = Own::Pending(Content::Fits);
            scene.observed.elsewhere = Elsewhere::Nothing;
            scene.observed.standby.has_password = false;
            // What was made equal and proved before was another document.
            scene.observed.converged = false;
            scene.observed.proof = None;
            scene.proof = None;
            Ok(done)
        }
        Err(StoreError::VersionExists { .. }) => {
            look_at_labels(store, task, scene).await?;
            Ok("another attempt of this run has written AWSPENDING already".into())
        }
        Err(error) => Err(task.store_error(error)),
    }
}

async fn label_pending(
    store: &dyn SecretStore,
    task: &Task<'_>,
    scene: &mut Scene,
) -> Result<String, RotationError> {
    let from = scene.description.labelled(stage::PENDING).cloned();
    let secret = &task.rotation.secret;
    match store
        .move_stage(secret, stage::PENDING, from.as_ref(), Some(&task.own))
        .await
    {
        Ok(()) => {
            scene.observed.own = Own::Pending(Content::Fits);
            scene.observed.elsewhere = Elsewhere::Nothing;
            Ok("AWSPENDING is back on the version that this run had written".into())
        }
        Err(StoreError::StageMoved { .. }) => {
            look_at_labels(store, task, scene).await?;
            Ok("AWSPENDING was moved by somebody else".into())
        }
        Err(error) => Err(task.store_error(error)),
    }
}

async fn drop_pending(
    store: &dyn SecretStore,
    task: &Task<'_>,
    scene: &mut Scene,
) -> Result<String, RotationError> {
    let secret = &task.rotation.secret;
    match store
        .move_stage(secret, stage::PENDING, Some(&task.own), None)
        .await
    {
        Ok(()) => {
            scene.observed.own = Own::Unlabelled(Content::Foreign);
            Ok("AWSPENDING is taken off: the secret was changed since it was written".into())
        }
        Err(StoreError::StageMoved { .. }) => {
            look_at_labels(store, task, scene).await?;
            Ok("AWSPENDING was moved by somebody else".into())
        }
        Err(error) => Err(task.store_error(error)),
    }
}

async fn converge(
    store: &dyn SecretStore,
    task: &Task<'_>,
    scene: &mut Scene,
) -> Result<String, RotationError> {
    let changes = scene.changes();
    let Some(password) = scene.own_document.as_ref().map(Document::password).cloned() else {
        return Err(internal("there is nothing to converge to"));
    };
    let failed = Role::Master.error();
    let (stands, filled) = tokio::join!(look_at_current(store, task, scene), async {
        fill(&changes, &password)
    });
    if !stands? {
        return Ok("another worker had moved AWSCURRENT to this run's version".into());
    }
    let filled = filled.map_err(&failed)?;
    let (Some(admin), Some(document)) = (&mut scene.admin, &scene.own_document) else {
        return Err(internal("nobody is there to converge"));
    };
    admin.apply(&filled).await.map_err(failed)?;
    scene.observed.converged = true;
    // The proof is no part of the comparison, nor does it wait for it: `test` takes it up.
    let who = credentials(document);
    let request = request(task, &scene.located.pair, Some(&password));
    let probes = Questions::probes(&task.rotation.probe);
    let (compared, proof) = tokio::join!(
        compare(&mut **admin, &request, true),
        scene.located.sign_in(&who, probes),
    );
    scene.proof = Some(proof);
    take_note(task, scene, compared?);
    let held = scene.inspection.as_ref().and_then(|i| i.holds_password);
    scene.observed.standby.has_password = held != Some(false);
    let what = if changes.len() == 1 {
        "1 change"
    } else {
        &format!("{} changes", changes.len())
    };
    Ok(format!("{what} of {:?}", scene.located.pair.standby_user()))
}

async fn prove(task: &Task<'_>, scene: &mut Scene) -> Result<String, RotationError> {
    let Some(document) = &scene.own_document else {
        return Err(internal("there is nothing to prove"));
    };
    let located = &scene.located;
    let who = credentials(document);
    let proof = match scene.proof.take() {
        Some(proof) => proof,
        None => {
            let probes = Questions::probes(&task.rotation.probe);
            located.sign_in(&who, probes).await
        }
    };
    match proof {
        Ok(_) => {
            scene.observed.proof = Some(true);
            Ok(format!(
                "{:?} signs in and differs in nothing from {:?}",
                who.username,
                located.pair.active_user()
            ))
        }
        Err(refused @ EngineError::SignIn { .. }) => {
            scene.observed.proof = Some(false);
            let said = refused.to_string();
            scene.pending_error = Some(refused);
            Ok(said)
        }
        Err(error) => Err(Role::Pending.error()(error)),
    }
}

async fn promote(
    store: &dyn SecretStore,
    task: &Task<'_>,
    scene: &mut Scene,
) -> Result<String, RotationError> {
    let from = &scene.located.version_id;
    let secret = &task.rotation.secret;
    match store
        .move_stage(secret, stage::CURRENT, Some(from), Some(&task.own))
        .await
    {
        Ok(()) => {
            scene.observed.own = Own::Current;
            Ok(format!(
                "AWSCURRENT moved from {:?} to {:?}",
                scene.located.pair.active_user(),
                scene.located.pair.standby_user()
            ))
        }
        Err(StoreError::StageMoved { .. }) => {
            look_at_labels(store, task, scene).await?;
            Ok("another worker had moved AWSCURRENT to this run's version".into())
        }
        Err(error) => Err(task.store_error(error)),
    }
}
