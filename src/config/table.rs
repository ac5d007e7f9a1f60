//! Typed access to the tables of a config; collects all errors.
//!
//! # Failure modes
//! - Reading stops at the first error, or a mistake is reported twice: an invalid value is reported once,
//!   here, and then treated as absent.
//! - A reader uses a key that it did not register, which a config then cannot contain: debug builds, and so
//!   the tests, panic.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use config::{Map, Value, ValueKind};

use super::include::IncludedFiles;
use super::read::Folder;
use super::suggestion::nearest;
use super::{ConfigError, duration};

/// The errors of a config.
#[derive(Debug, Default)]
pub(super) struct Errors(RefCell<Vec<ConfigError>>);

impl Errors {
    pub(super) fn push(&self, error: ConfigError) {
        self.0.borrow_mut().push(error);
    }

    pub(super) fn into_vec(self) -> Vec<ConfigError> {
        self.0.into_inner()
    }
}

/// A table of the config.
#[derive(Debug, Clone)]
pub(super) struct Table<'a> {
    /// The path in messages, for example `rotation[orders]`.
    path: String,
    /// The keys that its reader has registered.
    keys: &'static [&'static str],
    values: &'a Map<String, Value>,
    errors: &'a Errors,
    included: &'a IncludedFiles,
    /// The included file that it is from; `None`: the config itself.
    file: Option<&'a Path>,
}

