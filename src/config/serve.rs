//! `secrets.serve`: where applications reach the embedded store.
//!
//! What can go wrong: secrets travel in clear from one machine to another. Without a certificate, only loopback
//! is listened to.

use std::net::{Ipv4Addr, SocketAddr};

use super::raw::Table;
use super::rotation::Folder;
use super::sections::server_tls;
use super::settings::Serve;

const PORT: u16 = 8322;

/// `None`, where it is absent, and, with errors in the table, where something is wrong.
pub(super) fn serve(secrets: &Table<'_>, folder: Folder<'_>) -> Option<Serve> {
    let table = secrets.table("serve", "secrets.serve")?;
    let listen = match table.text("listen") {
        None if table.has("listen") => return None,
        None => SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)),
        Some(text) => text
            .parse()
            .map_err(|_| {
                table.error(
                    "listen",
                    format!("{text:?} is not an IP address and port, such as \"127.0.0.1:{PORT}\""),
                );
            })
            .ok()?,
    };
    // The keys are those of `server.tls`.
    let tls = match table.table("tls", "server.tls") {
        Some(tls) => Some(server_tls(&tls, folder)?),
        None if table.has("tls") => return None,
        None => None,
    };
    if tls.is_none() && !listen.ip().is_loopback() {
        table.error(
            "tls",
            format!("is missing: {listen} can be reached from other machines, and secrets must not travel in clear"),
        );
        return None;
    }
    Some(Serve {
        listen,
        keys_file: folder.join(table.text("keys_file").unwrap_or("keys.toml")),
        tls,
    })
}
