//! Rotations of secrets in the terms of AWS, and the actions on them.
//!
//! The worker uses this package. Its rotations therefore come in through [`RotationService`], which
//! the worker implements and gives to the served store at start.
//!
//! # Failure modes
//! - Applications cannot read labels because the worker's journal is unavailable. A service describes
//!   what it knows after a short time, and never an error.
//! - A list reads the rotations of all secrets. It asks once, for the secrets of one page.
//! - A client repeats RotateSecret, and two runs start. Its ClientRequestToken is the version id of the
//!   run, and a run of that id starts once.
//! - RotateSecret succeeds, and no run starts: its ClientRequestToken is the id of a version that no run
//!   created. That is refused.
//! - RotateSecret or CancelRotateSecret changes a schedule, and the config says otherwise. The config
//!   alone defines rotations; both actions refuse that and name the rotation.
//! - Two rotators work on a secret. The worker's rotation takes precedence over a function, and the worker
//!   refuses a secret that a function rotates until CancelRotateSecret.
//! - A window of other than whole hours is reported as one of AWS's. AWS's grammar has hours only;
//!   the member is absent then.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};

use super::super::LocalStore;
use super::super::constraints::within;
use super::super::labels::Labels;
use super::super::naming::check_token;
use super::super::refusal::{Refusal, RefusalKind};
use super::super::rows::SecretRow;
use super::super::versions::token_in_use;
use super::action::Action;
use super::caller::{Caller, require};
use super::functions::{self, FunctionRuns};
use super::request::{Request, read};
use super::{ApiResult, seconds};
use crate::VersionId;

/// The largest AutomaticallyAfterDays of the API reference.
const MAX_DAYS: u16 = 1000;

/// The API reference's limit for the ARN of a function.
const MAX_FUNCTION: usize = 2048;

/// The rotation of a secret, as DescribeSecret and ListSecrets report it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretRotation {
    /// Its name in the config.
    pub name: String,
    /// Whether runs start by a schedule.
    pub enabled: bool,
    /// `None` for runs on demand only.
    pub rules: Option<RotationRules>,
    /// The end of the last successful run; `None` if it is not known, or there was none.
    pub last_rotated: Option<DateTime<Utc>>,
    /// The time before which the next scheduled run ends; `None` if it is not known, or none is
    /// scheduled.
    pub next: Option<DateTime<Utc>>,
}

/// The schedule of a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotationRules {
    /// In AWS's grammar.
    pub schedule: String,
    /// The length of a window.
    pub window: Duration,
}

/// The rotations of secrets.
#[async_trait]
pub trait RotationService: Send + Sync {
    /// The rotations of the secrets with these names, by these names. A secret that is not rotated
    /// has no entry.
    async fn rotations_of(&self, secrets: &[&str]) -> HashMap<String, SecretRotation>;

    /// Whether the rotation of the secret with this name has had a run of this version.
    ///
    /// # Errors
    /// That cannot be read.
    async fn has_run(&self, secret: &str, version: &VersionId) -> Result<bool, Refusal>;

    /// Starts a run of the rotation of the secret with this name, for the caller with this ARN. It
    /// creates this version; without one, a new id. A version that a run has already is not created
    /// again.
    ///
    /// # Errors
    /// Why no run started.
    async fn rotate(
        &self,
        secret: &str,
        version: Option<VersionId>,
        caller: &str,
    ) -> Result<VersionId, Refusal>;
}

/// What rotates the secrets of a store.
pub struct Rotations {
    pub service: Arc<dyn RotationService>,
    /// `None` without functions.
    pub functions: Option<FunctionRuns>,
}

impl Default for Rotations {
    /// No rotations.
    fn default() -> Self {
        Self {
            service: Arc::new(NoRotations),
            functions: None,
        }
    }
}

/// The service of a store whose secrets are not rotated.
pub struct NoRotations;

#[async_trait]
impl RotationService for NoRotations {
    async fn rotations_of(&self, _: &[&str]) -> HashMap<String, SecretRotation> {
        HashMap::new()
    }

    async fn has_run(&self, _: &str, _: &VersionId) -> Result<bool, Refusal> {
        Ok(false)
    }

    async fn rotate(&self, _: &str, _: Option<VersionId>, _: &str) -> Result<VersionId, Refusal> {
        Err(not_rotated())
    }
}

/// RotateSecret: a run of the worker on demand, or of a function.
pub(super) async fn rotate_secret(
    store: &Arc<LocalStore>,
    rotations: &Rotations,
    caller: &dyn Caller,
    body: &[u8],
) -> ApiResult {
    let mut request: Request = read(body)?;
    require(caller, Action::RotateSecret, request.secret_id()?)?;
    if let Some(token) = &request.client_request_token {
        check_token(token)?;
    }
    let function = request.rotation_lambda_arn.as_deref();
    within("rotationLambdaARN", function, 0..=MAX_FUNCTION)?;
    let service = &*rotations.service;
    let (secret, labels, rotation) = rotated(store, service, &request.secret_id).await?;
    let Some(SecretRotation { name, .. }) = rotation else {
        return functions::rotate(store, rotations.functions.as_ref(), &secret, request).await;
    };
    if request.configures_rotation() {
        return Err(Refusal::new(
            RefusalKind::InvalidRequest,
            format!(
                "The config of twinkey defines the rotation of this secret: change schedule and window of \
                 the rotation {name} there, and send RotateSecret without rules and functions."
            ),
        ));
    }
    if request.rotate_immediately == Some(false) {
        return Err(Refusal::new(
            RefusalKind::InvalidRequest,
            format!(
                "RotateSecret rotates this secret at once. Its schedule is in the config of twinkey; to test \
                 the rotation, use twinkey check {name}."
            ),
        ));
    }
    let version = request.client_request_token.take().map(VersionId);
    if let Some(id) = &version
        && labels.contains_key(id)
        && !service.has_run(&secret.name, id).await?
    {
        return Err(version_exists(id, &secret));
    }
    let version = service.rotate(&secret.name, version, &caller.arn()).await?;
    Ok(json!({"ARN": secret.arn, "Name": secret.name, "VersionId": version}))
}

