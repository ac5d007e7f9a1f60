//! Error codes of the command line, the admin endpoint, the journal and the metrics.

use serde::{Deserialize, Serialize};

/// Cause of a refusal or failure. The text form (`config_invalid`, …) is stable and documented.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    ConfigInvalid,
    SecretNotFound,
    SecretMalformed,
    UnsupportedEngine,
    UsernameTooLong,
    ManagedElsewhere,
    HostMismatch,
    MasterSigninFailed,
    CurrentSigninFailed,
    PendingSigninFailed,
    PrivilegesMissing,
    PrivilegesDiffer,
    StandbyInUse,
    TooSoon,
    AlreadyRunning,
    WindowClosed,
    PendingConflict,
    LostRace,
    StoreUnavailable,
    StoreThrottled,
    StoreDenied,
    DbUnreachable,
    TlsFailed,
    DbRefused,
    JournalUnavailable,
    Internal,
    HostUntrusted,
    AccountDiffers,
    PairShared,
    StandbyForeign,
    StoreQuota,
    AlreadyRolledBack,
    ReaderBehind,
    ReaderUnreachable,
    HostIsPooler,
    AwsCredentials,
    PoolerRefused,
    HookRefused,
    DiscoveryFailed,
}

impl Code {
    /// All codes, in the documented order.
    pub const ALL: [Self; 39] = [
        Self::ConfigInvalid,
        Self::SecretNotFound,
        Self::SecretMalformed,
        Self::UnsupportedEngine,
        Self::UsernameTooLong,
        Self::ManagedElsewhere,
        Self::HostMismatch,
        Self::MasterSigninFailed,
        Self::CurrentSigninFailed,
        Self::PendingSigninFailed,
        Self::PrivilegesMissing,
        Self::PrivilegesDiffer,
        Self::StandbyInUse,
        Self::TooSoon,
        Self::AlreadyRunning,
        Self::WindowClosed,
        Self::PendingConflict,
        Self::LostRace,
        Self::StoreUnavailable,
        Self::StoreThrottled,
        Self::StoreDenied,
        Self::DbUnreachable,
        Self::TlsFailed,
        Self::DbRefused,
        Self::JournalUnavailable,
        Self::Internal,
        Self::HostUntrusted,
        Self::AccountDiffers,
        Self::PairShared,
        Self::StandbyForeign,
        Self::StoreQuota,
        Self::AlreadyRolledBack,
        Self::ReaderBehind,
        Self::ReaderUnreachable,
        Self::HostIsPooler,
        Self::AwsCredentials,
        Self::PoolerRefused,
        Self::HookRefused,
        Self::DiscoveryFailed,
    ];

    /// The stable text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConfigInvalid => "config_invalid",
            Self::SecretNotFound => "secret_not_found",
            Self::SecretMalformed => "secret_malformed",
            Self::UnsupportedEngine => "unsupported_engine",
            Self::UsernameTooLong => "username_too_long",
            Self::ManagedElsewhere => "managed_elsewhere",
            Self::HostMismatch => "host_mismatch",
            Self::MasterSigninFailed => "master_signin_failed",
            Self::CurrentSigninFailed => "current_signin_failed",
            Self::PendingSigninFailed => "pending_signin_failed",
            Self::PrivilegesMissing => "privileges_missing",
            Self::PrivilegesDiffer => "privileges_differ",
            Self::StandbyInUse => "standby_in_use",
            Self::TooSoon => "too_soon",
            Self::AlreadyRunning => "already_running",
            Self::WindowClosed => "window_closed",
            Self::PendingConflict => "pending_conflict",
            Self::LostRace => "lost_race",
            Self::StoreUnavailable => "store_unavailable",
            Self::StoreThrottled => "store_throttled",
            Self::StoreDenied => "store_denied",
            Self::DbUnreachable => "db_unreachable",
            Self::TlsFailed => "tls_failed",
            Self::DbRefused => "db_refused",
            Self::JournalUnavailable => "journal_unavailable",
            Self::Internal => "internal",
            Self::HostUntrusted => "host_untrusted",
            Self::AccountDiffers => "account_differs",
            Self::PairShared => "pair_shared",
            Self::StandbyForeign => "standby_foreign",
            Self::StoreQuota => "store_quota",
            Self::AlreadyRolledBack => "already_rolled_back",
            Self::ReaderBehind => "reader_behind",
            Self::ReaderUnreachable => "reader_unreachable",
            Self::HostIsPooler => "host_is_pooler",
            Self::AwsCredentials => "aws_credentials",
            Self::PoolerRefused => "pooler_refused",
            Self::HookRefused => "hook_refused",
            Self::DiscoveryFailed => "discovery_failed",
        }
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Description of a failure for users: a code, a message and a hint. Never a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    pub code: Code,
    pub message: String,
    pub hint: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// An error with a code, a hint and a decision about retries.
pub trait Diagnostic: std::error::Error {
    /// The error code.
    fn code(&self) -> Code;

    /// What the user can do now, as an imperative.
    fn hint(&self) -> String;

    /// Whether a retry can succeed without intervention.
    fn retryable(&self) -> bool {
        false
    }

    /// The description of the failure for users.
    fn problem(&self) -> Problem {
        Problem {
            code: self.code(),
            message: self.to_string(),
            hint: self.hint(),
        }
    }
}
