//! Config of twinkey: a file and environment variables, validated into [`Settings`].
//!
//! `file` locates and parses the file, `include` adds the lists of other files, `environment` applies the variables, `table` gives typed access and
//! collects errors, `read` validates each section, and `settings` holds the result.
//!
//! # Failure modes
//! - A misspelt key is ignored: each reader registers its keys, and every other key is an error that suggests
//!   the most similar one, at every level.
//! - Mistakes appear one restart at a time: everything is read to the end, and all errors are reported at
//!   once, each with its key or environment variable.
//! - An error message reveals a secret: the config contains references to secrets only, and errors do not
//!   quote the keys that users confuse with a token or password.

pub mod duration;
mod environment;
mod error;
mod features;
mod file;
pub mod file_access;
mod include;
mod read;
pub mod settings;
mod suggestion;
mod table;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use error::{ConfigError, ConfigErrors};
pub use file::{find, process_environment};
pub use settings::Settings;

/// Finds, reads and validates the config. `environment` is usually [`process_environment`]'s.
///
/// # Errors
/// [`ConfigErrors`] with all errors.
pub fn load(
    explicit: Option<&Path>,
    environment: &BTreeMap<String, String>,
) -> Result<Settings, ConfigErrors> {
    let (path, text) = read_file(explicit, environment)?;
    parse(&path, &text, environment)
}

/// Only `[server]` of a config; errors in other sections are ignored. A worker that refused a bad new config
/// continues with the previous one.
///
/// # Errors
/// [`ConfigErrors`] if the file is missing or not parseable, or `[server]` is not valid.
pub fn load_server(
    explicit: Option<&Path>,
    environment: &BTreeMap<String, String>,
) -> Result<settings::Server, ConfigErrors> {
    let (path, text) = read_file(explicit, environment)?;
    let mut values = file::values(&path, &text)?;
    let errors = table::Errors::default();
    environment::overlay(&mut values, environment, &errors);
    let included = include::IncludedFiles::default();
    let root = table::Table::root(&values, read::KEYS, &errors, &included);
    let server = read::server(&root, folder(&path));
    let mut errors = errors.into_vec();
    errors.retain(|error| error.key.split('.').next() == Some("server"));
    if let (Some(server), true) = (server, errors.is_empty()) {
        return Ok(server);
    }
    Err(ConfigErrors {
        file: Some(path),
        errors,
    })
}

fn read_file(
    explicit: Option<&Path>,
    environment: &BTreeMap<String, String>,
) -> Result<(PathBuf, String), ConfigErrors> {
    let path = find(explicit, environment)?;
    let found_here = path.is_relative() && !file::is_named(explicit, environment);
    let text = file::read(&path, found_here)?;
    Ok((path, text))
}

/// The folder of a config file.
fn folder(file: &Path) -> read::Folder<'_> {
    read::Folder(file.parent().unwrap_or_else(|| Path::new("")))
}

/// Validates the text of a config and of the files that it includes. The path `file` gives the format
/// and the base of relative paths; the file itself is not read.
///
/// # Errors
/// As [`load`].
pub fn parse(
    file: &Path,
    text: &str,
    environment: &BTreeMap<String, String>,
) -> Result<Settings, ConfigErrors> {
    let mut values = file::values(file, text)?;
    let errors = table::Errors::default();
    let included = include::include(file, &mut values, &errors);
    environment::overlay(&mut values, environment, &errors);
    let root = table::Table::root(&values, read::KEYS, &errors, &included);
    let settings = read::settings(&root, folder(file));
    let errors = errors.into_vec();
    if let (Some(settings), true) = (settings, errors.is_empty()) {
        return Ok(settings);
    }
    Err(ConfigErrors {
        file: Some(file.to_owned()),
        errors,
    })
}
