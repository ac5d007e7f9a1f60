//! Reader of `[secrets]`.

use std::path::PathBuf;

use super::references::Folder;
use super::serve;
use crate::config::features;
use crate::config::settings::SecretsBackend;
use crate::config::table::Table;

pub(super) const KEYS: &[&str] = &[
    "backend",
    "region",
    "endpoint_url",
    "path",
    "key_file",
    "serve",
];

/// `[secrets]`; `None`, or errors in its table, if it is not valid.
pub(super) fn secrets(table: &Table<'_>, folder: Folder<'_>) -> Option<SecretsBackend> {
    #[derive(Clone, Copy)]
    enum Backend {
        Aws,
        Local,
    }
    if !table.has("backend") {
        table.error("backend", "is missing: \"aws\" or \"local\"");
        return None;
    }
    let backend = table.choice(
        "backend",
        &[("aws", Backend::Aws), ("local", Backend::Local)],
    )?;
    if matches!(backend, Backend::Aws) {
        features::require(table, "backend", "aws", cfg!(feature = "aws"));
    }
    let (name, others) = match backend {
        Backend::Aws => ("local", &["path", "key_file", "serve"][..]),
        Backend::Local => ("aws", &["region", "endpoint_url"][..]),
    };
    for key in others.iter().filter(|key| table.has(key)) {
        table.error(key, format!("is only for backend = {name:?}"));
    }
    let path = |key, default| -> PathBuf { folder.join(table.text(key).unwrap_or(default)) };
    Some(match backend {
        Backend::Aws => SecretsBackend::Aws {
            region: table.text("region").map(str::to_owned),
            endpoint_url: endpoint(table),
        },
        Backend::Local => SecretsBackend::Local {
            path: path("path", "secrets.db"),
            key_file: path("key_file", "secrets.key"),
            serve: serve::serve(table, folder),
        },
    })
}

pub(super) fn endpoint(table: &Table<'_>) -> Option<String> {
    let url = table.text("endpoint_url")?;
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    if rest.is_none_or(str::is_empty) {
        table.error(
            "endpoint_url",
            "must begin with http:// or https:// and name a host",
        );
    }
    Some(url.to_owned())
}
