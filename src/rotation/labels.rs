//! Where the labels are, and what is behind them: the store's part of an observation.

use chrono::{DateTime, Utc};

use crate::rotation::decide::{Content, Elsewhere, Own, Refusal};
use crate::rotation::error::RotationError;
use crate::rotation::scene::{Scene, Task};
use crate::rotation::standby::pending_password;
use twinkey_core::secret::ExposeSecret;
use twinkey_core::secret::document::Document;
use twinkey_stores::{Description, SecretStore, Selector, StoreError, VersionId, stage};

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
    if !stands(task, scene) {
        return Err(lost_race(task));
    }
    labels(store, task, scene).await?;
    pending_password(scene).await
}

/// Looks whether AWSCURRENT is still where it was: the last thing before the standby is changed, for
/// by now somebody may have moved it there. Says no if it is on this run's version already.
///
/// # Errors
/// `lost_race` when it is on any other; the store's.
pub(crate) async fn look_at_current(
    store: &dyn SecretStore,
    task: &Task<'_>,
    scene: &mut Scene,
) -> Result<bool, RotationError> {
    scene.description = describe(store, task).await?;
    if !stands(task, scene) {
        return Err(lost_race(task));
    }
    let done = scene.description.labelled(stage::CURRENT) == Some(&task.own);
    if done {
        scene.observed.own = Own::Current;
    }
    Ok(!done)
}

/// Whether AWSCURRENT is where it was observed, or where this run wants it.
fn stands(task: &Task<'_>, scene: &Scene) -> bool {
    let current = scene.description.labelled(stage::CURRENT);
    current == Some(&scene.located.version_id) || current == Some(&task.own)
}

fn lost_race(task: &Task<'_>) -> RotationError {
    RotationError::refused(
        Refusal::LostRace,
        format!(
            "AWSCURRENT of {:?} was moved by somebody else during the run",
            task.rotation.secret
        ),
        "nothing is to be done: the next run starts from where the secret stands now".into(),
    )
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
    // Also once its label has gone elsewhere.
    scene.may_exist |= labelled;
    scene.observed.own = if labelled || scene.may_exist {
        match content(store, task, scene, &task.own).await? {
            None if labelled => Own::Pending(Content::Empty),
            None => Own::NotThere,
            Some(mut seen) => {
                // AWSCURRENT is younger than a version that has no label (any more): the secret has moved
                // on since, perhaps from this very version, and must not go back to it.
                let ages = scene.located.created.zip(seen.created);
                let over = !labelled && ages.is_some_and(|(current, own)| current > own);
                if over && seen.content == Content::Fits {
                    seen.content = Content::Outdated;
                }
                let content = seen.content;
                scene.own_document = seen.document.filter(|_| content == Content::Fits);
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
            Some(Seen {
                content, document, ..
            }) => {
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

/// A version, seen from the current document.
struct Seen {
    content: Content,
    document: Option<Document>,
    created: Option<DateTime<Utc>>,
}

/// What a version holds; `None`: there is no value.
async fn content(
    store: &dyn SecretStore,
    task: &Task<'_>,
    scene: &Scene,
    id: &VersionId,
) -> Result<Option<Seen>, RotationError> {
    let secret = &task.rotation.secret;
    let version = match store.get(secret, Selector::Version(id)).await {
        Ok(version) => version,
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(source) => return Err(task.store_error(source)),
    };
    let created = version.created;
    let Ok(document) = Document::parse(version.value) else {
        return Ok(Some(Seen {
            content: Content::Foreign,
            document: None,
            created,
        }));
    };
    let content = if document.fields().username != scene.located.pair.standby_user() {
        Content::Foreign
    } else if document.same_but_for_credentials(&scene.located.document) {
        Content::Fits
    } else {
        Content::Outdated
    };
    Ok(Some(Seen {
        content,
        document: Some(document),
        created,
    }))
}
