//! Reader of `[[discover]]`.
//!
//! # Failure modes
//! - A table without a filter rotates every secret of a store. It needs `tags` or `names`.
//! - A mistake in the keys that all its rotations share appears at each secret. The table is read once as a
//!   rotation when the config is read, and its mistakes are errors of the config.
//! - A tag selects the master of another team. A `master_secret` with a placeholder needs `masters`.
//! - A tag's value is read by other rules than the config's. It becomes a value of the table that the reader
//!   of `[[rotation]]` reads.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use config::{Map, Value, ValueKind};

use super::references::Folder;
use super::rotation::{self, RawRotation};
use super::store::Stores;
use crate::config::include::IncludedFiles;
use crate::config::settings::{Discover, MasterTemplate, Rotation, TAG_PREFIX};
use crate::config::suggestion::nearest;
use crate::config::table::{Errors, Table};
use twinkey_core::printable::{MESSAGE, printable};

/// The keys that a `[[rotation]]` does not have.
pub(super) const OWN_KEYS: &[&str] = &["tags", "names", "exclude", "every", "tags_may_set"];

/// All keys: [`OWN_KEYS`], and those of a rotation but `name` and `secret`.
static KEYS: std::sync::LazyLock<Vec<&'static str>> = std::sync::LazyLock::new(|| {
    let shared = rotation::KEYS.iter().copied();
    let shared = shared.filter(|key| !matches!(*key, "name" | "secret"));
    OWN_KEYS.iter().copied().chain(shared).collect()
});

/// The keys that tags can set.
const SETTABLE: [&str; 5] = ["schedule", "window", "spread", "readers", "paused"];

const DEFAULT_EVERY: Duration = Duration::from_secs(600);
/// The shortest `every`.
const MIN_EVERY: Duration = Duration::from_secs(10);

/// A name that the rotation has when the config is read.
const SAMPLE: &str = "discovered";

/// All `[[discover]]` tables.
pub(super) fn discover(
    root: &Table<'_>,
    folder: Folder<'_>,
    defaults: &Arc<RawRotation>,
    stores: &Arc<Stores>,
) -> Vec<Discover> {
    let tables = root.tables("discover", &KEYS);
    tables
        .iter()
        .filter_map(|table| one(table, table.folder(folder), defaults, stores))
        .collect()
}

fn one(
    table: &Table<'_>,
    folder: Folder<'_>,
    defaults: &Arc<RawRotation>,
    stores: &Arc<Stores>,
) -> Option<Discover> {
    let filters = (table.text_map("tags"), table.texts("names"));
    let is_empty = |key| !table.has(key);
    let none = filters.0.as_ref().is_some_and(BTreeMap::is_empty)
        || filters.1.as_ref().is_some_and(Vec::is_empty);
    if none || (is_empty("tags") && is_empty("names")) {
        table.error(
            "",
            "needs tags or names: without them, every secret of the store would be rotated",
        );
    }
    let every = table.duration("every").filter(|every| {
        let valid = *every >= MIN_EVERY;
        if !valid {
            table.error(
                "every",
                "must be at least 10s: each listing calls the store",
            );
        }
        valid
    });
    let tags_may_set = table.texts("tags_may_set").unwrap_or_default();
    for key in &tags_may_set {
        if !SETTABLE.contains(&key.as_str()) {
            let message = match nearest(key, SETTABLE) {
                Some(near) => {
                    format!("{key:?} is no key that tags can set; did you mean {near:?}?")
                }
                None => format!(
                    "{key:?} is no key that tags can set: these are {}",
                    SETTABLE.join(", ")
                ),
            };
            table.error("tags_may_set", message);
        }
    }
    for tag in filters.0.iter().flat_map(BTreeMap::keys) {
        let key = tag.strip_prefix(TAG_PREFIX);
        if key.is_some_and(|key| !tags_may_set.iter().any(|own| own == key)) {
            let message = format!(
                "{tag:?} would set a key of the rotation, which tags_may_set does not have: find secrets by a tag without {TAG_PREFIX:?}"
            );
            table.error("tags", message);
        }
    }
    let master_secret = match table.text("master_secret").map(MasterTemplate::parse) {
        Some(Err(error)) => {
            table.error("master_secret", error.to_string());
            None
        }
        Some(Ok(template)) => Some(template),
        None => None,
    };
    let template = RotationTemplate {
        values: table.values_without(OWN_KEYS),
        defaults: Arc::clone(defaults),
        stores: Arc::clone(stores),
        folder: folder.0.to_owned(),
    };
    let has_placeholders = master_secret
        .as_ref()
        .is_some_and(MasterTemplate::has_placeholders);
    let sample = match &master_secret {
        None if table.has("master_secret") => None,
        _ if has_placeholders => Some("discovered-master"),
        _ => table.text("master_secret"),
    };
    let values = template.values(SAMPLE, SAMPLE, sample, &BTreeMap::new());
    let sample = table.with_values(&values, rotation::KEYS);
    let rotation = RawRotation::rotation(&sample, folder, stores).validate(defaults, &sample)?;
    if has_placeholders && rotation.masters.is_none() {
        table.error(
            "master_secret",
            "has a placeholder: limit with `masters` which secrets it may name",
        );
    }
    Some(Discover {
        store: rotation.store.clone(),
        tags: filters.0.unwrap_or_default(),
        names: filters.1.unwrap_or_default(),
        exclude: table.texts("exclude").unwrap_or_default(),
        every: every.unwrap_or(DEFAULT_EVERY),
        tags_may_set,
        master_secret,
        shared: Box::new(rotation),
        template,
    })
}

