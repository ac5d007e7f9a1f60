//! The config: as written ([`raw`]) -> validated and typed ([`settings`]).
//!
//! What can go wrong, and what prevents it:
//! - a misspelt key is ignored, and a rotation runs otherwise than its author believes: every key that
//!   is not in [`known`] is an error that names the nearest one, at every level;
//! - a value of a later version is accepted and does nothing: those are in [`known`] too, and refused;
//! - mistakes come to light one restart at a time: everything is read to the end, and all errors are
//!   reported at once, each with its key, or the environment variable that it came from;
//! - a secret stands in an error: the config need not hold secrets, only where they are, and the keys
//!   into which people put a token or a password are never quoted.
//!
//! `source` finds the file and knows its format, `environment` lays the variables over it, `raw` reads
//! typed values and collects errors, `sections` and `rotation` say what is valid.

pub mod duration;
mod environment;
mod error;
mod hook;
mod journal;
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
use std::path::{Path, PathBuf};

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
    let (file, text) = read(explicit, environment)?;
    parse(&file, &text, environment)
}

/// The `[server]` of a config alone, whatever the rest of it is worth: a worker that has refused a bad new config
/// lives on under the old one.
///
/// # Errors
/// [`ConfigErrors`] if there is no config, or none of its format, or `[server]` is not valid.
pub fn load_server(
    explicit: Option<&Path>,
    environment: &BTreeMap<String, String>,
) -> Result<settings::Server, ConfigErrors> {
    let (file, text) = read(explicit, environment)?;
    let mut values = source::values(&file, &text)?;
    let errors = raw::Errors::default();
    environment::overlay(&mut values, environment, &errors);
    let server = sections::server_alone(&raw::Table::root(&values, &errors), folder(&file));
    let mut errors = errors.into_vec();
    errors.retain(|error| error.key.split('.').next() == Some("server"));
    if let (Some(server), true) = (server, errors.is_empty()) {
        return Ok(server);
    }
    Err(ConfigErrors {
        file: Some(file),
        errors,
    })
}

fn read(
    explicit: Option<&Path>,
    environment: &BTreeMap<String, String>,
) -> Result<(PathBuf, String), ConfigErrors> {
    let file = find(explicit, environment)?;
    let text = std::fs::read_to_string(&file)
        .map_err(|e| ConfigErrors::of_file(&file, format!("cannot be read: {e}")))?;
    Ok((file, text))
}

/// Where the relative paths of a config begin.
fn folder(file: &Path) -> &Path {
    file.parent().unwrap_or_else(|| Path::new(""))
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
    let settings = sections::settings(&raw::Table::root(&values, &errors), folder(file));
    let errors = errors.into_vec();
    if let (Some(settings), true) = (settings, errors.is_empty()) {
        return Ok(settings);
    }
    Err(ConfigErrors {
        file: Some(file.to_owned()),
        errors,
    })
}
