//! Reader of `[server]`.

use std::net::{Ipv4Addr, SocketAddr};

use super::references::{Folder, TLS_KEYS, server_tls, token_source};
use super::token::tokens;
use crate::config::settings::{RotationSeries, Server, TokenSource};
use crate::config::table::Table;

pub(super) const KEYS: &[&str] = &[
    "listen",
    "admin_token",
    "admin_token_file",
    "tls",
    "metrics",
];

/// `[server]`; `None`, or errors in its table, if it is not valid.
pub(in crate::config) fn server(root: &Table<'_>, folder: Folder<'_>) -> Option<Server> {
    let table = root.table("server", KEYS);
    let tokens = tokens(root, folder);
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, 8321));
    let Some(table) = &table else {
        return Some(Server {
            listen: default,
            admin_token: None,
            tokens,
            tls: None,
            metrics: RotationSeries::default(),
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
            "conflicts with admin_token_file: keep one of them",
        );
        return None;
    }
    let file = table.text("admin_token_file");
    let admin_token = match (file, table.text("admin_token")) {
        (Some(path), _) => Some(TokenSource::File(folder.join(path))),
        (None, Some(text)) => Some(token_source(table, "admin_token", text, folder)?),
        (None, None) => None,
    };
    let named = ["admin_token", "admin_token_file"];
    let named = named.iter().any(|key| table.has(key)) || root.has("token");
    if admin_token.is_none() && !named && !listen.ip().is_loopback() {
        table.error(
            "admin_token_file",
            format!("is missing: {listen} is reachable from other machines"),
        );
        return None;
    }
    let tls = match table.table("tls", TLS_KEYS) {
        Some(tls) => Some(server_tls(&tls, folder)?),
        None if table.has("tls") => return None,
        None => None,
    };
    let series = [
        ("all", RotationSeries::All),
        ("problems", RotationSeries::Problems),
    ];
    Some(Server {
        metrics: table.choice("metrics", &series).unwrap_or_default(),
        listen,
        admin_token,
        tokens,
        tls,
    })
}
