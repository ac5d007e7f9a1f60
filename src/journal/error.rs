//! Errors of the journal.

use uuid::Uuid;

use twinkey_core::code::{Code, Diagnostic};
use twinkey_core::printable::{MESSAGE, printable};

/// Why a call to the journal failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The journal cannot be read or written.
    #[error("the journal cannot be used: {journal}: {reason}")]
    Unavailable { journal: String, reason: String },
    /// The file at the journal's path is not the one that this process opened.
    #[error("the journal {journal} was deleted or replaced while this process uses it")]
    Replaced { journal: String },
    /// Another worker uses a journal that supports only one.
    #[error("the journal {journal} supports one worker, and {by} uses it")]
    Occupied { journal: String, by: String },
    /// The claim of a write is no longer valid.
    #[error("run {run} is no longer this worker's: its lease expired, or the run was ended")]
    Lost { run: Uuid },
}

impl Diagnostic for JournalError {
    fn code(&self) -> Code {
        match self {
            Self::Unavailable { .. } | Self::Replaced { .. } | Self::Occupied { .. } => {
                Code::JournalUnavailable
            }
            Self::Lost { .. } => Code::LostRace,
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Unavailable { .. } => "check journal.url: a file must be writable by this user, on a disk with free space, and created by this version or an older one; a PostgreSQL must be reachable, and its user must own the database",
            Self::Replaced { .. } => "restart the worker, which opens the file at this path or creates it; to keep pauses and history, stop the worker and restore the file first",
            Self::Occupied { .. } => "stop that worker, or let all workers use one PostgreSQL: journal.url = \"postgres://…\"",
            Self::Lost { .. } => "run `twinkey status`: it shows the worker that continues the run",
        }
        .into()
    }
}

/// Why a transaction failed, before the name of the journal is added.
#[derive(Debug)]
pub(super) enum TransactionError {
    Lost(Uuid),
    Other(String),
}

impl TransactionError {
    /// The error of the journal with this name.
    pub(super) fn in_journal(self, journal: impl Into<String>) -> JournalError {
        match self {
            Self::Lost(run) => JournalError::Lost { run },
            Self::Other(reason) => JournalError::Unavailable {
                journal: journal.into(),
                reason: printable(&reason, MESSAGE),
            },
        }
    }

    /// Fails unless a write changed the one row of a valid claim.
    pub(super) fn check_claim(rows: u64, run: Uuid) -> Result<(), Self> {
        if rows == 1 {
            Ok(())
        } else {
            Err(Self::Lost(run))
        }
    }
}

// Messages of sqlx and of the server never repeat bound values.
impl From<sqlx::Error> for TransactionError {
    fn from(error: sqlx::Error) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<std::io::Error> for TransactionError {
    fn from(error: std::io::Error) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<serde_json::Error> for TransactionError {
    fn from(error: serde_json::Error) -> Self {
        Self::Other(error.to_string())
    }
}