/// The keys that all rotations of a `[[discover]]` share, as written.
#[derive(Debug, Clone)]
pub(in crate::config) struct RotationTemplate {
    values: Map<String, Value>,
    defaults: Arc<RawRotation>,
    stores: Arc<Stores>,
    /// The base of relative paths.
    folder: PathBuf,
}

impl RotationTemplate {
    /// The rotation of a secret.
    ///
    /// # Errors
    /// A sentence about the secret.
    pub(in crate::config) fn rotation(
        &self,
        name: &str,
        secret: &str,
        master_secret: Option<&str>,
        overrides: &BTreeMap<&str, &str>,
    ) -> Result<Rotation, String> {
        let (errors, included) = (Errors::default(), IncludedFiles::default());
        let values = self.values(name, secret, master_secret, overrides);
        let table = Table::root(&values, rotation::KEYS, &errors, &included);
        let raw = RawRotation::rotation(&table, Folder(&self.folder), &self.stores);
        let rotation = raw.validate(&self.defaults, &table);
        let first = errors.into_vec().into_iter().next();
        match (rotation, first) {
            // For the config itself, `check` warns.
            (Some(rotation), None) if overrides.contains_key("schedule") => {
                match rotation.closer_windows() {
                    Some(why) => Err(format!("its tag \"twinkey:schedule\" {why}")),
                    None => Ok(rotation),
                }
            }
            (Some(rotation), None) => Ok(rotation),
            (_, Some(error)) => Err(match error.variable {
                Some(tag) => format!("its tag {tag:?} {}", printable(&error.message, MESSAGE)),
                None => format!("`{}` {}", error.key, printable(&error.message, MESSAGE)),
            }),
            (None, None) => Err("its settings are not valid".into()),
        }
    }

    /// The values of a secret's `[[rotation]]`.
    fn values(
        &self,
        name: &str,
        secret: &str,
        master_secret: Option<&str>,
        overrides: &BTreeMap<&str, &str>,
    ) -> Map<String, Value> {
        let mut values = self.values.clone();
        let text = |text: &str| Value::new(None, ValueKind::String(text.to_owned()));
        values.insert("name".into(), text(name));
        values.insert("secret".into(), text(secret));
        values.remove("master_secret");
        if let Some(master) = master_secret {
            values.insert("master_secret".into(), text(master));
        }
        for (key, value) in overrides {
            values.insert((*key).to_owned(), of_tag(key, value));
        }
        values
    }

    /// The `[[rotation]]` of a secret in TOML.
    ///
    /// # Errors
    /// A value that TOML cannot express.
    pub(in crate::config) fn export(
        &self,
        name: &str,
        secret: &str,
        master_secret: Option<&str>,
        overrides: &BTreeMap<&str, &str>,
    ) -> Result<String, String> {
        let mut values = self.values(name, secret, master_secret, overrides);
        if overrides.contains_key("paused") {
            let paused = self
                .rotation(name, secret, master_secret, overrides)?
                .paused;
            values.insert(
                "paused".into(),
                Value::new(None, ValueKind::Boolean(paused)),
            );
        }
        let mut keys: Vec<&String> = values.keys().collect();
        // In the order in which the keys are documented; `name` and `secret` come first.
        keys.sort_by_key(|key| rotation::KEYS.iter().position(|known| known == key));
        let mut text = String::from("[[rotation]]\n");
        for key in keys {
            if let Some(value) = values.get(key) {
                text += &format!("{key} = {}\n", toml(value)?);
            }
        }
        Ok(text)
    }
}

/// The value of a tag. A list in a tag is separated by spaces, because AWS allows no commas in tags;
/// a schedule may be without its parentheses for the same reason.
fn of_tag(key: &str, value: &str) -> Value {
    let origin = Some(format!("twinkey:{key}"));
    let parts = || value.split([' ', ',']).filter(|part| !part.is_empty());
    // A text that is not `rds` is refused: no host at all, or `rds` among hosts.
    let is_text = || {
        let is_rds = |part: &str| part.eq_ignore_ascii_case("rds");
        parts().next().is_none() || parts().any(is_rds)
    };
    let kind = match key {
        "readers" if !is_text() => {
            let hosts = parts().map(|part| Value::new(None, ValueKind::String(part.to_owned())));
            ValueKind::Array(hosts.collect())
        }
        "schedule" => ValueKind::String(match value.split_once(' ') {
            Some((kind @ ("rate" | "cron"), rest)) => format!("{kind}({})", rest.trim()),
            _ => value.to_owned(),
        }),
        _ => ValueKind::String(value.to_owned()),
    };
    Value::new(origin.as_ref(), kind)
}

/// A value in TOML, on one line.
fn toml(value: &Value) -> Result<String, String> {
    Ok(match &value.kind {
        ValueKind::Boolean(value) => value.to_string(),
        ValueKind::I64(value) => value.to_string(),
        ValueKind::U64(value) => value.to_string(),
        // A JSON string is a basic string of TOML, but for DEL.
        ValueKind::String(text) => serde_json::Value::from(text.as_str())
            .to_string()
            .replace('\u{7f}', "\\u007f"),
        ValueKind::Array(items) => {
            let items: Result<Vec<String>, String> = items.iter().map(toml).collect();
            format!("[{}]", items?.join(", "))
        }
        ValueKind::Table(values) => {
            let mut keys: Vec<&String> = values.keys().collect();
            keys.sort();
            let mut parts = Vec::new();
            for key in keys {
                if let Some(value) = values.get(key) {
                    let key = serde_json::Value::from(key.as_str());
                    parts.push(format!("{key} = {}", toml(value)?));
                }
            }
            format!("{{ {} }}", parts.join(", "))
        }
        _ => return Err("a value is no text, number, boolean, list or table".into()),
    })
}