impl<'a> Table<'a> {
    /// The top level, with the keys of its reader.
    pub(super) fn root(
        values: &'a Map<String, Value>,
        keys: &'static [&'static str],
        errors: &'a Errors,
        included: &'a IncludedFiles,
    ) -> Self {
        let table = Self {
            path: String::new(),
            keys,
            values,
            errors,
            included,
            file: None,
        };
        table.refuse_unknown_keys();
        table
    }

    /// The values without those of these keys.
    pub(super) fn values_without(&self, keys: &[&str]) -> Map<String, Value> {
        let values = self.values.iter();
        values
            .filter(|(key, _)| !keys.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// A table at the same place, with other values and the keys of another reader. Unknown keys are not
    /// reported again.
    pub(super) fn with_values<'b>(
        &'b self,
        values: &'b Map<String, Value>,
        keys: &'static [&'static str],
    ) -> Table<'b> {
        Table {
            path: self.path.clone(),
            keys,
            values,
            errors: self.errors,
            included: self.included,
            file: self.file,
        }
    }

    fn refuse_unknown_keys(&self) {
        let known = self.keys;
        let mut keys: Vec<&String> = self.values.keys().collect();
        keys.sort();
        for key in keys
            .into_iter()
            .filter(|key| !known.contains(&key.as_str()))
        {
            let suggestion = nearest(key, known.iter().copied());
            self.error(
                key,
                match suggestion {
                    Some(name) => format!("is not a known key; did you mean `{name}`?"),
                    None => format!("is not a known key; the keys here are {}", known.join(", ")),
                },
            );
        }
    }

    /// The folder of the included file that it is from, or that of the config.
    pub(super) fn folder<'b>(&self, config: Folder<'b>) -> Folder<'b>
    where
        'a: 'b,
    {
        self.file.and_then(Path::parent).map_or(config, Folder)
    }

    /// The value of a registered key.
    fn value(&self, key: &str) -> Option<&'a Value> {
        debug_assert!(self.keys.contains(&key), "{key:?} is not registered");
        self.values.get(key)
    }

    fn path_of(&self, key: &str) -> String {
        match (self.path.is_empty(), key.is_empty()) {
            (true, _) => key.to_owned(),
            (false, true) => self.path.clone(),
            (false, false) => format!("{}.{key}", self.path),
        }
    }

    /// Reports an error at a key of this table.
    pub(super) fn error(&self, key: &str, message: impl Into<String>) {
        // A table created for a variable has no origin, but its values have one.
        let origin = self.values.get(key).and_then(Value::origin);
        self.errors.push(ConfigError {
            key: self.path_of(key),
            variable: origin.map(str::to_owned),
            file: self.file.map(Path::to_owned),
            message: message.into(),
        });
    }

    /// Whether the key is present.
    pub(super) fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// The value that `read` returns; its `None` is reported as "must be `expected`".
    fn read<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Option<T> {
        let read = read(self.value(key)?);
        if read.is_none() {
            self.error(key, format!("must be {expected}"));
        }
        read
    }

    /// A text, possibly empty.
    pub(super) fn any_text(&self, key: &str) -> Option<&'a str> {
        self.read(key, "a text", |value| match &value.kind {
            ValueKind::String(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// A text that is not empty.
    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        let text = self.any_text(key)?;
        if text.is_empty() {
            self.error(key, "must not be empty");
            return None;
        }
        Some(text)
    }

    /// A whole number within bounds.
    pub(super) fn number(&self, key: &str, min: u32, max: u32) -> Option<u32> {
        self.read(
            key,
            &format!("a whole number from {min} to {max}"),
            |value| {
                let number = match &value.kind {
                    ValueKind::I64(n) => u32::try_from(*n).ok(),
                    ValueKind::U64(n) => u32::try_from(*n).ok(),
                    ValueKind::String(text) if value.origin().is_some() => text.parse().ok(),
                    _ => None,
                };
                number.filter(|n| (min..=max).contains(n))
            },
        )
    }

    /// A boolean.
    pub(super) fn boolean(&self, key: &str) -> Option<bool> {
        self.read(key, "true or false", |value| match &value.kind {
            ValueKind::Boolean(boolean) => Some(*boolean),
            ValueKind::String(text) if value.origin().is_some() => text.parse().ok(),
            _ => None,
        })
    }

    /// A duration.
    pub(super) fn duration(&self, key: &str) -> Option<Duration> {
        let text = self.read(key, duration::FORM, |value| match &value.kind {
            ValueKind::String(text) => Some(text),
            _ => None,
        })?;
        duration::parse(text)
            .map_err(|message| self.error(key, message))
            .ok()
    }

    /// One of the named choices.
    pub(super) fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = match &self.value(key)?.kind {
            ValueKind::String(text) => text.as_str(),
            _ => "",
        };
        let chosen = choices.iter().find(|(name, _)| *name == text);
        if chosen.is_none() {
            let names: Vec<String> = choices.iter().map(|(n, _)| format!("{n:?}")).collect();
            self.error(key, format!("must be one of {}", names.join(", ")));
        }
        chosen.map(|(_, value)| *value)
    }

    /// A list of texts; in a variable, a JSON array.
    pub(super) fn texts(&self, key: &str) -> Option<Vec<String>> {
        self.read(key, "a list of texts that are not empty", |value| {
            let texts = match &value.kind {
                ValueKind::Array(items) => items
                    .iter()
                    .map(|item| match &item.kind {
                        ValueKind::String(text) => Some(text.clone()),
                        _ => None,
                    })
                    .collect(),
                ValueKind::String(text) if value.origin().is_some() => {
                    serde_json::from_str::<Vec<String>>(text).ok()
                }
                _ => None,
            };
            texts.filter(|texts| texts.iter().all(|text| !text.trim().is_empty()))
        })
    }

    /// A table inside this one, with the keys of its reader.
    pub(super) fn table(&self, key: &str, keys: &'static [&'static str]) -> Option<Table<'a>> {
        let values = self.read(key, "a table", |value| match &value.kind {
            ValueKind::Table(values) => Some(values),
            _ => None,
        })?;
        let table = Self {
            path: self.path_of(key),
            keys,
            values,
            errors: self.errors,
            included: self.included,
            file: self.file,
        };
        table.refuse_unknown_keys();
        Some(table)
    }

    /// A table with any keys, whose values are texts that are not empty.
    pub(super) fn text_map(&self, key: &str) -> Option<BTreeMap<String, String>> {
        self.read(key, "a table of texts that are not empty", |value| {
            let ValueKind::Table(values) = &value.kind else {
                return None;
            };
            let texts = values.iter().map(|(key, value)| match &value.kind {
                ValueKind::String(text) if !text.trim().is_empty() => {
                    Some((key.clone(), text.clone()))
                }
                _ => None,
            });
            texts.collect()
        })
    }

    /// Whether the value is this text.
    pub(super) fn is_text(&self, key: &str, text: &str) -> bool {
        let value = self.value(key).map(|value| &value.kind);
        matches!(value, Some(ValueKind::String(own)) if own == text)
    }

    /// A list as written, without validation; empty if it is absent.
    pub(super) fn list(&self, key: &str) -> &'a [Value] {
        match self.value(key).map(|value| &value.kind) {
            Some(ValueKind::Array(items)) => items,
            _ => &[],
        }
    }

    /// The tables of a list; messages identify each by its `name`, or by its number from 1.
    pub(super) fn tables(&self, key: &str, keys: &'static [&'static str]) -> Vec<Table<'a>> {
        let values = self.read(key, "a list of tables", |value| match &value.kind {
            ValueKind::Array(items) => items
                .iter()
                .map(|item| match &item.kind {
                    ValueKind::Table(values) => Some(values),
                    _ => None,
                })
                .collect::<Option<Vec<_>>>(),
            _ => None,
        });
        let mut tables = Vec::new();
        for (n, values) in values.unwrap_or_default().into_iter().enumerate() {
            let name = match values.get("name").map(|value| &value.kind) {
                Some(ValueKind::String(name)) if !name.is_empty() => name.clone(),
                _ => format!("#{}", n + 1),
            };
            let table = Self {
                path: format!("{}[{name}]", self.path_of(key)),
                keys,
                values,
                errors: self.errors,
                included: self.included,
                file: self.included.file_of(key, n).or(self.file),
            };
            table.refuse_unknown_keys();
            tables.push(table);
        }
        tables
    }
}