/// CancelRotateSecret. Refused, unless a function rotates the secret.
pub(super) async fn cancel_rotate_secret(
    store: &LocalStore,
    rotations: &Rotations,
    caller: &dyn Caller,
    body: &[u8],
) -> ApiResult {
    let request: Request = read(body)?;
    require(caller, Action::CancelRotateSecret, request.secret_id()?)?;
    let why = match rotated(store, &*rotations.service, &request.secret_id).await? {
        (secret, ..) if secret.rotation_enabled => return functions::cancel(store, &secret).await,
        (.., Some(SecretRotation { name, .. })) => format!(
            "The config of twinkey defines the rotation of this secret: use twinkey pause {name}, or \
             remove the rotation {name} from the config."
        ),
        (.., None) => "This secret is not configured for rotation.".to_owned(),
    };
    Err(Refusal::new(RefusalKind::InvalidRequest, why))
}

/// A secret that is not marked for deletion, its labels, and its rotation.
async fn rotated(
    store: &LocalStore,
    rotations: &dyn RotationService,
    secret_id: &str,
) -> Result<(SecretRow, Labels, Option<SecretRotation>), Refusal> {
    let (secret, labels) = store.labels_of(secret_id).await?;
    if secret.deleted.is_some() {
        return Err(Refusal::marked_deleted());
    }
    let mut rotations = rotations.rotations_of(&[secret.name.as_str()]).await;
    let rotation = rotations.remove(&secret.name);
    Ok((secret, labels, rotation))
}

/// The refusal of AWS for a secret without a function.
pub(super) fn not_rotated() -> Refusal {
    Refusal::new(
        RefusalKind::InvalidRequest,
        "No Lambda rotation function ARN is associated with this secret.",
    )
}

/// The refusal of a version id that a rotation did not create. The reference of RotateSecret has no
/// ResourceExistsException.
pub(super) fn version_exists(id: &VersionId, secret: &SecretRow) -> Refusal {
    Refusal {
        kind: RefusalKind::InvalidRequest,
        ..token_in_use(id, secret)
    }
}

impl SecretRotation {
    /// Adds the members of a rotation to the description of its secret.
    pub(super) fn describe(&self, answer: &mut Json) {
        let time = |at: DateTime<Utc>| seconds(at.timestamp_millis());
        answer["RotationEnabled"] = json!(self.enabled);
        if let Some(rules) = &self.rules {
            answer["RotationRules"] = rules.describe();
        }
        if let Some(at) = self.last_rotated {
            answer["LastRotatedDate"] = time(at);
        }
        if let Some(at) = self.next {
            answer["NextRotationDate"] = time(at);
        }
    }
}

impl RotationRules {
    fn describe(&self) -> Json {
        let mut rules = json!({"ScheduleExpression": self.schedule});
        let seconds = self.window.as_secs();
        if seconds.is_multiple_of(3600) {
            rules["Duration"] = json!(format!("{}h", seconds / 3600));
        }
        if let Some(days) = days(&self.schedule) {
            rules["AutomaticallyAfterDays"] = json!(days);
        }
        rules
    }
}

/// The number of days of a `rate`, if it is in days.
fn days(schedule: &str) -> Option<u16> {
    let rate = schedule.strip_prefix("rate(")?.strip_suffix(')')?;
    let (days, unit) = rate.trim().split_once(' ')?;
    let days = days.parse().ok()?;
    (matches!(unit.trim(), "day" | "days") && (1..=MAX_DAYS).contains(&days)).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(rotation: &SecretRotation) -> Json {
        let mut answer = json!({"Name": "a"});
        rotation.describe(&mut answer);
        answer
    }

    #[test]
    fn a_rotation_has_the_members_that_are_known() {
        let at = |text: &str| -> Option<DateTime<Utc>> { Some(text.parse().unwrap()) };
        let rules = |schedule: &str, minutes: u64| RotationRules {
            schedule: schedule.into(),
            window: Duration::from_secs(minutes * 60),
        };
        let on_demand = SecretRotation::default();
        assert_eq!(
            described(&on_demand),
            json!({"Name": "a", "RotationEnabled": false})
        );
        let daily = SecretRotation {
            name: "orders".into(),
            enabled: true,
            rules: Some(rules("cron(0 7 * * ? *)", 90)),
            last_rotated: at("2026-11-23T07:00:00.250Z"),
            next: at("2026-11-24T08:30:00Z"),
        };
        assert_eq!(
            described(&daily),
            json!({
                "Name": "a", "RotationEnabled": true,
                "RotationRules": {"ScheduleExpression": "cron(0 7 * * ? *)"},
                "LastRotatedDate": 1_795_417_200.25, "NextRotationDate": 1_795_509_000.0,
            })
        );
        for (schedule, minutes, expected) in [
            (
                "rate(30 days)",
                180,
                json!({"Duration": "3h", "AutomaticallyAfterDays": 30}),
            ),
            (
                "rate(1 day)",
                60,
                json!({"Duration": "1h", "AutomaticallyAfterDays": 1}),
            ),
            ("rate(12 hours)", 60, json!({"Duration": "1h"})),
            ("rate(1001 days)", 30, json!({})),
        ] {
            let mut expected = expected;
            expected["ScheduleExpression"] = json!(schedule);
            assert_eq!(rules(schedule, minutes).describe(), expected);
        }
    }
}
