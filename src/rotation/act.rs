//! Execution of one action, which has at most one effect.
//!
//! The effect is recorded in the observation, so that the next decision sees it. A conflict with
//! another writer of the store is reported to the caller, which observes the labels again.

use crate::rotation::decide::{Action, Content, Elsewhere, Hooks, Own};
use crate::rotation::error::{CredentialRole, RotationError};
use crate::rotation::observe::endpoints::pooler_secrets;
use crate::rotation::observe::observation::{Observation, RunRequest};
use tokio::time::Instant;
use twinkey_core::secret::document::Document;
use twinkey_core::secret::{ExposeSecret, Sensitive};
use twinkey_engines::{Change, RenderedChange, render_changes};
use twinkey_stores::{SecretStore, StoreError, stage};

/// Result of an action.
pub(crate) enum Effect {
    /// The action was carried out; a short description of what it did.
    Done(String),
    /// Another writer was faster; a short description of what it did. The labels must be read
    /// again.
    Conflict(String),
}

/// Carries out an action other than [`Action::Converge`], [`Action::Prove`] and [`Action::RunHooks`].
///
/// # Errors
/// Errors of the store or the database. The next attempt continues from there.
pub(crate) async fn act(
    store: &dyn SecretStore,
    request: &RunRequest<'_>,
    observation: &mut Observation,
    action: Action,
) -> Result<Effect, RotationError> {
    match action {
        Action::PutPending { carry } => put_pending(store, request, observation, carry).await,
        Action::LabelPending => label_pending(store, request, observation).await,
        Action::DropPending => drop_pending(store, request, observation).await,
        Action::PutPoolerSecrets => pooler_secrets::put(store, request, observation)
            .await
            .map(Effect::Done),
        Action::EndSessions => end_sessions(observation).await.map(Effect::Done),
        Action::Promote => promote(store, request, observation).await,
        Action::RestoreCurrent => restore_current(observation).await.map(Effect::Done),
        Action::Converge | Action::Prove | Action::RunHooks | Action::Refuse(_) | Action::Done => {
            Ok(Effect::Done(String::new()))
        }
    }
}

fn internal(message: &str) -> RotationError {
    RotationError::Internal(message.to_owned())
}

async fn put_pending(
    store: &dyn SecretStore,
    request: &RunRequest<'_>,
    observation: &mut Observation,
    carry: bool,
) -> Result<Effect, RotationError> {
    let (password, origin): (Sensitive, &str) = match (carry, &observation.carried) {
        (true, Some(document)) => (
            document.password().clone(),
            "the pending password of an earlier run",
        ),
        (false, _) => (
            request
                .rotation
                .password
                .generate()
                .map_err(|_| internal("the operating system returned no random bytes"))?,
            "a new password",
        ),
        (true, None) => return Err(internal("the pending password to reuse is missing")),
    };
    let standby = observation.resolved.pair.standby_user();
    let document: Document = observation
        .resolved
        .document
        .with_credentials(standby, &password)
        .map_err(|source| RotationError::Document {
            what: "secret",
            secret: request.rotation.secret.clone(),
            source,
        })?;
    let secret = &request.rotation.secret;
    // Set before the write: it may take effect even if the answer is lost or an error.
    observation.may_exist = true;
    // A late write must not move AWSPENDING of one user.
    let has_one_user = observation.resolved.has_one_user();
    let label = if has_one_user {
        stage::PREPARED
    } else {
        stage::PENDING
    };
    match store
        .put(secret, &request.own, document.text(), label)
        .await
    {
        Ok(()) if has_one_user => {
            let detail = format!("{origin} for {standby:?} is in the version of this run");
            one_user_prepared(observation, document);
            Ok(Effect::Done(detail))
        }
        Ok(()) => {
            let detail = format!("{origin} for {standby:?} is AWSPENDING");
            observation.own_document = Some(document);
            observation.observed.own = Own::Pending(Content::Fits);
            observation.observed.elsewhere = Elsewhere::Nothing;
            observation.observed.standby.has_password = false;
            // Earlier changes and proofs were for another document.
            observation.observed.converged = false;
            observation.observed.proof = None;
            if observation.observed.hooks != Hooks::Absent {
                observation.observed.hooks = Hooks::Due;
            }
            observation.proof = None;
            pooler_secrets::compare(observation);
            Ok(Effect::Done(detail))
        }
        Err(StoreError::VersionExists { .. }) => Ok(Effect::Conflict(
            "another attempt of this run had written AWSPENDING".into(),
        )),
        Err(error) => Err(request.store_error(error)),
    }
}

/// Records the version of a run of one user, which has no AWSPENDING yet.
fn one_user_prepared(observation: &mut Observation, document: Document) {
    let is_carried = observation.carried.as_ref().is_some_and(|carried| {
        carried.password().expose_secret() == document.password().expose_secret()
    });
    let observed = &mut observation.observed;
    observed.own = Own::Unlabelled(Content::Fits);
    if let Elsewhere::Pending { same_password, .. } = &mut observed.elsewhere {
        *same_password = is_carried;
    }
    observed.converged = false;
    observed.proof = None;
    observation.proof = None;
    observation.own_document = Some(document);
}

async fn label_pending(
    store: &dyn SecretStore,
    request: &RunRequest<'_>,
    observation: &mut Observation,
) -> Result<Effect, RotationError> {
    let from = observation.description.labelled(stage::PENDING).cloned();
    let secret = &request.rotation.secret;
    match store
        .move_stage(secret, stage::PENDING, from.as_ref(), Some(&request.own))
        .await
    {
        Ok(()) => {
            observation.observed.own = Own::Pending(Content::Fits);
            observation.observed.elsewhere = Elsewhere::Nothing;
            Ok(Effect::Done(
                "moved AWSPENDING to the version of this run".into(),
            ))
        }
        Err(StoreError::StageMoved { .. }) => Ok(pending_moved()),
        Err(error) => Err(request.store_error(error)),
    }
}

