//! Rotation of secrets by functions, after AWS's contract: RotateSecret creates an empty version with
//! AWSPENDING, and the function is invoked for createSecret, setSecret, testSecret and finishSecret.
//!
//! # Failure modes
//! - A request names the address that is invoked. The addresses are those of the config, by the ARN of
//!   the function; a request names the ARN only.
//! - Two runs of a secret work at once. A secret has one run in this process; the next waits for its end.
//! - A function fails, or the worker stops in between, and the secret is never rotated again. AWSPENDING
//!   stays; the next RotateSecret refuses and attempts that version again, as AWS does.
//! - RotateSecret succeeds, and no function creates the version: its id is that of a version that exists.
//!   Only the version of the last success and that of an incomplete run are accepted again.
//! - A refused RotateSecret changes the function of the secret, or continues a canceled run. It changes
//!   nothing; an incomplete run continues with its own function, unless it was canceled.
//! - finishSecret moves AWSCURRENT and fails afterwards, for example by its time. The labels decide: the
//!   run has succeeded, and its failure is in the log.
//! - A run continues after CancelRotateSecret, beside the run of another function. Each step reads first
//!   whether the function is set, and whether its version is that of the incomplete run.
//! - A function answers all steps and does nothing. The run succeeds only if AWSCURRENT is on its version,
//!   and the version has a value.
//! - AWSPENDING stays on the version of a successful run, and after a rollback the next RotateSecret
//!   continues that run. The success removes it, as AWS's does. A version that is or was AWSCURRENT is
//!   not that of an incomplete run.
//! - The log has a password. A function's text is not logged, except the name of its error.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::super::labels::holder;
use super::super::refusal::{Refusal, RefusalKind};
use super::super::rows::{self, SecretRow, VersionRef};
use super::super::versions::{Value, live, touch};
use super::super::{LocalStore, labels, write};
use super::ApiResult;
use super::request::Request;
use super::rotation::{not_rotated, version_exists};
use crate::{VersionId, stage};
use twinkey_core::tasks::{OwnedTask, Tasks};

/// The steps of a rotation, in their order.
const STEPS: [&str; 4] = ["createSecret", "setSecret", "testSecret", "finishSecret"];

/// The functions that the config names.
#[async_trait]
pub trait RotationFunctions: Send + Sync {
    /// Whether there is a function with this ARN.
    fn has(&self, function: &str) -> bool;

    /// Invokes a function with the event of a step, and waits for its end.
    ///
    /// # Errors
    /// Why it failed.
    async fn invoke(&self, function: &str, event: &Json) -> Result<(), String>;
}

/// The functions of a store, and their runs in this process.
pub struct FunctionRuns {
    functions: Arc<dyn RotationFunctions>,
    tasks: Tasks,
    /// By the ARN of the secret, with the version.
    runs: Mutex<HashMap<String, (VersionId, OwnedTask<()>)>>,
}

impl FunctionRuns {
    /// Runs of these functions. They end when it is dropped.
    #[must_use]
    pub fn new(functions: Arc<dyn RotationFunctions>, tasks: Tasks) -> Self {
        Self {
            functions,
            tasks,
            runs: Mutex::default(),
        }
    }

    /// Starts the run of a version, unless it has one, after an earlier one of its secret.
    fn start(&self, store: &Arc<LocalStore>, run: Run) {
        let mut runs = self.runs.lock();
        runs.retain(|_, (_, task)| !task.is_finished());
        let same = |(version, _): &(VersionId, _)| *version == run.version;
        if runs.get(&run.arn).is_some_and(same) {
            return;
        }
        let previous = runs.remove(&run.arn);
        let (functions, store) = (Arc::clone(&self.functions), Arc::clone(store));
        let (arn, name, version) = (run.arn.clone(), run.name.clone(), run.version.clone());
        let work = async move {
            if let Some((_, previous)) = previous {
                // Its failure is in the log.
                let _ = previous.await;
            }
            let Run {
                name,
                function,
                version,
                ..
            } = &run;
            match run.perform(&store, &*functions).await {
                Ok(()) => {
                    tracing::info!(secret = name, function, %version, "secret rotated by function");
                }
                Err(error) => {
                    tracing::error!(secret = name, function, %version, error, "rotation by function failed; RotateSecret attempts it again, unless it was canceled");
                }
            }
        };
        let task = self.tasks.spawn_owned("rotation function", &name, work);
        runs.insert(arn, (version, task));
    }
}

/// The rotation of a secret to a version.
struct Run {
    arn: String,
    name: String,
    function: String,
    version: VersionId,
}

