//! Environment variables that override keys of the file: `TWINKEY__SECTION__KEY`, and the same inside tables
//! (`TWINKEY__DEFAULTS__PASSWORD__LENGTH`).
//!
//! A rotation of the file is addressed by its name in upper case with `_` for `-`:
//! `TWINKEY__ROTATION__ORDERS_EU__WINDOW` is `window` of `orders-eu`. Variables cannot add rotations.
//!
//! # Failure modes
//! - A misspelt variable has no effect: each variable that begins with `TWINKEY__` is a known key or an
//!   error.

use std::collections::BTreeMap;

use config::{Map, Value, ValueKind};

use super::ConfigError;
use super::table::Errors;

/// The prefix of variables that are keys.
pub(super) const PREFIX: &str = "TWINKEY__";

/// The lists whose tables have names.
const NAMED_LISTS: [&str; 2] = ["rotation", "store"];

/// Sets the variables in `root`.
pub(super) fn overlay(
    root: &mut Map<String, Value>,
    environment: &BTreeMap<String, String>,
    errors: &Errors,
) {
    for (variable, value) in environment {
        let Some(name) = variable.strip_prefix(PREFIX) else {
            continue;
        };
        if let Err(message) = set(root, variable, name, value) {
            errors.push(ConfigError {
                key: String::new(),
                variable: Some(variable.clone()),
                file: None,
                message,
            });
        }
    }
}

fn set(
    root: &mut Map<String, Value>,
    variable: &str,
    name: &str,
    value: &str,
) -> Result<(), String> {
    if name != name.to_ascii_uppercase() {
        return Err("must be in upper case".into());
    }
    if name == "INCLUDE" {
        return Err("cannot be set by a variable: name the files in the config".into());
    }
    let value = Value::new(
        Some(&variable.to_owned()),
        ValueKind::String(value.to_owned()),
    );
    let of_list = NAMED_LISTS.iter().find_map(|list| {
        let prefix = format!("{}__", list.to_ascii_uppercase());
        Some((*list, name.strip_prefix(&prefix)?))
    });
    let (table, rest) = match of_list {
        Some((list, rest)) => named(root, list, rest)?,
        None => (root, name),
    };
    let path: Vec<String> = rest.split("__").map(str::to_ascii_lowercase).collect();
    match path.split_last() {
        Some((key, tables)) if path.iter().all(|part| !part.is_empty()) => {
            insert(table, tables, key, value)
        }
        _ => Err(format!("names no key: the form is {PREFIX}SECTION__KEY")),
    }
}

/// The table of a list whose name `rest` begins with, and the part after the name.
fn named<'a, 'n>(
    root: &'a mut Map<String, Value>,
    list: &str,
    rest: &'n str,
) -> Result<(&'a mut Map<String, Value>, &'n str), String> {
    let tables = match root.get_mut(list) {
        Some(Value {
            kind: ValueKind::Array(tables),
            ..
        }) => tables.as_mut_slice(),
        _ => &mut [],
    };
    // `a--b` also begins with `a` and the separator, so the longest name wins.
    tables
        .iter_mut()
        .filter_map(|table| {
            let ValueKind::Table(table) = &mut table.kind else {
                return None;
            };
            let ValueKind::String(name) = &table.get("name")?.kind else {
                return None;
            };
            let prefix = format!("{}__", name.to_ascii_uppercase().replace('-', "_"));
            let rest = rest.strip_prefix(&prefix)?;
            Some((table, rest))
        })
        .min_by_key(|(_, rest)| rest.len())
        .ok_or_else(|| {
            let upper = list.to_ascii_uppercase();
            format!("names no {list} of the file: the form is {PREFIX}{upper}__NAME__KEY, with the name in upper case and _ for -")
        })
}

fn insert(
    table: &mut Map<String, Value>,
    tables: &[String],
    key: &str,
    value: Value,
) -> Result<(), String> {
    let Some((first, tables)) = tables.split_first() else {
        table.insert(key.to_owned(), value);
        return Ok(());
    };
    let next = table
        .entry(first.clone())
        .or_insert_with(|| Value::new(None, ValueKind::Table(Map::new())));
    match &mut next.kind {
        ValueKind::Table(next) => insert(next, tables, key, value),
        _ => Err(format!("`{first}` is not a table")),
    }
}
