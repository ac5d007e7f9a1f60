//! Errors of a config, all of them at once.

use std::fmt;
use std::path::{Path, PathBuf};

use super::features;
use twinkey_core::code::{Code, Diagnostic};

/// One error of a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// For example `rotation[orders].window`; empty for the file as a whole.
    pub key: String,
    /// The environment variable of the value, if it is not from the file.
    pub variable: Option<String>,
    /// The file, if it is an included one.
    pub file: Option<PathBuf>,
    pub message: String,
}

/// All errors of a config; `Display` prints one per line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    /// `None` if no file was found.
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
                file: None,
                message: message.into(),
            }],
        }
    }
}

impl Diagnostic for ConfigErrors {
    fn code(&self) -> Code {
        Code::ConfigInvalid
    }

    fn hint(&self) -> String {
        let missing = |error: &ConfigError| features::hint(&error.message);
        if let Some(hint) = self.errors.iter().find_map(missing) {
            return hint.into();
        }
        let hint = match self.file {
            None => "give the file with --config FILE or TWINKEY_CONFIG",
            Some(_) => {
                "correct these errors and try again; config/twinkey.toml documents every key"
            }
        };
        hint.into()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.errors.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            match (&error.variable, error.file.as_ref().or(self.file.as_ref())) {
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
