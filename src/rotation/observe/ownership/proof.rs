//! Proof that the standby is this secret's own: it signs in with a version of the secret.

use crate::rotation::context::RunContext;
use crate::rotation::error::RotationError;
use crate::rotation::observe::observation::{Observation, RunRequest};
use crate::rotation::observe::ownership::verdict::Proof;
use crate::rotation::observe::proof::prove_at_database;
use crate::rotation::observe::resolve::credentials;
use twinkey_core::secret::document::Document;
use twinkey_core::secret::{ExposeSecret, Sensitive};
use twinkey_engines::{Credentials, EngineError, SignInChecks, StandbyAccess, unfinished_password};
use twinkey_stores::{Selector, StoreError, stage};

/// Refused sign-ins of one observation: a server may lock a user after a few.
const MAX_REFUSED: usize = 3;
/// Unlabelled versions that are read, the newest first.
const MAX_READ: usize = 10;

/// Result of the sign-ins as the standby.
pub(super) struct StandbyProof {
    pub proof: Proof,
    /// The password that the standby has.
    pub password: Option<Sensitive>,
    /// Why a sign-in had no result, such as an unreachable host.
    pub error: Option<EngineError>,
}

impl StandbyProof {
    const fn of(proof: Proof) -> Self {
        Self {
            proof,
            password: None,
            error: None,
        }
    }

    /// The standby has the password of this document.
    fn held(document: &Document) -> Self {
        Self {
            password: Some(document.password().clone()),
            ..Self::of(Proof::Held)
        }
    }
}

/// Signs in as the standby with AWSPENDING and AWSPREVIOUS, then with unlabelled versions.
///
/// The password of AWSPENDING that this run tried before is not tried again.
///
/// # Errors
/// Errors of the store.
pub(super) async fn prove_standby(
    context: &RunContext,
    request: &RunRequest<'_>,
    observation: &Observation,
) -> Result<StandbyProof, RotationError> {
    let own = observation.own_document.as_ref();
    if let Some(document) = own.filter(|_| observation.observed.standby.has_password) {
        return Ok(StandbyProof::held(document));
    }
    let Some(inspection) = &observation.inspection else {
        return Ok(StandbyProof::of(Proof::NoVersion));
    };
    let access = inspection.standby_access;
    let pending: Vec<&Document> = own.into_iter().chain(&observation.carried).collect();
    let previous = previous(context, request, observation).await?;
    let labelled: Vec<&Document> = pending.iter().copied().chain(&previous).collect();
    if access == StandbyAccess::Disabled && !labelled.is_empty() {
        return Ok(StandbyProof::of(Proof::Refused));
    }
    let mut attempts = Attempts {
        observation,
        refused: Vec::new(),
    };
    // The sign-in with this run's own version was refused before, unless it was left out.
    if let Some(own) = own.filter(|_| inspection.holds_password != Some(false)) {
        attempts.refused.push(own.password().clone());
    }
    for document in &labelled {
        match attempts.signs_in(document.password()).await {
            Ok(true) => return Ok(StandbyProof::held(document)),
            Ok(false) => {}
            Err(error) => return Ok(unproved(error)),
        }
    }
    if access == StandbyAccess::Unknown {
        for document in &pending {
            match attempts
                .signs_in(&unfinished_password(document.password()))
                .await
            {
                Ok(true) => return Ok(StandbyProof::of(Proof::Held)),
                Ok(false) => {}
                Err(error) => return Ok(unproved(error)),
            }
        }
    }
    let mut named = !labelled.is_empty();
    for document in unlabelled(context, request, observation).await? {
        named = true;
        if access == StandbyAccess::Disabled {
            break;
        }
        match attempts.signs_in(document.password()).await {
            Ok(true) => return Ok(StandbyProof::held(&document)),
            Ok(false) => {}
            Err(error) => return Ok(unproved(error)),
        }
    }
    Ok(StandbyProof::of(if named {
        Proof::Refused
    } else {
        Proof::NoVersion
    }))
}

fn unproved(error: EngineError) -> StandbyProof {
    StandbyProof {
        error: Some(error),
        ..StandbyProof::of(Proof::Refused)
    }
}

/// The sign-ins as the standby, of which few may be refused.
struct Attempts<'a> {
    observation: &'a Observation,
    refused: Vec<Sensitive>,
}

impl Attempts<'_> {
    /// Whether the standby signs in with a password. A password that was refused is not tried again.
    async fn signs_in(&mut self, password: &Sensitive) -> Result<bool, EngineError> {
        let known = |refused: &Sensitive| refused.expose_secret() == password.expose_secret();
        if self.refused.iter().any(known) || self.refused.len() >= MAX_REFUSED {
            return Ok(false);
        }
        let resolved = &self.observation.resolved;
        let standby = Credentials {
            username: resolved.pair.standby_user().to_owned(),
            password: password.clone(),
        };
        let master = &self.observation.master.target;
        match prove_at_database(resolved, master, &standby, SignInChecks::default()).await {
            Ok(_) => Ok(true),
            Err(EngineError::SignIn { .. }) => {
                self.refused.push(password.clone());
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

/// AWSPREVIOUS, if it names the standby.
async fn previous(
    context: &RunContext,
    request: &RunRequest<'_>,
    observation: &Observation,
) -> Result<Option<Document>, RotationError> {
    if observation.description.labelled(stage::PREVIOUS).is_none() {
        return Ok(None);
    }
    read(
        context,
        request,
        observation,
        Selector::Stage(stage::PREVIOUS),
    )
    .await
}

/// Unlabelled versions that name the standby, the newest first.
///
/// An edit of the secret moves AWSPREVIOUS, so that the standby's password is in an older version.
/// A role without the permission to list versions reads none.
async fn unlabelled(
    context: &RunContext,
    request: &RunRequest<'_>,
    observation: &Observation,
) -> Result<Vec<Document>, RotationError> {
    let rotation = request.rotation;
    let ids = match context.store.unlabelled(&rotation.secret).await {
        Ok(ids) => ids,
        Err(StoreError::Denied { .. }) => {
            tracing::warn!(rotation = %rotation.name, "older versions not listed: access denied");
            Vec::new()
        }
        Err(source) => return Err(request.store_error(source)),
    };
    let mut found = Vec::new();
    for id in ids.iter().take(MAX_READ) {
        found.extend(read(context, request, observation, Selector::Version(id)).await?);
    }
    Ok(found)
}

/// A version, if it is a document that names the standby.
async fn read(
    context: &RunContext,
    request: &RunRequest<'_>,
    observation: &Observation,
    which: Selector<'_>,
) -> Result<Option<Document>, RotationError> {
    let version = match context.store.get(&request.rotation.secret, which).await {
        Ok(version) => version,
        // Removed meanwhile, or no text.
        Err(
            StoreError::NotFound { .. } | StoreError::Binary { .. } | StoreError::Refused { .. },
        ) => return Ok(None),
        Err(source) => return Err(request.store_error(source)),
    };
    let document = Document::parse(version.value).ok();
    let standby = observation.resolved.pair.standby_user();
    Ok(document.filter(|document| credentials(document).username == standby))
}
