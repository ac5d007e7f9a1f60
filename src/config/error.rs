//! What is wrong with a config: everything, at once.

use std::fmt;
use std::path::{Path, PathBuf};

use twinkey_core::code::Code;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// For example `rotation[orders].window`; empty where the file as a whole is meant.
    pub key: String,
    /// The environment variable that the value came from, if it did not come from the file.
    pub variable: Option<String>,
    pub message: String,
}

/// All that is wrong. `Display` gives one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    /// `None` where no file was found.
    pub file: Option<PathBuf>,
    /// In the order of the sections; never empty.
    pub errors: Vec<ConfigError>,
}

impl ConfigErrors {
    /// One error about the file as a whole.
    pub(super) fn of_file(file: &Path, message: impl Into<String>) -> Self {
        Self {
            file: Some(file.to_owned()),
            errors: vec![ConfigError {
                key: String::new(),
                variable: None,
                message: message.into(),
            }],
        }
    }

    /// Always `config_invalid`.
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::ConfigInvalid
    }

    /// What to do now.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self.file {
            None => "give the file with --config FILE or TWINKEY_CONFIG",
            Some(_) => {
                "correct these and try again; the annotated reference config/twinkey.toml has every key with its meaning"
            }
        }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.errors.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            match (&error.variable, &self.file) {
                (Some(variable), _) => write!(f, "{variable}: ")?,
                (None, Some(file)) => write!(f, "{}: ", file.display())?,
                (None, None) => {}
            }
            if !error.key.is_empty() {
                write!(f, "{}: ", error.key)?;
            }
            f.write_str(&error.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
