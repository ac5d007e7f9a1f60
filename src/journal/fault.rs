//! What is wrong with a journal, and what to do.

use uuid::Uuid;

use twinkey_core::code::Code;

/// Why the journal did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// It cannot be read or written.
    #[error("the journal cannot be used: {journal}: {reason}")]
    Unavailable { journal: String, reason: String },
    /// Another worker is at work on a journal that takes only one.
    #[error("the journal {journal} takes one worker, and {by} is at work on it")]
    Occupied { journal: String, by: String },
    /// The claim that a write names is no longer in force.
    #[error("run {run} is no longer this worker's: its lease ran out, or somebody ended it")]
    Lost { run: Uuid },
}

impl JournalError {
    /// `journal_unavailable`, or `lost_race` for what another worker has taken over.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Unavailable { .. } | Self::Occupied { .. } => Code::JournalUnavailable,
            Self::Lost { .. } => Code::LostRace,
        }
    }

    /// What to do now.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Unavailable { .. } => "check journal.url: a file must be writable by this user, on a disk with room, and made by this version or an older one; a PostgreSQL must be reached, and its user own the database",
            Self::Occupied { .. } => "stop that worker, or give them all one PostgreSQL: journal.url = \"postgres://…\"",
            Self::Lost { .. } => "another worker goes on with the run: `twinkey status` shows which",
        }
        .into()
    }
}

/// Why a journal's transaction failed, before it is said which journal's.
#[derive(Debug)]
pub(super) enum Reason {
    Lost(Uuid),
    Other(String),
}

impl Reason {
    /// The error of a journal of that name.
    pub(super) fn of(self, journal: impl Into<String>) -> JournalError {
        match self {
            Self::Lost(run) => JournalError::Lost { run },
            Self::Other(reason) => JournalError::Unavailable {
                journal: journal.into(),
                reason,
            },
        }
    }

    /// A write about a run that names another claim than the one in force is never passed over in silence.
    pub(super) fn held(rows: u64, run: Uuid) -> Result<(), Self> {
        if rows == 1 {
            Ok(())
        } else {
            Err(Self::Lost(run))
        }
    }
}

// Neither a server's messages nor sqlx's repeat what was bound to a statement.
impl From<sqlx::Error> for Reason {
    fn from(error: sqlx::Error) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<std::io::Error> for Reason {
    fn from(error: std::io::Error) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<serde_json::Error> for Reason {
    fn from(error: serde_json::Error) -> Self {
        Self::Other(error.to_string())
    }
}
