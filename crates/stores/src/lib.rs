//! Secret stores: AWS Secrets Manager, and the embedded store with the same semantics.
//!
//! # Failure modes
//! - Two runs of one window create two versions. The caller chooses the version id, and a second
//!   `put` of another value under the same id is refused.
//! - A run overtakes another. AWSCURRENT moves only from the observed version.
//! - A read without a stage returns an unexpected version. Every read names a stage or a version
//!   id.
//! - The two stores interpret a response differently. Only `api_error.rs` maps AWS's error names.

#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod api_error;
#[cfg(feature = "aws")]
pub mod aws;
pub mod batch;
mod error;
pub mod listener;
mod listing;
pub mod local;
pub mod measured;
pub mod served;
pub mod sqlite;
pub mod throttle;
mod wrapper;

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use twinkey_core::aws::arn;
use twinkey_core::secret::Sensitive;

pub use error::{CredentialFault, StoreError};
pub use listing::{ListFilter, ListKey, ListedPage, ListedSecret};
pub use wrapper::StoreWrapper;

/// Names of the staging labels of AWS.
pub mod stage {
    pub const CURRENT: &str = "AWSCURRENT";
    pub const PENDING: &str = "AWSPENDING";
    pub const PREVIOUS: &str = "AWSPREVIOUS";
    /// The newest version that a run of one user wrote. It keeps the version from removal until
    /// AWSPENDING is moved to it.
    pub const PREPARED: &str = "TWINKEYPREPARED";
}

/// Id of a version: the ClientRequestToken that created it (32 to 64 characters).
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

/// Metadata of a secret without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    pub arn: String,
    pub name: String,
    /// Labels by version; DescribeSecret omits versions without labels.
    pub versions: BTreeMap<VersionId, Vec<String>>,
    /// Rotation by another rotator is enabled (RotationEnabled).
    pub rotation_enabled: bool,
    /// The AWS service that owns the secret (OwningService).
    pub owning_service: Option<String>,
    /// KMS key of the secret; `None`: the key of the service, or no key.
    pub kms_key: Option<String>,
    /// The secret is marked for deletion (DeletedDate).
    pub deleted: bool,
    pub tags: BTreeMap<String, String>,
    /// The region of the original (PrimaryRegion), which of an original is its own region.
    pub primary_region: Option<String>,
}

impl Description {
    /// The other party that changes the secret, if there is one.
    #[must_use]
    pub fn other_rotator(&self) -> Option<OtherRotator> {
        let primary = self.primary_region.as_ref();
        let of_other_region = primary.filter(|primary| {
            arn::region(&self.arn).is_some_and(|region| region != primary.as_str())
        });
        match (&self.owning_service, of_other_region) {
            (Some(service), _) => Some(OtherRotator::Service(service.clone())),
            (None, Some(region)) => Some(OtherRotator::Replication(region.clone())),
            (None, None) => self.rotation_enabled.then_some(OtherRotator::Enabled),
        }
    }

    /// The version with a label; a label is on at most one version.
    #[must_use]
    pub fn labelled(&self, stage: &str) -> Option<&VersionId> {
        self.versions
            .iter()
            .find(|(_, stages)| stages.iter().any(|s| s == stage))
            .map(|(id, _)| id)
    }
}

/// A party besides twinkey that changes a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OtherRotator {
    /// Its own rotation in Secrets Manager.
    Enabled,
    /// The AWS service that owns it.
    Service(String),
    /// AWS, which copies it from this region. A replica accepts no writes.
    Replication(String),
}

impl fmt::Display for OtherRotator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enabled => f.write_str("its rotation is enabled in Secrets Manager"),
            Self::Service(service) => write!(f, "it is owned by {service}"),
            Self::Replication(region) => write!(f, "it is a replica of the secret in {region}"),
        }
    }
}

impl OtherRotator {
    /// What to do so that a run may write the secret.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Enabled | Self::Service(_) => {
                "disable it first (aws secretsmanager cancel-rotate-secret), or remove the secret from the config"
            }
            Self::Replication(_) => {
                "name the secret in its own region in the config: AWS copies each of its versions to the replica"
            }
        }
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

/// The version to read. There is no default, so that every call names one.
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

    /// GetSecretValue. As in AWS, a missing version and a version without a value are both
    /// [`StoreError::NotFound`].
    ///
    /// # Errors
    /// [`StoreError`]
    async fn get(&self, secret: &str, which: Selector<'_>) -> Result<SecretVersion, StoreError>;

    /// BatchGetSecretValue: AWSCURRENT of up to [`batch::MAX_BATCH`] secrets in one call, in their
    /// order.
    ///
    /// `None`: the response has no value of that secret, because of an error, a binary value or a
    /// stale read. [`batch::BatchReader`] then reads the secret alone.
    ///
    /// # Errors
    /// [`StoreError`] of the whole call.
    async fn get_batch(&self, secrets: &[&str]) -> Result<Vec<Option<SecretVersion>>, StoreError> {
        let mut found = Vec::with_capacity(secrets.len());
        for secret in secrets {
            let read = self.get(secret, Selector::Stage(stage::CURRENT)).await;
            found.push(read.ok());
        }
        Ok(found)
    }

    /// ListSecrets: one page of the secrets that all filters match, also those that are marked for
    /// deletion. AWS's list can be five minutes old.
    ///
    /// # Errors
    /// [`StoreError`]; also of a store that has no list.
    async fn list(
        &self,
        _filters: &[ListFilter],
        _page: Option<&str>,
    ) -> Result<ListedPage, StoreError> {
        Err(StoreError::Refused {
            operation: "ListSecrets",
            secret: "*".into(),
            reason: "the store has no list".into(),
        })
    }

    /// ListSecretVersionIds: the versions without a label, newest first. The store may have removed
    /// older ones.
    ///
    /// # Errors
    /// [`StoreError`]
    async fn unlabelled(&self, _secret: &str) -> Result<Vec<VersionId>, StoreError> {
        Ok(Vec::new())
    }

    /// PutSecretValue with `id` as ClientRequestToken and one label. Putting the same value again
    /// changes nothing.
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

    /// UpdateSecretVersionStage: a compare-and-swap of one label. The version that AWSCURRENT
    /// leaves becomes AWSPREVIOUS.
    ///
    /// # Errors
    /// [`StoreError::StageMoved`] if the label is not on `from`.
    async fn move_stage(
        &self,
        secret: &str,
        stage: &str,
        from: Option<&VersionId>,
        to: Option<&VersionId>,
    ) -> Result<(), StoreError>;

    /// Checks that the store responds, without reading a secret.
    ///
    /// # Errors
    /// [`StoreError`]
    async fn ping(&self) -> Result<(), StoreError>;

    /// Closes the files that the store holds open, and waits for that. No call may follow.
    async fn close(&self) {}
}
