//! Errors of runs and commands, with a code, a message and a hint.

use crate::journal::JournalError;
use crate::rotation::decide::Refusal;
use twinkey_core::code::{Code, Diagnostic, Problem};
use twinkey_core::secret::document::DocumentError;
use twinkey_engines::EngineError;
use twinkey_stores::StoreError;

/// Credentials to which an engine's error refers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialRole {
    Master,
    Current,
    Pending,
    Previous,
}

impl CredentialRole {
    /// A conversion of engine errors for these credentials.
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

/// Error of a run or a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RotationError {
    #[error("{}{source}", .source.secret_prefix(.secret))]
    Store { secret: String, source: StoreError },
    #[error("{what} {secret:?}: {source}")]
    Document {
        what: &'static str,
        secret: String,
        source: DocumentError,
    },
    #[error("secret {secret:?} has no `{field}`, and the config has none either")]
    Incomplete { secret: String, field: &'static str },
    #[error("secret {secret:?} has the engine {engine:?}, which this version does not support")]
    UnsupportedEngine { secret: String, engine: String },
    #[error("{}: {source}", .role.name())]
    Engine {
        role: CredentialRole,
        source: EngineError,
    },
    /// A decision, or a guard of a command.
    #[error("{message}")]
    Refused {
        code: Code,
        message: String,
        hint: String,
        /// The reason may disappear while the window is open.
        passes: bool,
    },
    #[error("{0}")]
    Journal(#[from] JournalError),
    #[error("{0}")]
    Internal(String),
}

impl RotationError {
    /// The error of a refusal, with a message and a hint.
    #[must_use]
    pub fn refused(refusal: Refusal, message: String, hint: String) -> Self {
        Self::Refused {
            code: refusal.code(),
            message,
            hint,
            passes: refusal.passes(),
        }
    }
}

impl Diagnostic for RotationError {
    fn code(&self) -> Code {
        match self {
            Self::Store { source, .. } => source.code(),
            Self::Document { .. } | Self::Incomplete { .. } => Code::SecretMalformed,
            Self::UnsupportedEngine { .. } => Code::UnsupportedEngine,
            Self::Engine { role, source } => match (role, source) {
                (CredentialRole::Master, EngineError::SignIn { .. }) => Code::MasterSigninFailed,
                (CredentialRole::Current, EngineError::SignIn { .. }) => Code::CurrentSigninFailed,
                (
                    CredentialRole::Pending | CredentialRole::Previous,
                    EngineError::SignIn { .. },
                ) => Code::PendingSigninFailed,
                _ => source.code(),
            },
            Self::Refused { code, .. } => *code,
            Self::Journal(error) => error.code(),
            Self::Internal(_) => Code::Internal,
        }
    }

    fn hint(&self) -> String {
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
                "use postgres, mysql, mariadb, documentdb (mongo) or redshift; set `engine` in the config if the one in the secret is wrong".into()
            }
            Self::Engine { role, source } => match (role, source) {
                (CredentialRole::Master, EngineError::SignIn { .. }) => "store the master's current password in the master secret, which every run reads again".into(),
                (CredentialRole::Current, EngineError::SignIn { .. }) => "store the active user's current password in the secret, or run `twinkey rollback` if AWSPREVIOUS still signs in".into(),
                _ => source.hint(),
            },
            Self::Refused { hint, .. } => hint.clone(),
            Self::Journal(error) => error.hint(),
            Self::Internal(_) => "report this defect of twinkey, with the log of this run".into(),
        }
    }

    fn retryable(&self) -> bool {
        match self {
            Self::Store { source, .. } => source.retryable(),
            Self::Engine { source, .. } => source.retryable(),
            Self::Refused { passes, .. } => *passes,
            Self::Journal(_) => true,
            _ => false,
        }
    }
}

impl From<&RotationError> for Problem {
    fn from(error: &RotationError) -> Self {
        error.problem()
    }
}
