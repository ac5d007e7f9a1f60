//! Readers of the sections. Each reader registers its keys, reads them and reports what is not valid.

mod discover;
mod hook;
mod journal;
mod notify;
mod references;
mod rotation;
mod secret_references;
mod secrets;
mod serve;
mod server;
mod store;
mod token;

use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) use discover::RotationTemplate;
pub(super) use references::Folder;
pub(super) use server::server;

use super::settings::{Limits, Rotation, SecretsBackend, Settings};
use super::table::Table;
use rotation::RawRotation;
use secret_references::SecretReference;
use store::Stores;

/// The keys of the top level.
pub(super) const KEYS: &[&str] = &[
    "include", "server", "token", "journal", "secrets", "limits", "store", "notify", "hook",
    "defaults", "rotation", "discover",
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
    let stores = Arc::new(Stores::read(root));
    let defaults = root
        .table("defaults", rotation::KEYS)
        .map(|table| RawRotation::defaults(&table, folder, &stores))
        .unwrap_or_default();
    let rotations = rotations(root, folder, &defaults, secrets.as_ref(), &stores);
    let discover = discover::discover(root, folder, &Arc::new(defaults), &stores);
    let hooks = hook::hooks(root, folder, &rotations);
    let (journal, keep) = journal?;
    Some(Settings {
        server: server?,
        journal,
        keep,
        secrets: secrets?,
        stores: stores.valid.clone(),
        limits,
        notify,
        hooks,
        rotations,
        discover,
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

fn rotations(
    root: &Table<'_>,
    folder: Folder<'_>,
    defaults: &RawRotation,
    backend: Option<&SecretsBackend>,
    stores: &Stores,
) -> Vec<Rotation> {
    let mut names = BTreeMap::new();
    let tables = root.tables("rotation", rotation::KEYS);
    let raws: Vec<RawRotation> = tables
        .iter()
        .map(|table| RawRotation::rotation(table, table.folder(folder), stores))
        .collect();
    let written: Vec<Option<SecretReference>> = (raws.iter())
        .map(|raw| raw.secret_reference(defaults))
        .collect();
    let duplicates = secret_references::duplicates(&written, backend);
    let mut rotations = Vec::new();
    for (n, (raw, (table, duplicate))) in raws
        .into_iter()
        .zip(tables.iter().zip(duplicates))
        .enumerate()
    {
        let name = raw.name.as_ref();
        if let Some(other) = name.and_then(|name| names.insert(name.clone(), n + 1)) {
            table.error("name", format!("is already the name of rotation #{other}"));
        }
        if let Some(other) = duplicate {
            let first = written.get(other).and_then(Option::as_ref);
            let first = first.map(|first| &first.secret);
            let first = first.filter(|first| Some(*first) != raw.secret.as_ref());
            let as_written = first.map_or_else(String::new, |text| format!(", as {text:?}"));
            let number = other + 1;
            table.error(
                "secret",
                format!("is already rotated by rotation #{number}{as_written}"),
            );
        }
        let own = written.get(n).and_then(Option::as_ref);
        if let Some(problem) = own.and_then(|own| own.contradiction(backend)) {
            table.error("secret", problem);
        }
        rotations.extend(raw.validate(defaults, table));
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
        ("store", store::KEYS),
        ("store.assume_role", store::ASSUME_ROLE_KEYS),
        ("notify", notify::KEYS),
        ("hook", hook::KEYS),
        ("rotation", rotation::KEYS),
        ("discover", discover::OWN_KEYS),
        ("rotation.password", rotation::PASSWORD_KEYS),
        ("rotation.tls", rotation::TLS_KEYS),
        ("rotation.postgres", rotation::POSTGRES_KEYS),
        ("rotation.documentdb", rotation::readers::DOCUMENTDB_KEYS),
        ("rotation.poolers", rotation::poolers::POOLER_KEYS),
        ("rotation.redshift", rotation::redshift::KEYS),
    ]
}
