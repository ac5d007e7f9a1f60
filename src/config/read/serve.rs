//! Reader of `secrets.serve`.
//!
//! # Failure modes
//! - A request makes the worker send requests elsewhere: the addresses of rotation functions are here only.
//! - Secrets cross the network in plain text: without a certificate, only loopback addresses are allowed.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use reqwest::Url;

use super::references::{Folder, TLS_KEYS, server_tls};
use crate::config::settings::Serve;
use crate::config::table::Table;

pub(super) const KEYS: &[&str] = &["listen", "keys_file", "tls", "audit_reads", "functions"];

const DEFAULT_PORT: u16 = 8322;

/// `secrets.serve`; `None` if it is absent, or, with errors in the table, not valid.
pub(super) fn serve(secrets: &Table<'_>, folder: Folder<'_>) -> Option<Serve> {
    let table = secrets.table("serve", KEYS)?;
    let listen = match table.text("listen") {
        None if table.has("listen") => return None,
        None => SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)),
        Some(text) => text
            .parse()
            .map_err(|_| {
                table.error(
                    "listen",
                    format!("{text:?} is not an IP address and port, such as \"127.0.0.1:{DEFAULT_PORT}\""),
                );
            })
            .ok()?,
    };
    let tls = match table.table("tls", TLS_KEYS) {
        Some(tls) => Some(server_tls(&tls, folder)?),
        None if table.has("tls") => return None,
        None => None,
    };
    if tls.is_none() && !listen.ip().is_loopback() {
        table.error(
            "tls",
            format!("is missing: {listen} is reachable from other machines, and secrets must not cross a network in plain text"),
        );
        return None;
    }
    Some(Serve {
        listen,
        keys_file: folder.join(table.text("keys_file").unwrap_or("keys.toml")),
        tls,
        audit_reads: table.boolean("audit_reads").unwrap_or(false),
        functions: functions(&table)?,
    })
}

/// The rotation functions; `None` with errors.
fn functions(table: &Table<'_>) -> Option<BTreeMap<String, Url>> {
    if !table.has("functions") {
        return Some(BTreeMap::new());
    }
    let function = |(arn, url): (String, String)| {
        if !arn.starts_with("arn:") {
            table.error(
                "functions",
                format!("{arn:?} is not the ARN of a function: arn:aws:lambda:REGION:ACCOUNT:function:NAME"),
            );
            return None;
        }
        let parsed = Url::parse(&url).ok().filter(Url::has_host);
        let parsed = parsed.filter(|url| matches!(url.scheme(), "http" | "https"));
        let Some(url) = parsed.filter(|url| url.username().is_empty() && url.password().is_none())
        else {
            table.error(
                "functions",
                format!(
                    "the address of {arn} is not an http:// or https:// address without a user"
                ),
            );
            return None;
        };
        Some((arn, url))
    };
    // Each mistake is reported, not only the first.
    let functions: Vec<_> = table
        .text_map("functions")?
        .into_iter()
        .map(function)
        .collect();
    functions.into_iter().collect()
}
