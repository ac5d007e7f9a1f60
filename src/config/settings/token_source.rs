//! Sources of tokens and keys.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use twinkey_core::file_access::{AccessError, FileKind, assess_open};
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
    #[error("the file {0:?} {1}: {fix}", fix = .1.fix())]
    Access(PathBuf, AccessError),
    #[error("it is shorter than {0} characters")]
    TooShort(usize),
}

impl TokenSource {
    /// The trimmed token or key, of at least `min_length` characters.
    ///
    /// # Errors
    /// [`SourceError`]
    pub fn read(&self, min_length: usize) -> Result<Sensitive, SourceError> {
        let text = match self {
            Self::Value(token) => token.clone(),
            Self::Env(name) => std::env::var(name)
                .map(Sensitive::from)
                .map_err(|_| SourceError::NoVariable(name.clone()))?,
            Self::File(path) => read_file(path)
                .map_err(|error| SourceError::NoFile(path.clone(), error.to_string()))?
                .map_err(|error| SourceError::Access(path.clone(), error))?,
        };
        let text = text.expose_secret().trim();
        if text.len() < min_length {
            return Err(SourceError::TooShort(min_length));
        }
        Ok(Sensitive::from(text))
    }
}

/// The content of a file, if its owner and its mode are accepted.
fn read_file(path: &Path) -> io::Result<Result<Sensitive, AccessError>> {
    let mut file = File::open(path)?;
    if let Err(error) = assess_open(&file, FileKind::Token)? {
        return Ok(Err(error));
    }
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text)?;
    Ok(Ok(Sensitive::from(text.as_str())))
}
