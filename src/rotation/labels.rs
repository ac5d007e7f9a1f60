//! Where the labels are, and what is behind them: the store's part of an observation.

use crate::rotation::decide::{Content, Elsewhere, Own, Refusal};
use crate::rotation::error::RotationError;
use crate::rotation::scene::{Scene, Task};
use crate::rotation::standby::pending_password;
use crate::secret::ExposeSecret;
use crate::secret::document::Document;
use crate::store::{Description, SecretStore, Selector, StoreError, VersionId, stage};

/// DescribeSecret.
pub(crate) async fn describe(
    store: &dyn SecretStore,
    task: &Task<'_>,
) -> Result<Description, RotationError> {
    store
        .describe(&task.rotation.secret)
        .await
        .map_err(|source| task.store_error(source))
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
            Refusal::LostRace,
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
pub(crate) async fn labels(
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
    scene.observed.own = if labelled || scene.may_exist {
        match content(store, task, scene, &task.own).await? {
            None if labelled => Own::Pending(Content::Empty),
            None => Own::NotThere,
            Some((content, document)) => {
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
            None => Elsewhere::Pending {
                content: Content::Empty,
                same_password: false,
            },
            Some((content, document)) => {
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

/// What a version holds, seen from the current document; `None`: there is no value.
async fn content(
    store: &dyn SecretStore,
    task: &Task<'_>,
    scene: &Scene,
    id: &VersionId,
) -> Result<Option<(Content, Option<Document>)>, RotationError> {
    let secret = &task.rotation.secret;
    let version = match store.get(secret, Selector::Version(id)).await {
        Ok(version) => version,
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(source) => return Err(task.store_error(source)),
    };
    let Ok(document) = Document::parse(version.value) else {
        return Ok(Some((Content::Foreign, None)));
    };
    let content = if document.fields().username != scene.located.pair.standby_user() {
        Content::Foreign
    } else if document.same_but_for_credentials(&scene.located.document) {
        Content::Fits
    } else {
        Content::Outdated
    };
    Ok(Some((content, Some(document))))
}
