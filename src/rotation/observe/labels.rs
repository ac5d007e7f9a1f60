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
    /// AWSCURRENT is younger than the version of `carried`.
    pub carried_is_older: bool,
}

impl LabelState {
    const fn finished(own: Own) -> Self {
        Self {
            own,
            elsewhere: Elsewhere::Nothing,
            own_document: None,
            carried: None,
            carried_is_older: false,
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
    let other = match pending.filter(|id| **id != request.own) {
        None => OtherPending::NONE,
        Some(id) => read_other(store, request, resolved, id, own_document.as_ref()).await?,
    };
    Ok(LabelState {
        own,
        elsewhere: other.elsewhere,
        own_document,
        carried: other.document,
        carried_is_older: other.is_older,
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

/// The version of another run that carries AWSPENDING.
struct OtherPending {
    elsewhere: Elsewhere,
    /// Its document, if a run can carry its password on.
    document: Option<Document>,
    /// AWSCURRENT is younger.
    is_older: bool,
}

impl OtherPending {
    const NONE: Self = Self {
        elsewhere: Elsewhere::Nothing,
        document: None,
        is_older: false,
    };
}

/// Reads the version of another run that carries AWSPENDING.
async fn read_other(
    store: &dyn SecretStore,
    request: &RunRequest<'_>,
    resolved: &ResolvedSecret,
    id: &VersionId,
    own_document: Option<&Document>,
) -> Result<OtherPending, RotationError> {
    let Some(version) = read_version(store, request, resolved, id).await? else {
        return Ok(OtherPending {
            elsewhere: Elsewhere::Pending {
                content: Content::Empty,
                same_password: false,
            },
            ..OtherPending::NONE
        });
    };
    let is_older = is_older(resolved, &version);
    // Every version of one user names it: `one_user` decides when the sign-ins are known.
    if is_older && names_active(resolved, &version) && !resolved.has_one_user() {
        return Ok(OtherPending::NONE);
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
    Ok(OtherPending {
        elsewhere,
        document: version.document.filter(|_| reusable),
        is_older,
    })
}

/// Whether AWSCURRENT is younger. If such a version names the active user of a pair, it was promoted
/// once: a finished run leaves AWSPENDING there, and edits of the secret moved AWSCURRENT and
/// AWSPREVIOUS on.
fn is_older(resolved: &ResolvedSecret, version: &VersionContent) -> bool {
    let ages = resolved.created.zip(version.created);
    ages.is_some_and(|(current, pending)| current > pending)
}

fn names_active(resolved: &ResolvedSecret, version: &VersionContent) -> bool {
    let mut user = version.document.iter().map(|d| &d.fields().username);
    user.any(|user| user == resolved.pair.active_user())
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
