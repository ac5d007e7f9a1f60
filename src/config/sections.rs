//! The sections but for the rotations, and what is valid in them.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::hook;
use super::journal::journal;
use super::notify;
use super::raw::Table;
use super::rotation::{Folder, RawRotation};
use super::serve;
use twinkey_stores::listener::ServerTls;

use super::settings::{Limits, Rotation, SecretsBackend, Server, Settings, TokenSource};

const MOST: u32 = 1_000_000;

/// Everything. `None`, or errors in the table, where something is wrong.
pub(super) fn settings(root: &Table<'_>, folder: &Path) -> Option<Settings> {
    let folder = Folder(folder);
    let server = server(root.table("server", "server").as_ref(), folder);
    let journal = journal(root.table("journal", "journal").as_ref(), folder);
    let secrets = match (root.table("secrets", "secrets"), root.has("secrets")) {
        (Some(table), _) => secrets(&table, folder),
        (None, true) => None,
        (None, false) => {
            root.error("secrets.backend", "is missing: \"aws\" or \"local\"");
            None
        }
    };
    let limits = limits(root.table("limits", "limits").as_ref());
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

/// `[server]` alone; `None`, or errors in its table, where something is wrong.
pub(super) fn server_alone(root: &Table<'_>, folder: &Path) -> Option<Server> {
    server(root.table("server", "server").as_ref(), Folder(folder))
}

fn server(table: Option<&Table<'_>>, folder: Folder<'_>) -> Option<Server> {
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, 8321));
    let Some(table) = table else {
        return Some(Server {
            listen: default,
            admin_token: None,
            tls: None,
        });
    };
    let listen = match table.text("listen") {
        None => default,
        Some(text) => match text.parse() {
            Ok(address) => address,
            Err(_) => {
                table.error(
                    "listen",
                    format!("{text:?} is not an IP address and port, such as \"127.0.0.1:8321\""),
                );
                return None;
            }
        },
    };
    if table.has("admin_token") && table.has("admin_token_file") {
        table.error(
            "admin_token",
            "stands beside admin_token_file: keep one of them",
        );
        return None;
    }
    let file = table.text("admin_token_file");
    let admin_token = match (file, table.text("admin_token")) {
        (Some(path), _) => Some(TokenSource::File(folder.join(path))),
        (None, Some(text)) => Some(source(table, "admin_token", text, folder)?),
        (None, None) => None,
    };
    let wanted = table.has("admin_token") || table.has("admin_token_file");
    if admin_token.is_none() && !wanted && !listen.ip().is_loopback() {
        table.error(
            "admin_token_file",
            format!("is missing: {listen} can be reached from other machines"),
        );
        return None;
    }
    let tls = match table.table("tls", "server.tls") {
        Some(tls) => Some(server_tls(&tls, folder)?),
        None if table.has("tls") => return None,
        None => None,
    };
    Some(Server {
        listen,
        admin_token,
        tls,
    })
}

pub(super) fn server_tls(table: &Table<'_>, folder: Folder<'_>) -> Option<ServerTls> {
    for key in ["cert", "key"].iter().filter(|key| !table.has(key)) {
        table.error(key, "is missing: a PEM file");
    }
    let file = |key| table.text(key).map(|path| folder.join(path));
    Some(ServerTls {
        cert: file("cert")?,
        key: file("key")?,
    })
}

/// Where a token or a key is, which never stands in the config itself.
pub(super) fn source(
    table: &Table<'_>,
    key: &str,
    text: &str,
    folder: Folder<'_>,
) -> Option<TokenSource> {
    match text.split_once(':') {
        Some(("env", name)) if !name.is_empty() => Some(TokenSource::Env(name.to_owned())),
        Some(("file", path)) if !path.is_empty() => Some(TokenSource::File(folder.join(path))),
        _ => {
            // Never quoted: people put the secret itself here.
            let what = if key == "admin_token" { "token" } else { key };
            table.error(
                key,
                format!("must be \"env:NAME\" or \"file:PATH\": the {what} itself never stands in the config"),
            );
            None
        }
    }
}

fn secrets(table: &Table<'_>, folder: Folder<'_>) -> Option<SecretsBackend> {
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

fn endpoint(table: &Table<'_>) -> Option<String> {
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

fn limits(table: Option<&Table<'_>>) -> Limits {
    let number = |key, default| {
        table
            .and_then(|table| table.number(key, 1, MOST))
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
        .table("defaults", "rotation")
        .map(|table| RawRotation::defaults(&table, folder))
        .unwrap_or_default();
    let mut names = BTreeMap::new();
    let mut secrets = BTreeMap::new();
    let mut rotations = Vec::new();
    for (n, table) in root.tables("rotation", "rotation").iter().enumerate() {
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
