//! References to files, variables and certificates, which several sections read.

use std::path::{Path, PathBuf};

use crate::config::settings::TokenSource;
use crate::config::table::Table;
use twinkey_stores::listener::ServerTls;

/// The keys of `tls` in `[server]` and `secrets.serve`.
pub(super) const TLS_KEYS: &[&str] = &["cert", "key"];

/// The folder of the config file, the base of relative paths.
#[derive(Clone, Copy)]
pub(in crate::config) struct Folder<'a>(pub &'a Path);

impl Folder<'_> {
    pub(super) fn join(self, path: &str) -> PathBuf {
        self.0.join(path)
    }
}

/// A certificate and its key.
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

/// A reference to a token or key; the config does not contain the value itself.
pub(super) fn token_source(
    table: &Table<'_>,
    key: &str,
    text: &str,
    folder: Folder<'_>,
) -> Option<TokenSource> {
    match text.split_once(':') {
        Some(("env", name)) if !name.is_empty() => Some(TokenSource::Env(name.to_owned())),
        Some(("file", path)) if !path.is_empty() => Some(TokenSource::File(folder.join(path))),
        _ => {
            // The value is not quoted, because it may be the secret itself.
            let noun = if key == "admin_token" { "token" } else { key };
            table.error(
                key,
                format!("must be \"env:NAME\" or \"file:PATH\": the config must not contain the {noun} itself"),
            );
            None
        }
    }
}
