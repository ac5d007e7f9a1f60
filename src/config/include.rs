//! Files that a config includes: `include = ["rotations.d/*.toml"]`, relative to its folder.
//!
//! # Failure modes
//! - An included file changes the settings of the worker. It contains lists such as `[[rotation]]` only.
//! - An error does not tell which of many files it is in. Each error has its file.
//! - A file that others may write adds a hook. Each file is checked as the config itself.
//! - A file is missing, and its rotations vanish. A name without a wildcard must exist. A pattern may
//!   match no file, so that an empty folder is valid.
//! - A file includes the file that includes it. Included files include nothing.

use std::path::{Path, PathBuf};

use config::{Map, Value, ValueKind};
use indexmap::IndexSet;

use super::table::Errors;
use super::{ConfigError, file};

/// The lists that an included file may contain.
const LISTS: [&str; 5] = ["rotation", "discover", "store", "notify", "hook"];

/// The error of an `include` of another type.
const FORM: &str = "must be a list of files, for example [\"rotations.d/*.toml\"]";

/// The files of the entries of lists.
#[derive(Debug, Default)]
pub(super) struct IncludedFiles(Vec<IncludedEntries>);

/// Entries of one list that are from one file.
#[derive(Debug)]
struct IncludedEntries {
    list: &'static str,
    /// The place of its first entry in the whole list.
    first: usize,
    count: usize,
    file: PathBuf,
}

impl IncludedFiles {
    /// The file of the `n`th entry of a list, from 0; `None`: the config itself.
    pub(super) fn file_of(&self, list: &str, n: usize) -> Option<&Path> {
        let mut entries = self.0.iter();
        let entries = entries.find(|entries| {
            entries.list == list && (entries.first..entries.first + entries.count).contains(&n)
        });
        entries.map(|entries| entries.file.as_path())
    }
}

/// Adds the lists of all included files to the values of the config `path`. What cannot be read is an
/// error at its file.
pub(super) fn include(
    path: &Path,
    values: &mut Map<String, Value>,
    errors: &Errors,
) -> IncludedFiles {
    let mut included = IncludedFiles::default();
    for file in files(path, values, errors) {
        let read = file::read(&file, false).and_then(|text| file::values(&file, &text));
        match read {
            Ok(more) => append(values, &file, more, &mut included, errors),
            Err(found) => found.errors.into_iter().for_each(|error| {
                errors.push(ConfigError {
                    file: Some(file.clone()),
                    ..error
                });
            }),
        }
    }
    included
}

/// The included files, sorted by name within each pattern, and each once.
fn files(path: &Path, values: &Map<String, Value>, errors: &Errors) -> IndexSet<PathBuf> {
    let refuse = |message: String| {
        errors.push(ConfigError {
            key: "include".into(),
            variable: None,
            file: None,
            message,
        });
    };
    let patterns = match values.get("include").map(|value| &value.kind) {
        None => return IndexSet::new(),
        Some(ValueKind::Array(patterns)) => patterns,
        Some(_) => {
            refuse(FORM.into());
            return IndexSet::new();
        }
    };
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let mut files = IndexSet::new();
    for pattern in patterns {
        let ValueKind::String(pattern) = &pattern.kind else {
            refuse(FORM.into());
            continue;
        };
        let whole = folder.join(pattern);
        let is_pattern = pattern.contains(['*', '?', '[']);
        if !is_pattern {
            // A file that is missing is reported when it is read.
            files.insert(whole);
            continue;
        }
        match glob::glob(&whole.to_string_lossy()) {
            Ok(found) => files.extend(found.flatten().filter(|file| file.is_file())),
            Err(error) => refuse(format!("{pattern:?} is no pattern of files: {error}")),
        }
    }
    files
}

/// Appends the lists of a file.
fn append(
    values: &mut Map<String, Value>,
    file: &Path,
    mut more: Map<String, Value>,
    included: &mut IncludedFiles,
    errors: &Errors,
) {
    let refuse = |key: &str, message: String| {
        errors.push(ConfigError {
            key: key.to_owned(),
            variable: None,
            file: Some(file.to_owned()),
            message,
        });
    };
    for list in LISTS {
        let Some(value) = more.remove(list) else {
            continue;
        };
        let ValueKind::Array(entries) = value.kind else {
            refuse(list, "must be a list of tables".into());
            continue;
        };
        let whole = values
            .entry(list.to_owned())
            .or_insert_with(|| Value::new(None, ValueKind::Array(Vec::new())));
        // A list of the config that is no list is an error of its own.
        if let ValueKind::Array(whole) = &mut whole.kind {
            included.0.push(IncludedEntries {
                list,
                first: whole.len(),
                count: entries.len(),
                file: file.to_owned(),
            });
            whole.extend(entries);
        }
    }
    let mut others: Vec<&String> = more.keys().collect();
    others.sort();
    for key in others {
        refuse(
            key,
            format!(
                "does not belong in an included file, which contains {} only",
                LISTS.map(|list| format!("[[{list}]]")).join(", ")
            ),
        );
    }
}
