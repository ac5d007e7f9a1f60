//! The config as written: typed reading of its tables, with all errors collected.
//!
//! What can go wrong: reading stops at the first error, or one mistake is reported twice. A value that
//! is wrong is reported here, once, and then counts as absent.

use std::cell::RefCell;
use std::time::Duration;

use config::{Map, Value, ValueKind};

use super::{ConfigError, duration, known};

/// The errors so far.
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

/// One table of the config.
#[derive(Debug, Clone)]
pub(super) struct Table<'a> {
    /// For messages, for example `rotation[orders]`.
    path: String,
    /// As `known` calls it, for example `rotation`.
    kind: &'static str,
    values: &'a Map<String, Value>,
    errors: &'a Errors,
}

impl<'a> Table<'a> {
    pub(super) fn root(values: &'a Map<String, Value>, errors: &'a Errors) -> Self {
        let table = Self {
            path: String::new(),
            kind: "",
            values,
            errors,
        };
        table.refuse_unknown_keys();
        table
    }

    fn refuse_unknown_keys(&self) {
        let known = known::keys(self.kind);
        let mut keys: Vec<&String> = self.values.keys().collect();
        keys.sort();
        for key in keys
            .into_iter()
            .filter(|key| !known.contains(&key.as_str()))
        {
            let nearest = known::nearest(key, known.iter().copied());
            self.error(
                key,
                match nearest {
                    Some(name) => format!("is not a known key; did you mean `{name}`?"),
                    None => format!("is not a known key; the keys here are {}", known.join(", ")),
                },
            );
        }
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
        // A table that was made for a variable has no origin of its own: its values have.
        let origin = self.values.get(key).and_then(Value::origin);
        self.errors.push(ConfigError {
            key: self.path_of(key),
            variable: origin.map(str::to_owned),
            message: message.into(),
        });
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// A value by `read`, which gives `None` for a wrong one: then it must be `what`.
    fn read<T>(
        &self,
        key: &str,
        what: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Option<T> {
        let read = read(self.values.get(key)?);
        if read.is_none() {
            self.error(key, format!("must be {what}"));
        }
        read
    }

    /// A text, which may be empty.
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
    pub(super) fn number(&self, key: &str, least: u32, most: u32) -> Option<u32> {
        self.read(
            key,
            &format!("a whole number from {least} to {most}"),
            |value| {
                let number = match &value.kind {
                    ValueKind::I64(n) => u32::try_from(*n).ok(),
                    ValueKind::U64(n) => u32::try_from(*n).ok(),
                    ValueKind::String(text) if value.origin().is_some() => text.parse().ok(),
                    _ => None,
                };
                number.filter(|n| (least..=most).contains(n))
            },
        )
    }

    pub(super) fn boolean(&self, key: &str) -> Option<bool> {
        self.read(key, "true or false", |value| match &value.kind {
            ValueKind::Boolean(boolean) => Some(*boolean),
            ValueKind::String(text) if value.origin().is_some() => text.parse().ok(),
            _ => None,
        })
    }

    /// A length of time.
    pub(super) fn duration(&self, key: &str) -> Option<Duration> {
        let text = self.read(key, duration::FORM, |value| match &value.kind {
            ValueKind::String(text) => Some(text),
            _ => None,
        })?;
        duration::parse(text)
            .map_err(|message| self.error(key, message))
            .ok()
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = match &self.values.get(key)?.kind {
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

    /// A table inside this one; `kind` as `known` calls it.
    pub(super) fn table(&self, key: &str, kind: &'static str) -> Option<Table<'a>> {
        let values = self.read(key, "a table", |value| match &value.kind {
            ValueKind::Table(values) => Some(values),
            _ => None,
        })?;
        let table = Self {
            path: self.path_of(key),
            kind,
            values,
            errors: self.errors,
        };
        table.refuse_unknown_keys();
        Some(table)
    }

    /// A list as it is written; empty where there is none. What is wrong with it is for others to say.
    pub(super) fn list(&self, key: &str) -> &'a [Value] {
        match self.values.get(key).map(|value| &value.kind) {
            Some(ValueKind::Array(items)) => items,
            _ => &[],
        }
    }

    /// The tables of a list; each is called by its `name`, else by its number from 1.
    pub(super) fn tables(&self, key: &str, kind: &'static str) -> Vec<Table<'a>> {
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
                kind,
                values,
                errors: self.errors,
            };
            table.refuse_unknown_keys();
            tables.push(table);
        }
        tables
    }
}
