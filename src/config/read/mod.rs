//! Readers of the sections. Each reader registers its keys, reads them and reports what is not valid.

mod hook;
mod journal;
mod notify;
mod redshift;
mod references;
mod rotation;
mod secrets;
mod serve;
mod server;
mod token;

use std::collections::BTreeMap;

pub(super) use references::Folder;
pub(super) use server::server;

use super::settings::{Limits, Rotation, Settings};
use super::table::Table;
use rotation::RawRotation;

/// The keys of the top level.
pub(super) const KEYS: &[&str] = &[
    "server", "token", "journal", "secrets", "limits", "notify", "hook", "defaults", "rotation",
];

const LIMITS_KEYS: &[&str] = &["concurrency", "per_host", "store_writes_per_second"];
const MAX_LIMIT: u32 = 1_000_000;

/// All settings; `None`, or errors in the table, if they are not valid.
pub(super) fn settings(root: &Table<'_>, folder: Folder<'_>) -> Option<Settings> {
    let server = server(root, folder);
    let journal = journal::journal(root, folder);
    let secrets = match (root.table("secrets", secrets::KEYS), root.has("secrets")) {
        (Some(table), _) => secrets::secrets(&table, folder),
        (None, true) => None,
        (None, false) => {
            root.error("secrets.backend", "is missing: \"aws\" or \"local\"");
            None
        }
    };
    let limits = limits(root.table("limits", LIMITS_KEYS).as_ref());
    let notify = notify::notify(root, folder);
    let rotations = rotations(root, folder);
    let hooks = hook::hooks(root, folder);
    Some(Settings {
        server: server?,
        journal: journal?,
        secrets: secrets?,
        limits,
        notify,
        hooks,
        rotations,
    })
}

fn limits(table: Option<&Table<'_>>) -> Limits {
    let number = |key, default| {
        table
            .and_then(|table| table.number(key, 1, MAX_LIMIT))
            .unwrap_or(default)
    };
    Limits {
        concurrency: number("concurrency", 16) as usize,
        per_host: number("per_host", 4) as usize,
        store_writes_per_second: number("store_writes_per_second", 40),
    }
}

fn rotations(root: &Table<'_>, folder: Folder<'_>) -> Vec<Rotation> {
    let defaults = root
        .table("defaults", rotation::KEYS)
        .map(|table| RawRotation::defaults(&table, folder))
        .unwrap_or_default();
    let mut names = BTreeMap::new();
    let mut secrets = BTreeMap::new();
    let mut rotations = Vec::new();
    for (n, table) in root.tables("rotation", rotation::KEYS).iter().enumerate() {
        let raw = RawRotation::rotation(table, folder);
        let taken = |seen: &mut BTreeMap<String, usize>, text: &Option<String>| {
            text.as_ref()
                .and_then(|text| seen.insert(text.clone(), n + 1))
        };
        if let Some(other) = taken(&mut names, &raw.name) {
            table.error("name", format!("is already the name of rotation #{other}"));
        }
        if let Some(other) = taken(&mut secrets, &raw.secret) {
            table.error("secret", format!("is already rotated by rotation #{other}"));
        }
        rotations.extend(raw.validate(&defaults, table));
    }
    rotations
}

/// Every table with its keys, for the test of the reference config.
#[cfg(test)]
pub(super) fn registered_keys() -> Vec<(&'static str, &'static [&'static str])> {
    vec![
        ("", KEYS),
        ("server", server::KEYS),
        ("server.tls", references::TLS_KEYS),
        ("token", token::KEYS),
        ("journal", journal::KEYS),
        ("secrets", secrets::KEYS),
        ("secrets.serve", serve::KEYS),
        ("limits", LIMITS_KEYS),
        ("notify", notify::KEYS),
        ("hook", hook::KEYS),
        ("rotation", rotation::KEYS),
        ("rotation.password", rotation::PASSWORD_KEYS),
        ("rotation.tls", rotation::TLS_KEYS),
        ("rotation.postgres", rotation::POSTGRES_KEYS),
        ("rotation.documentdb", rotation::DOCUMENTDB_KEYS),
        ("rotation.redshift", redshift::KEYS),
    ]
}