async fn drop_pending(
    store: &dyn SecretStore,
    request: &RunRequest<'_>,
    observation: &mut Observation,
) -> Result<Effect, RotationError> {
    let secret = &request.rotation.secret;
    match store
        .move_stage(secret, stage::PENDING, Some(&request.own), None)
        .await
    {
        Ok(()) => {
            observation.observed.own = Own::Unlabelled(Content::Foreign);
            Ok(Effect::Done(
                "removed AWSPENDING, because the secret changed after it was written".into(),
            ))
        }
        Err(StoreError::StageMoved { .. }) => Ok(pending_moved()),
        Err(error) => Err(request.store_error(error)),
    }
}

fn pending_moved() -> Effect {
    Effect::Conflict("another program had moved AWSPENDING".into())
}

/// The statements of [`Action::Converge`], before the password is filled in.
pub(crate) struct Convergence {
    changes: Vec<Change>,
    password: Sensitive,
}

impl Convergence {
    /// The statements for an observation.
    ///
    /// # Errors
    /// `internal` if the run has no pending document.
    pub(crate) fn of(observation: &Observation) -> Result<Self, RotationError> {
        let document = observation.own_document.as_ref();
        let document = document.ok_or_else(|| internal("the pending document is missing"))?;
        Ok(Self {
            changes: observation.changes(),
            password: document.password().clone(),
        })
    }

    /// Fills in the password.
    ///
    /// # Errors
    /// Errors of the engine.
    pub(crate) fn render(&self) -> Result<Vec<RenderedChange>, RotationError> {
        render_changes(&self.changes, &self.password).map_err(CredentialRole::Master.error())
    }

    /// Applies the rendered statements.
    ///
    /// # Errors
    /// Errors of the engine.
    pub(crate) async fn apply(
        &self,
        observation: &mut Observation,
        rendered: &[RenderedChange],
    ) -> Result<String, RotationError> {
        observation.gap_began = (observation.resolved.has_one_user()).then(Instant::now);
        let Some(session) = &mut observation.admin else {
            return Err(internal("the admin connection is missing"));
        };
        let applied = session.admin.apply(rendered).await;
        applied.map_err(CredentialRole::Master.error())?;
        observation.observed.converged = true;
        let count = match self.changes.len() {
            1 => "1 change".to_owned(),
            n => format!("{n} changes"),
        };
        let standby = observation.resolved.pair.standby_user();
        let detail = format!("{count} of {standby:?}");
        observation.set_detail = Some(detail.clone());
        Ok(detail)
    }
}

async fn restore_current(observation: &mut Observation) -> Result<String, RotationError> {
    let current = observation.resolved.document.password();
    let failed = CredentialRole::Master.error();
    let rendered = render_changes(&observation.restore_current, current).map_err(&failed)?;
    let Some(session) = &mut observation.admin else {
        return Err(internal("the admin connection is missing"));
    };
    session.admin.apply(&rendered).await.map_err(failed)?;
    let user = observation.resolved.pair.active_user();
    let detail = format!("AWSCURRENT's password is the primary one of {user:?} again");
    observation.set_detail = Some(detail.clone());
    Ok(detail)
}

async fn end_sessions(observation: &mut Observation) -> Result<String, RotationError> {
    let standby = observation.resolved.pair.standby_user();
    let Some(session) = &mut observation.admin else {
        return Err(internal("the admin connection is missing"));
    };
    let ended = session.admin.end_sessions(standby).await;
    let detail = match ended.map_err(CredentialRole::Master.error())? {
        1 => format!("ended 1 session of {standby:?}"),
        n => format!("ended {n} sessions of {standby:?}"),
    };
    observation.observed.end_sessions = false;
    Ok(match &observation.set_detail {
        Some(changes) => format!("{changes}; {detail}"),
        None => detail,
    })
}

async fn promote(
    store: &dyn SecretStore,
    request: &RunRequest<'_>,
    observation: &mut Observation,
) -> Result<Effect, RotationError> {
    let from = &observation.resolved.version_id;
    let secret = &request.rotation.secret;
    match store
        .move_stage(secret, stage::CURRENT, Some(from), Some(&request.own))
        .await
    {
        Ok(()) => {
            observation.observed.own = Own::Current;
            let (active, standby) = (
                observation.resolved.pair.active_user(),
                observation.resolved.pair.standby_user(),
            );
            if !observation.resolved.has_one_user() {
                return Ok(Effect::Done(format!(
                    "AWSCURRENT moved from {active:?} to {standby:?}"
                )));
            }
            let mut detail = format!("AWSCURRENT has the new password of {active:?}");
            let began = observation.gap_began.take();
            if let Some(began) = began.filter(|_| observation.is_in_gap()) {
                let gap = began.elapsed().as_millis();
                detail.push_str(&format!("; the gap was {gap} ms"));
            }
            Ok(Effect::Done(detail))
        }
        Err(StoreError::StageMoved { .. }) => Ok(Effect::Conflict(ALREADY_PROMOTED.into())),
        Err(error) => Err(request.store_error(error)),
    }
}

/// Detail of a step that found the version of this run promoted.
pub(crate) const ALREADY_PROMOTED: &str =
    "another worker had moved AWSCURRENT to the version of this run";