impl Run {
    fn new(secret: &SecretRow, function: &str, version: &VersionId) -> Self {
        Self {
            arn: secret.arn.clone(),
            name: secret.name.clone(),
            function: function.to_owned(),
            version: version.clone(),
        }
    }

    /// Rotates. The labels decide whether it has succeeded.
    async fn perform(
        &self,
        store: &LocalStore,
        functions: &dyn RotationFunctions,
    ) -> Result<(), String> {
        let invoked = self.invoke_steps(store, functions).await;
        let completed = store.complete_rotation(&self.arn, &self.version).await;
        match (invoked, completed) {
            (Ok(()), Ok(true)) => Ok(()),
            (Err(error), Ok(true)) => {
                tracing::warn!(secret = self.name, function = self.function, version = %self.version, error, "function failed after it had moved AWSCURRENT");
                Ok(())
            }
            (Ok(()), Ok(false)) => Err("finishSecret did not move AWSCURRENT to a value".into()),
            (Ok(()), Err(refusal)) => Err(refusal.to_string()),
            (Err(error), _) => Err(error),
        }
    }

    /// Invokes the function for each step, until its version has AWSCURRENT.
    async fn invoke_steps(
        &self,
        store: &LocalStore,
        functions: &dyn RotationFunctions,
    ) -> Result<(), String> {
        for step in STEPS {
            let (secret, labels) = self.read(store).await?;
            if !secret.rotation_enabled || secret.deleted.is_some() {
                return Err("canceled".into());
            }
            if holder(&labels, stage::CURRENT) == Some(&self.version) {
                break;
            }
            if pending(&labels) != Some(&self.version) {
                return Err("its version is no longer the pending one".into());
            }
            let event = json!({
                "Step": step, "SecretId": self.arn, "ClientRequestToken": self.version,
                "RotationToken": Uuid::new_v4().to_string(),
            });
            let invoked = functions.invoke(&self.function, &event).await;
            invoked.map_err(|error| format!("{step}: {error}"))?;
        }
        Ok(())
    }

    async fn read(&self, store: &LocalStore) -> Result<(SecretRow, labels::Labels), String> {
        let read = store.labels_of(&self.arn).await;
        read.map_err(|error| error.to_string())
    }
}

/// RotateSecret of a secret that the worker does not rotate.
pub(super) async fn rotate(
    store: &Arc<LocalStore>,
    runs: Option<&FunctionRuns>,
    secret: &SecretRow,
    request: Request,
) -> ApiResult {
    let invalid = |why: &str| Err(Refusal::new(RefusalKind::InvalidRequest, why));
    if request.configures_external_rotation() {
        return invalid("This store holds no managed external secrets.");
    }
    let function = request.rotation_lambda_arn.as_ref();
    let Some(function) = function.or(secret.rotation_function.as_ref()) else {
        return Err(not_rotated());
    };
    let Some(runs) = runs.filter(|runs| runs.functions.has(function)) else {
        return invalid(&format!(
            "This store invokes only the functions of secrets.serve.functions in the config of twinkey, \
             and {function} is not one."
        ));
    };
    if request.rotation_rules.is_some() || request.rotate_immediately == Some(false) {
        return invalid(
            "This store invokes functions at RotateSecret only, and by no schedule: send RotateSecret \
             without RotationRules and RotateImmediately.",
        );
    }
    let token = request.client_request_token;
    let version = VersionId(token.unwrap_or_else(|| Uuid::new_v4().to_string()));
    let begun = store.begin_rotation(&secret.arn, &version, function);
    if let Some(run) = begun.await? {
        let (pending, of) = (run.version.clone(), run.function.clone());
        runs.start(store, run);
        // AWS's sentence.
        let incomplete = "A previous rotation isn't complete. That rotation will be reattempted.";
        if of != *function {
            return invalid(&format!(
                "{incomplete} Its function is {of}: to use another, send CancelRotateSecret, and remove \
                 AWSPENDING from version {pending} with UpdateSecretVersionStage."
            ));
        }
        if pending != version {
            return invalid(incomplete);
        }
    }
    Ok(json!({"ARN": secret.arn, "Name": secret.name, "VersionId": version}))
}

/// CancelRotateSecret of a secret that a function rotates.
pub(super) async fn cancel(store: &LocalStore, secret: &SecretRow) -> ApiResult {
    let pending = store.cancel_rotation(&secret.arn).await?;
    let mut answer = json!({"ARN": secret.arn, "Name": secret.name});
    if let Some(pending) = pending {
        answer["VersionId"] = json!(pending);
    }
    Ok(answer)
}

