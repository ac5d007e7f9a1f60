//! Why a run stopped: a code, what happened, to whom, and what to do now.

use crate::journal::JournalError;
use crate::rotation::decide::Refusal;
use twinkey_core::code::{Code, Problem};
use twinkey_core::secret::document::DocumentError;
use twinkey_engines::EngineError;
use twinkey_stores::StoreError;

/// Whose credentials or connection an engine's error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Master,
    Current,
    Pending,
    Previous,
}

impl Role {
    /// Makes an engine's error one of this role.
    pub(crate) fn error(self) -> impl Fn(EngineError) -> RotationError {
        move |source| RotationError::Engine { role: self, source }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Master => "master secret",
            Self::Current => "AWSCURRENT",
            Self::Pending => "AWSPENDING",
            Self::Previous => "AWSPREVIOUS",
        }
    }
}

/// Why a run stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RotationError {
    #[error("{}{source}", .source.unnamed(.secret))]
    Store { secret: String, source: StoreError },
    #[error("{what} {secret:?}: {source}")]
    Document {
        what: &'static str,
        secret: String,
        source: DocumentError,
    },
    #[error("secret {secret:?} has no `{field}`, and the config does not give it either")]
    Incomplete { secret: String, field: &'static str },
    #[error("secret {secret:?} is for the engine {engine:?}, which this version cannot rotate")]
    UnsupportedEngine { secret: String, engine: String },
    #[error("{}: {source}", .role.name())]
    Engine { role: Role, source: EngineError },
    /// A decision, or a guard of a command.
    #[error("{message}")]
    Refused {
        code: Code,
        message: String,
        hint: String,
        /// It may go away by itself while the window is open.
        passes: bool,
    },
    #[error("{0}")]
    Journal(#[from] JournalError),
    #[error("{0}")]
    Internal(String),
}

impl RotationError {
    /// A refusal in words.
    #[must_use]
    pub fn refused(refusal: Refusal, message: String, hint: String) -> Self {
        Self::Refused {
            code: refusal.code(),
            message,
            hint,
            passes: refusal.passes(),
        }
    }

    /// The code of the contract.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Store { source, .. } => source.code(),
            Self::Document { .. } | Self::Incomplete { .. } => Code::SecretMalformed,
            Self::UnsupportedEngine { .. } => Code::UnsupportedEngine,
            Self::Engine { role, source } => match (role, source) {
                (Role::Master, EngineError::SignIn { .. }) => Code::MasterSigninFailed,
                (Role::Current, EngineError::SignIn { .. }) => Code::CurrentSigninFailed,
                (Role::Pending | Role::Previous, EngineError::SignIn { .. }) => {
                    Code::PendingSigninFailed
                }
                _ => source.code(),
            },
            Self::Refused { code, .. } => *code,
            Self::Journal(error) => error.code(),
            Self::Internal(_) => Code::Internal,
        }
    }

    /// What to do now.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Store { source, .. } => source.hint(),
            Self::Document { source, .. } => source.hint(),
            Self::Incomplete {
                field: "masterarn", ..
            } => "set master_secret in the rotation's config, or `masterarn` in the secret, to the secret of a user that may create and alter users".into(),
            Self::Incomplete { field, .. } => {
                format!("add `{field}` to the secret and store it again")
            }
            Self::UnsupportedEngine { .. } => {
                "this version rotates the engines postgres, mysql, mariadb, documentdb (mongo) and redshift; set `engine` in the config if the secret's own is wrong".into()
            }
            Self::Engine { role, source } => match (role, source) {
                (Role::Master, EngineError::SignIn { .. }) => "store the master's current password in the master secret; it is read afresh in every run".into(),
                (Role::Current, EngineError::SignIn { .. }) => "somebody changed the active user's password outside twinkey: store the right one in the secret, or `twinkey rollback` if AWSPREVIOUS still signs in".into(),
                _ => source.hint(),
            },
            Self::Refused { hint, .. } => hint.clone(),
            Self::Journal(error) => error.hint(),
            Self::Internal(_) => "this is a defect of twinkey: please report it with the log of this run".into(),
        }
    }

    /// Whether another try inside the window may succeed without anybody doing anything.
    #[must_use]
    pub const fn retryable(&self) -> bool {
        match self {
            Self::Store { source, .. } => source.retryable(),
            Self::Engine { source, .. } => source.retryable(),
            Self::Refused { passes, .. } => *passes,
            Self::Journal(_) => true,
            _ => false,
        }
    }

    /// The three parts that people and programs get.
    #[must_use]
    pub fn problem(&self) -> Problem {
        Problem {
            code: self.code(),
            message: self.to_string(),
            hint: self.hint(),
        }
    }
}

impl From<&RotationError> for Problem {
    fn from(error: &RotationError) -> Self {
        error.problem()
    }
}
