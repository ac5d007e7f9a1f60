//! Where secrets live: AWS Secrets Manager, or the embedded store with the same semantics.
//!
//! What can go wrong, and what prevents it:
//! - two runs of one window make two versions: the caller names the version id, and a second
//!   `put` of other content under the same id is refused;
//! - a run overtakes another: AWSCURRENT moves only from the version that was observed;
//! - a read without a stage gets what somebody else thinks is the default: every read names a
//!   stage or a version id;
//! - the two stores understand one answer differently: `answer.rs` alone maps AWS's error names.

#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod api_error;
pub mod aws;
pub mod batch;
pub mod listener;
pub mod local;
pub mod measured;
pub mod served;
pub mod sqlite;
pub mod throttle;

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use twinkey_core::code::Code;
use twinkey_core::secret::Sensitive;

/// AWS's staging labels, as the API writes them.
pub mod stage {
    pub const CURRENT: &str = "AWSCURRENT";
    pub const PENDING: &str = "AWSPENDING";
    pub const PREVIOUS: &str = "AWSPREVIOUS";
}

/// A version's id: the ClientRequestToken that made it (32 to 64 characters).
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(transparent)]
pub struct VersionId(pub String);

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is known of a secret without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    pub arn: String,
    pub name: String,
    /// The labels of every version that has any (DescribeSecret hides the others).
    pub versions: BTreeMap<VersionId, Vec<String>>,
    /// Another rotator is switched on (RotationEnabled).
    pub rotation_enabled: bool,
    /// The AWS service that owns the secret (OwningService).
    pub owning_service: Option<String>,
    /// The KMS key that seals it, as AWS names it; `None`: AWS's own, or none.
    pub kms_key: Option<String>,
    /// Marked for deletion (DeletedDate).
    pub deleted: bool,
}

impl Description {
    /// The version that carries a label; AWS lets at most one have it.
    #[must_use]
    pub fn labelled(&self, stage: &str) -> Option<&VersionId> {
        self.versions
            .iter()
            .find(|(_, stages)| stages.iter().any(|s| s == stage))
            .map(|(id, _)| id)
    }
}

/// One version with its value.
#[derive(Debug, Clone)]
pub struct SecretVersion {
    pub arn: String,
    pub version_id: VersionId,
    pub value: Sensitive,
    pub stages: Vec<String>,
    pub created: Option<DateTime<Utc>>,
}