impl LocalStore {
    /// Sets the function of a secret, and adds an empty version with AWSPENDING. Returns the run of the
    /// version. An earlier run that is not complete is returned instead, and nothing is changed. `None`
    /// if the last success was the run of this version.
    async fn begin_rotation(
        &self,
        secret: &str,
        id: &VersionId,
        function: &str,
    ) -> Result<Option<Run>, Refusal> {
        let invalid = |why: String| Err(Refusal::new(RefusalKind::InvalidRequest, why));
        let mut writer = self.database.writer().await?;
        let mut tx = write(&mut writer).await?;
        let found = live(self.find(&mut tx, secret, Some(VersionRef::Id(id))).await?)?;
        if found.labels.is_empty() {
            return invalid("You can't rotate a secret that has no value.".into());
        }
        let row = &found.secret;
        // A run that has moved AWSCURRENT to this version, and has not stored its success yet.
        let is_on_version = |label: &&str| holder(&found.labels, label) == Some(id);
        let is_ending = [stage::CURRENT, stage::PENDING].iter().all(is_on_version);
        if let Some(pending) = pending(&found.labels).or(is_ending.then_some(id)) {
            return match &row.rotation_function {
                Some(function) if row.rotation_enabled => {
                    Ok(Some(Run::new(row, function, pending)))
                }
                _ => invalid(format!(
                    "A previous rotation isn't complete. Remove AWSPENDING from version {pending} with \
                     UpdateSecretVersionStage, and send RotateSecret again."
                )),
            };
        }
        if found.labels.contains_key(id) {
            return match &row.rotated_version {
                Some(rotated) if *rotated == id.0 => Ok(None),
                _ => Err(version_exists(id, row)),
            };
        }
        rows::set_function(&mut tx, &row.arn, Some(function), true).await?;
        let stages = [stage::PENDING.to_owned()];
        let empty = Value::empty();
        let written = self.write_version(&mut tx, &found, id, &empty, Some(&stages));
        written.await?;
        tx.commit().await?;
        Ok(Some(Run::new(row, function, id)))
    }

    /// Ends the rotation by a function. Returns the version of a run that is not complete.
    async fn cancel_rotation(&self, secret: &str) -> Result<Option<VersionId>, Refusal> {
        let mut writer = self.database.writer().await?;
        let mut tx = write(&mut writer).await?;
        let found = live(self.find(&mut tx, secret, None).await?)?;
        let function = found.secret.rotation_function.as_deref();
        rows::set_function(&mut tx, &found.secret.arn, function, false).await?;
        tx.commit().await?;
        Ok(pending(&found.labels).cloned())
    }

    /// Stores the success of the run of a version, and removes AWSPENDING from it. Returns whether the
    /// version has AWSCURRENT and a value.
    async fn complete_rotation(&self, secret: &str, version: &VersionId) -> Result<bool, Refusal> {
        let mut writer = self.database.writer().await?;
        let mut tx = write(&mut writer).await?;
        let found = live(
            self.find(&mut tx, secret, Some(VersionRef::Id(version)))
                .await?,
        )?;
        let (mut row, before) = (found.secret, found.labels);
        let is_on_version = |label| holder(&before, label) == Some(version);
        let Some(current) = found.version.filter(|_| is_on_version(stage::CURRENT)) else {
            return Ok(false);
        };
        if !self.has_value(&row, &current)? {
            return Ok(false);
        }
        if is_on_version(stage::PENDING) {
            let after = labels::move_stage(&before, stage::PENDING, Some(version), None)?;
            rows::set_labels(&mut tx, &row.arn, &before, &after).await?;
            self.seal_labels(&mut tx, &row, &after).await?;
            touch(&mut tx, &mut row).await?;
        }
        rows::set_rotated(&mut tx, &row.arn, version).await?;
        tx.commit().await?;
        Ok(true)
    }
}

/// The version of a run that is not complete: AWSPENDING without AWSCURRENT and AWSPREVIOUS.
///
/// After AWS's reference, AWSPENDING on any other version than AWSCURRENT is an incomplete run. AWS
/// removes it from the version of a successful run. Here, an earlier release or the stop of the worker
/// can have left it on a version that has become AWSPREVIOUS.
fn pending(labels: &labels::Labels) -> Option<&VersionId> {
    let pending = holder(labels, stage::PENDING)?;
    let is_or_was_current = [stage::CURRENT, stage::PREVIOUS]
        .into_iter()
        .any(|label| holder(labels, label) == Some(pending));
    (!is_or_was_current).then_some(pending)
}
