//! Errors of the stores.

use twinkey_core::code::{Code, Diagnostic};

use crate::VersionId;

/// Why AWS does not accept the credentials of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialFault {
    Missing,
    Unreadable,
    Role,
    NoRegion,
    Expired,
    UnknownKey,
    WrongSignature,
    Clock,
}

impl CredentialFault {
    const fn message(self) -> &'static str {
        match self {
            Self::Missing => {
                "no AWS credentials were found in the environment, a profile, a container or an instance"
            }
            Self::Unreadable => "the AWS credentials cannot be loaded",
            Self::Role => "the role of the store cannot be assumed",
            Self::NoRegion => "no AWS region is set",
            Self::Expired => "the session token has expired",
            Self::UnknownKey => "the access key does not exist in this account and partition",
            Self::WrongSignature => "the signature does not match the access key",
            Self::Clock => "the clock of this machine differs from AWS's",
        }
    }

    const fn hint(self) -> &'static str {
        match self {
            Self::Missing | Self::Unreadable => {
                "give the task or the instance a role, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, in the environment of this process; `aws sts get-caller-identity` as the same user shows whether they work"
            }
            Self::Role => {
                "let the trust policy of the role name the worker's own role and the external id of the config, and allow the worker's role sts:AssumeRole on it; `twinkey iam-policy` prints both policies"
            }
            Self::NoRegion => "set secrets.region in the config, or AWS_REGION",
            Self::Expired => {
                "renew the session, and let the worker assume its role itself: a copied session token expires within hours"
            }
            Self::UnknownKey => {
                "set an access key that is active; remove AWS_ACCESS_KEY_ID from the environment to use the role of the task or the instance"
            }
            Self::WrongSignature => {
                "set the secret access key that belongs to the access key; look for a line break or a blank at its end"
            }
            Self::Clock => "synchronise the clock by NTP: AWS accepts a difference of five minutes",
        }
    }
}

/// Error of a call to a store. Never holds a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No such secret, version or label (ResourceNotFoundException).
    #[error("{what} is not in the store")]
    NotFound { what: String },
    /// Another value is stored under this version id (ResourceExistsException).
    #[error("version {id} of {secret:?} exists with another value")]
    VersionExists { secret: String, id: VersionId },
    /// The label is not on the observed version (InvalidParameterException on RemoveFromVersionId).
    #[error("{stage} of {secret:?} has moved to another version: {reason}")]
    StageMoved {
        secret: String,
        stage: String,
        reason: String,
    },
    /// The store accepts no more calls now.
    #[error("the store is throttling: {reason}")]
    Throttled { reason: String },
    /// A quota of the secret is used up (LimitExceededException).
    #[error("a quota of {secret:?} is used up, and the store refused {operation}: {reason}")]
    Quota {
        operation: &'static str,
        secret: String,
        reason: String,
    },
    /// AWS does not accept the credentials of this process, or there are none. `reason`: the error's
    /// name, or the cause.
    #[error("{}{}", .fault.message(), in_brackets(.reason))]
    Credentials {
        fault: CredentialFault,
        reason: Option<String>,
    },
    /// The worker lacks a permission (AccessDeniedException, KMS).
    #[error("the store denied {operation} on {secret:?}: {reason}")]
    Denied {
        operation: &'static str,
        secret: String,
        reason: String,
    },
    /// The store refuses the request in the current state of the secret.
    #[error("the store refused {operation} on {secret:?}: {reason}")]
    Refused {
        operation: &'static str,
        secret: String,
        reason: String,
    },
    /// The version holds SecretBinary.
    #[error("{secret:?} holds SecretBinary, and not a JSON document as SecretString")]
    Binary { secret: String },
    /// The embedded store's file does not exist.
    #[error("there is no store at {path}")]
    NoFile { path: String },
    /// The embedded store cannot be opened with this key file.
    #[error("the key file {path} {reason}")]
    KeyFile {
        path: String,
        reason: String,
        fix: String,
    },
    /// The file of the embedded store was changed by another program, or by a disk error.
    #[error("the store's file is damaged: {reason}")]
    Damaged { reason: String },
    /// The store did not respond, or asked for a later retry.
    #[error("the store cannot be reached: {reason}")]
    Unavailable { reason: String },
}

fn in_brackets(reason: &Option<String>) -> String {
    let reason = reason.as_deref();
    reason.map_or_else(String::new, |reason| format!(" ({reason})"))
}

impl StoreError {
    /// A prefix that names the secret, for messages that do not name it.
    #[must_use]
    pub fn secret_prefix(&self, secret: &str) -> String {
        match self {
            Self::Throttled { .. } | Self::Unavailable { .. } | Self::Credentials { .. } => {
                format!("secret {secret:?}: ")
            }
            _ => String::new(),
        }
    }
}

impl Diagnostic for StoreError {
    fn code(&self) -> Code {
        match self {
            Self::NotFound { .. } => Code::SecretNotFound,
            Self::VersionExists { .. } | Self::StageMoved { .. } => Code::LostRace,
            Self::Throttled { .. } => Code::StoreThrottled,
            Self::Credentials { .. } => Code::AwsCredentials,
            Self::Denied { .. } => Code::StoreDenied,
            Self::Quota { .. } => Code::StoreQuota,
            Self::Binary { .. } => Code::SecretMalformed,
            Self::Refused { .. }
            | Self::NoFile { .. }
            | Self::KeyFile { .. }
            | Self::Damaged { .. }
            | Self::Unavailable { .. } => Code::StoreUnavailable,
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::NotFound { .. } => "check the name or ARN, the region and the account; `twinkey secret list` shows the embedded store".into(),
            Self::VersionExists { .. } | Self::StageMoved { .. } => "run `twinkey status`: another process changed the secret, and the next run starts from its current state".into(),
            Self::Throttled { .. } => "lower limits.store_writes_per_second or spread the windows; the run is retried while the window is open".into(),
            Self::Quota { .. } => "rotate this secret less often: Secrets Manager keeps every version of the last 24 hours, at most 100 in all, and 20 labels; wait until the oldest are a day old, or remove labels that no program uses (update-secret-version-stage --remove-from-version-id)".into(),
            Self::Credentials { fault, .. } => fault.hint().into(),
            Self::Denied { operation, .. } => format!("allow the worker's role secretsmanager:{operation} on this secret, and the use of its KMS key"),
            Self::Refused { .. } => "read the reason; restore a secret that is marked for deletion first".into(),
            Self::Binary { .. } => "store the document as text: `aws secretsmanager put-secret-value --secret-id NAME --secret-string file://secret.json`, or `twinkey secret put NAME --file secret.json`".into(),
            Self::NoFile { .. } => "correct secrets.path in the config, or create the store with `twinkey secret put`".into(),
            Self::KeyFile { fix, .. } => fix.clone(),
            Self::Damaged { .. } => "find out who can write the file; restore it from a backup, or set the secret again with `twinkey secret put`".into(),
            Self::Unavailable { .. } => "check the network path and the endpoint of the store; the run is retried while the window is open".into(),
        }
    }

    fn retryable(&self) -> bool {
        matches!(
            self,
            // Another program often renews credentials, and NTP the clock. A role is given back.
            Self::Throttled { .. }
                | Self::Unavailable { .. }
                | Self::Credentials { .. }
                | Self::Denied { .. }
        )
    }
}
