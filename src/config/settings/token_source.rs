//! Sources of tokens and keys.

use std::path::PathBuf;

use secrecy::ExposeSecret;

use twinkey_core::secret::Sensitive;

/// The source of a token or key: `"env:NAME"` or `"file:PATH"`.
#[derive(Debug, Clone)]
pub enum TokenSource {
    Env(String),
    File(PathBuf),
    /// Passed by the caller (the demo), never from a config.
    Value(Sensitive),
}

/// A token or key that cannot be read from its [`TokenSource`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    #[error("the environment variable {0} is not set")]
    NoVariable(String),
    #[error("the file {0:?} cannot be read: {1}")]
    NoFile(PathBuf, String),
    #[error("it is shorter than {0} characters")]
    TooShort(usize),
}

impl TokenSource {
    /// The trimmed token or key, of at min_length `min_length` characters.
    ///
    /// # Errors
    /// [`SourceError`]
    pub fn read(&self, min_length: usize) -> Result<Sensitive, SourceError> {
        let text = match self {
            Self::Value(token) => token.clone(),
            Self::Env(name) => std::env::var(name)
                .map(Sensitive::from)
                .map_err(|_| SourceError::NoVariable(name.clone()))?,
            Self::File(path) => std::fs::read_to_string(path)
                .map(Sensitive::from)
                .map_err(|error| SourceError::NoFile(path.clone(), error.to_string()))?,
        };
        let text = text.expose_secret().trim();
        if text.len() < min_length {
            return Err(SourceError::TooShort(min_length));
        }
        Ok(Sensitive::from(text))
    }
}
