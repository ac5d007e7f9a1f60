//! Location and format of the config file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use config::{FileFormat, Format, Map, Value};

use super::environment::PREFIX;
use super::{ConfigError, ConfigErrors, file_access};

/// The variable with the path of the file.
const VARIABLE: &str = "TWINKEY_CONFIG";
/// The default paths, in this order.
const DEFAULT_PATHS: [&str; 2] = ["./twinkey.toml", "/etc/twinkey/twinkey.toml"];

/// The config file: `explicit` (`--config`), else `$TWINKEY_CONFIG`, else `./twinkey.toml`, else
/// `/etc/twinkey/twinkey.toml`. A named file is returned even if it does not exist.
///
/// # Errors
/// [`ConfigErrors`] if no file is named and no default path exists.
pub fn find(
    explicit: Option<&Path>,
    environment: &BTreeMap<String, String>,
) -> Result<PathBuf, ConfigErrors> {
    find_in(explicit, environment, &DEFAULT_PATHS.map(Path::new))
}

/// Whether the command line or a variable names the file.
pub(super) fn is_named(explicit: Option<&Path>, environment: &BTreeMap<String, String>) -> bool {
    named(explicit, environment).is_some()
}

fn named<'a>(
    explicit: Option<&'a Path>,
    environment: &'a BTreeMap<String, String>,
) -> Option<&'a Path> {
    explicit.or_else(|| {
        let variable = environment.get(VARIABLE).filter(|v| !v.is_empty());
        variable.map(Path::new)
    })
}

pub(super) fn find_in(
    explicit: Option<&Path>,
    environment: &BTreeMap<String, String>,
    paths: &[&Path],
) -> Result<PathBuf, ConfigErrors> {
    if let Some(file) = named(explicit, environment) {
        return Ok(file.to_owned());
    }
    let existing = paths.iter().find(|path| path.exists());
    existing.map(|path| path.to_path_buf()).ok_or_else(|| {
        let paths: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
        ConfigErrors {
            file: None,
            errors: vec![ConfigError {
                key: String::new(),
                variable: None,
                file: None,
                message: format!("there is no config file: neither {}", paths.join(" nor ")),
            }],
        }
    })
}

/// The environment variables of this process that belong to the config.
///
/// # Errors
/// [`ConfigErrors`] if one of them is not Unicode.
pub fn process_environment() -> Result<BTreeMap<String, String>, ConfigErrors> {
    let mut all = BTreeMap::new();
    let mut errors = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Ok(name) = name.into_string() else {
            continue;
        };
        if name != VARIABLE && !name.starts_with(PREFIX) {
            continue;
        }
        match value.into_string() {
            Ok(value) => {
                all.insert(name, value);
            }
            Err(_) => errors.push(ConfigError {
                key: String::new(),
                variable: Some(name),
                file: None,
                message: "is not Unicode".into(),
            }),
        }
    }
    if errors.is_empty() {
        return Ok(all);
    }
    Err(ConfigErrors { file: None, errors })
}

/// The text of a config or of a file that it includes, unless others may change it. `found_here`: as for
/// [`file_access::check_config`].
pub(super) fn read(path: &Path, found_here: bool) -> Result<String, ConfigErrors> {
    let unreadable =
        |e: std::io::Error| ConfigErrors::of_file(path, format!("cannot be read: {e}"));
    let mut file = File::open(path).map_err(unreadable)?;
    file_access::check_config(path, &file, found_here)?;
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

/// Parses TOML, YAML or JSON, as the file's extension says.
pub(super) fn values(file: &Path, text: &str) -> Result<Map<String, Value>, ConfigErrors> {
    let extension = file.extension().map(|e| e.to_string_lossy().to_lowercase());
    let format = match extension.as_deref() {
        Some("toml") => FileFormat::Toml,
        Some("yaml" | "yml") => FileFormat::Yaml,
        Some("json") => FileFormat::Json,
        _ => {
            return Err(ConfigErrors::of_file(
                file,
                "its name must end in .toml, .yaml, .yml or .json",
            ));
        }
    };
    format.parse(None, text).map_err(|e| {
        // TOML's message quotes the line between its first and last lines; those two suffice.
        let message = e.to_string();
        let mut lines = message.lines().filter(|line| !line.trim().is_empty());
        let first = lines.next().unwrap_or("it cannot be read").to_owned();
        let message = lines
            .next_back()
            .map_or_else(|| first.clone(), |last| format!("{first}: {last}"));
        ConfigErrors::of_file(file, message)
    })
}