/// Which version to read. There is no default on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selector<'a> {
    Stage(&'a str),
    Version(&'a VersionId),
}

/// A secret store. `secret` is a name or an ARN everywhere.
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// DescribeSecret.
    ///
    /// # Errors
    /// [`StoreError`]
    async fn describe(&self, secret: &str) -> Result<Description, StoreError>;

    /// GetSecretValue. A version without a value, and one that is not there, are both
    /// [`StoreError::NotFound`], as in AWS.
    ///
    /// # Errors
    /// [`StoreError`]
    async fn get(&self, secret: &str, which: Selector<'_>) -> Result<SecretVersion, StoreError>;

    /// BatchGetSecretValue: AWSCURRENT of up to [`batch::MAX_BATCH`] secrets in one call, in their order. `None`: the answer
    /// says nothing of that one (it has an error of its own, holds bytes, or lags behind): it is to be asked for alone.
    /// [`batch::BatchReader`] does all that.
    ///
    /// # Errors
    /// [`StoreError`], about the call as a whole.
    async fn get_batch(&self, secrets: &[&str]) -> Result<Vec<Option<SecretVersion>>, StoreError> {
        let mut found = Vec::with_capacity(secrets.len());
        for secret in secrets {
            let read = self.get(secret, Selector::Stage(stage::CURRENT)).await;
            found.push(read.ok());
        }
        Ok(found)
    }

    /// PutSecretValue with `id` as ClientRequestToken and exactly one label. The same value again is
    /// no change.
    ///
    /// # Errors
    /// [`StoreError::VersionExists`] for another value under the same id.
    async fn put(
        &self,
        secret: &str,
        id: &VersionId,
        value: &Sensitive,
        stage: &str,
    ) -> Result<(), StoreError>;

    /// UpdateSecretVersionStage: a compare-and-swap of one label. Moving AWSCURRENT makes the version
    /// it leaves AWSPREVIOUS.
    ///
    /// # Errors
    /// [`StoreError::StageMoved`] when the label is not on `from`.
    async fn move_stage(
        &self,
        secret: &str,
        stage: &str,
        from: Option<&VersionId>,
        to: Option<&VersionId>,
    ) -> Result<(), StoreError>;

    /// Whether the store answers at all; reads no secret.
    ///
    /// # Errors
    /// [`StoreError`]
    async fn ping(&self) -> Result<(), StoreError>;

    /// Closes the files that the store holds open, and waits for that. No call may follow.
    async fn close(&self) {}
}

/// What a store can answer. Never holds a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No such secret, version or label (ResourceNotFoundException).
    #[error("{what} is not in the store")]
    NotFound { what: String },
    /// Another value is stored under this version id (ResourceExistsException).
    #[error("version {id} of {secret:?} is there already, with another value")]
    VersionExists { secret: String, id: VersionId },
    /// The label is not where it was observed (InvalidParameterException on RemoveFromVersionId).
    #[error("{stage} of {secret:?} is no longer where it was: {reason}")]
    StageMoved {
        secret: String,
        stage: String,
        reason: String,
    },
    /// The store takes no more calls now.
    #[error("the store is throttling: {reason}")]
    Throttled { reason: String },
    /// The worker may not do this (AccessDeniedException, KMS).
    #[error("the store denied {operation} on {secret:?}: {reason}")]
    Denied {
        operation: &'static str,
        secret: String,
        reason: String,
    },
    /// The secret is in a state, or the request of a kind, that the store refuses.
    #[error("the store refused {operation} on {secret:?}: {reason}")]
    Refused {
        operation: &'static str,
        secret: String,
        reason: String,
    },
    /// The embedded store cannot be opened with this key file.
    #[error("the key file {path} {reason}")]
    KeyFile {
        path: String,
        reason: String,
        fix: String,
    },
    /// No answer, or an answer that says to come back later.
    #[error("the store cannot be reached: {reason}")]
    Unavailable { reason: String },
}

impl StoreError {
    /// The code of the contract.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::NotFound { .. } => Code::SecretNotFound,
            Self::VersionExists { .. } | Self::StageMoved { .. } => Code::LostRace,
            Self::Throttled { .. } => Code::StoreThrottled,
            Self::Denied { .. } => Code::StoreDenied,
            Self::Refused { .. } | Self::KeyFile { .. } | Self::Unavailable { .. } => {
                Code::StoreUnavailable
            }
        }
    }

    /// What to do now.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NotFound { .. } => "check the name or ARN, the region and the account; `twinkey secret list` shows the embedded store".into(),
            Self::VersionExists { .. } | Self::StageMoved { .. } => "somebody else changed the secret meanwhile; `twinkey status` shows where it stands, and the next run starts from there".into(),
            Self::Throttled { .. } => "it is tried again while the window is open; lower limits.store_writes_per_second or spread the windows".into(),
            Self::Denied { operation, .. } => format!("allow the worker's role secretsmanager:{operation} on this secret, and the use of its KMS key"),
            Self::Refused { .. } => "read the reason; a secret marked for deletion must be restored first".into(),
            Self::KeyFile { fix, .. } => fix.clone(),
            Self::Unavailable { .. } => "check the network path and the endpoint of the store; it is tried again while the window is open".into(),
        }
    }

    /// What names the secret in front of the message, where the message itself does not.
    pub fn unnamed(&self, secret: &str) -> String {
        match self {
            Self::Throttled { .. } | Self::Unavailable { .. } => format!("secret {secret:?}: "),
            _ => String::new(),
        }
    }

    /// Whether another try inside the window may succeed without anybody doing anything.
    #[must_use]
    pub const fn retryable(&self) -> bool {
        matches!(self, Self::Throttled { .. } | Self::Unavailable { .. })
    }
}
