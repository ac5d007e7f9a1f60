//! Positions of the staging labels, and the documents of the versions that carry them.

use chrono::{DateTime, Utc};

use crate::rotation::decide::{Content, Elsewhere, Own};
use crate::rotation::error::RotationError;
use crate::rotation::observe::observation::RunRequest;
use crate::rotation::observe::resolve::ResolvedSecret;
use twinkey_core::secret::ExposeSecret;
use twinkey_core::secret::document::Document;
use twinkey_stores::{Description, SecretStore, Selector, StoreError, VersionId, stage};

/// The version of this run and AWSPENDING, with their documents.
pub(super) struct LabelState {
    pub own: Own,
    pub elsewhere: Elsewhere,
    pub own_document: Option<Document>,
    pub carried: Option<Document>,
}

impl LabelState {
    const fn finished(own: Own) -> Self {
        Self {
            own,
            elsewhere: Elsewhere::Nothing,
            own_document: None,
            carried: None,
        }
    }
}

/// Reads the versions to which the labels in `description` point.
///
/// `may_exist` says whether to look for a version of this run that has no label. It is set when the
/// label is found, because the label can move later.
///
/// # Errors
/// Errors of the store.
pub(super) async fn read_labels(
    store: &dyn SecretStore,
    request: &RunRequest<'_>,
    resolved: &ResolvedSecret,
    description: &Description,
    may_exist: &mut bool,
) -> Result<LabelState, RotationError> {
    let on = |label| description.labelled(label);
    let own_has = |label| on(label) == Some(&request.own);
    if own_has(stage::CURRENT) {
        return Ok(LabelState::finished(Own::Current));
    }
    if own_has(stage::PREVIOUS) {
        return Ok(LabelState::finished(Own::Previous));
    }
    let pending = on(stage::PENDING)
        .filter(|id| Some(*id) != on(stage::CURRENT) && Some(*id) != on(stage::PREVIOUS));
    let labelled = pending == Some(&request.own);
    *may_exist |= labelled;
    let (own, own_document) = if *may_exist {
        read_own(store, request, resolved, labelled).await?
    } else {
        (Own::NotThere, None)
    };
    let (elsewhere, carried) = match pending.filter(|id| **id != request.own) {
        None => (Elsewhere::Nothing, None),
        Some(id) => read_other(store, request, resolved, id, own_document.as_ref()).await?,
    };
    Ok(LabelState {
        own,
        elsewhere,
        own_document,
        carried,
    })
}

/// Reads the version of this run.
async fn read_own(
    store: &dyn SecretStore,
    request: &RunRequest<'_>,
    resolved: &ResolvedSecret,
    labelled: bool,
) -> Result<(Own, Option<Document>), RotationError> {
    let Some(mut version) = read_version(store, request, resolved, &request.own).await? else {
        let own = if labelled {
            Own::Pending(Content::Empty)
        } else {
            Own::NotThere
        };
        return Ok((own, None));
    };
    // An AWSCURRENT that is younger than an unlabelled version shows that the secret changed since,
    // perhaps from this very version. The secret must not return to it.
    let ages = resolved.created.zip(version.created);
    let superseded = !labelled && ages.is_some_and(|(current, own)| current > own);
    if superseded && version.content == Content::Fits {
        version.content = Content::Outdated;
    }
    let content = version.content;
    let document = version.document.filter(|_| content == Content::Fits);
    let own = if labelled {
        Own::Pending(content)
    } else {
        Own::Unlabelled(content)
    };
    Ok((own, document))
}

/// Reads the version of another run that carries AWSPENDING.
async fn read_other(
    store: &dyn SecretStore,
    request: &RunRequest<'_>,
    resolved: &ResolvedSecret,
    id: &VersionId,
    own_document: Option<&Document>,
) -> Result<(Elsewhere, Option<Document>), RotationError> {
    let Some(version) = read_version(store, request, resolved, id).await? else {
        let empty = Elsewhere::Pending {
            content: Content::Empty,
            same_password: false,
        };
        return Ok((empty, None));
    };
    if is_leftover(resolved, &version) {
        return Ok((Elsewhere::Nothing, None));
    }
    let ours = own_document.map(|d| d.password().expose_secret());
    let theirs = version
        .document
        .as_ref()
        .map(|d| d.password().expose_secret());
    let same_password = ours.is_some() && ours == theirs;
    let elsewhere = Elsewhere::Pending {
        content: version.content,
        same_password,
    };
    let reusable = matches!(version.content, Content::Fits | Content::Outdated);
    Ok((elsewhere, version.document.filter(|_| reusable)))
}

/// Whether the version was promoted once: it names the active user, and AWSCURRENT is younger. A
/// finished run leaves AWSPENDING there, and edits of the secret moved AWSCURRENT and AWSPREVIOUS on.
fn is_leftover(resolved: &ResolvedSecret, version: &VersionContent) -> bool {
    let mut user = version.document.iter().map(|d| &d.fields().username);
    let ages = resolved.created.zip(version.created);
    user.any(|user| user == resolved.pair.active_user())
        && ages.is_some_and(|(current, pending)| current > pending)
}

/// A version, compared with the current document.
struct VersionContent {
    content: Content,
    document: Option<Document>,
    created: Option<DateTime<Utc>>,
}

/// Reads a version; `None` if it has no value.
async fn read_version(
    store: &dyn SecretStore,
    request: &RunRequest<'_>,
    resolved: &ResolvedSecret,
    id: &VersionId,
) -> Result<Option<VersionContent>, RotationError> {
    let secret = &request.rotation.secret;
    let version = match store.get(secret, Selector::Version(id)).await {
        Ok(version) => version,
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(StoreError::Binary { .. }) => {
            return Ok(Some(VersionContent {
                content: Content::Foreign,
                document: None,
                created: None,
            }));
        }
        Err(source) => return Err(request.store_error(source)),
    };
    let created = version.created;
    let Ok(document) = Document::parse(version.value) else {
        return Ok(Some(VersionContent {
            content: Content::Foreign,
            document: None,
            created,
        }));
    };
    let content = if document.fields().username != resolved.pair.standby_user() {
        Content::Foreign
    } else if document.same_but_for_credentials(&resolved.document) {
        Content::Fits
    } else {
        Content::Outdated
    };
    Ok(Some(VersionContent {
        content,
        document: Some(document),
        created,
    }))
}
