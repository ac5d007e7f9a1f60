//! The config: as written ([`raw`]) -> validated and typed ([`settings`]).
//!
//! What can go wrong, and what prevents it:
//! - a misspelt key is ignored, and a rotation runs otherwise than its author believes: every key that
//!   is not in [`known`] is an error that names the nearest one, at every level;
//! - a value of a later version is accepted and does nothing: those are in [`known`] too, and refused;
//! - mistakes come to light one restart at a time: everything is read to the end, and all errors are
//!   reported at once, each with its key, or the environment variable that it came from;
//! - a secret stands in an error: the config holds no secrets, only where they are, and the one key
//!   into which people put a token by mistake is never quoted.
//!
//! `source` finds the file and knows its format, `environment` lays the variables over it, `raw` reads
//! typed values and collects errors, `sections` and `rotation` say what is valid.

pub mod duration;
mod environment;
mod error;
mod known;
mod notify;
mod raw;
mod redshift;
mod rotation;
mod sections;
mod serve;
pub mod settings;
mod source;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

pub use error::{ConfigError, ConfigErrors};
pub use settings::Settings;
pub use source::{find, process_environment};

/// Finds, reads and validates the config. `environment` is usually [`process_environment`]'s.
///
/// # Errors
/// [`ConfigErrors`], all of them at once.
pub fn load(
    explicit: Option<&Path>,
    environment: &BTreeMap<String, String>,
) -> Result<Settings, ConfigErrors> {
    let file = find(explicit, environment)?;
    let text = std::fs::read_to_string(&file)
        .map_err(|e| ConfigErrors::of_file(&file, format!("cannot be read: {e}")))?;
    parse(&file, &text, environment)
}

/// Validates the text of a config. `file` tells the format by its extension, and where relative paths
/// begin; it is not read.
///
/// # Errors
/// As [`load`].
pub fn parse(
    file: &Path,
    text: &str,
    environment: &BTreeMap<String, String>,
) -> Result<Settings, ConfigErrors> {
    let mut values = source::values(file, text)?;
    let errors = raw::Errors::default();
    environment::overlay(&mut values, environment, &errors);
    let folder = file.parent().unwrap_or_else(|| Path::new(""));
    let settings = sections::settings(&raw::Table::root(&values, &errors), folder);
    let errors = errors.into_vec();
    if let (Some(settings), true) = (settings, errors.is_empty()) {
        return Ok(settings);
    }
    Err(ConfigErrors {
        file: Some(file.to_owned()),
        errors,
    })
}
