//! The error codes of the contract: the one vocabulary that the command line, the admin endpoint,
//! the journal and the metrics share.

use serde::{Deserialize, Serialize};

/// Why something was refused or failed. The text form (`config_invalid`, …) is stable and documented.
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
}

impl Code {
    /// Every code, in the order of the contract.
    pub const ALL: [Self; 26] = [
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
        }
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What every failure tells a person: a code, what happened, and what to do now. Never a password.
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
