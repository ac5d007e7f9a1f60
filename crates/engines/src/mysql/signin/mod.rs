//! Sign-in at a MySQL or MariaDB server, in front of the driver.
//!
//! The driver sends the password itself over any TLS, answers any number of requests, and allocates
//! what the server announces. It has no `client_ed25519`, and accepts no stream. Therefore this
//! module connects to the server and signs in. The driver then connects to an abstract Unix socket
//! of this process, without a password, and the session is relayed.
//!
//! # Failure modes
//! - A connection is weaker than configured. Without TLS on the server the connection is closed
//!   before anything is sent. Of the clear text only the server's capabilities and its nonce are
//!   used.
//! - A server obtains the password. Only verified TLS (verify-full, verify-ca) permits to send it,
//!   and only for `caching_sha2_password` and `sha256_password`. No password is encrypted with an
//!   RSA key of the server. `mysql_clear_password`, `mysql_old_password` and every other method get
//!   no answer.
//! - The password is not tested. OK counts only after an answer to a request.
//! - A server truncates a name at a NUL, and it is another user's: such names are refused.
//! - A server requests a file (LOCAL INFILE). No file is offered, and the request ends the session.
//! - A server stops the worker. Requests, packets and answers have limits.
//! - `init_connect` opens a transaction, locks tables or sets variables. A master's session is reset
//!   before its first statement. If `init_connect` fails, the error names it.
//! - Another process connects to the socket. Only a connection of this process is relayed.
//! - A relay outlives its connection. It ends with either of its two sides.

mod authentication;
mod failure;
mod finding;
mod handshake;
mod relay;
#[cfg(test)]
mod tests;
mod wire;

use std::net::IpAddr;

use tokio_rustls::TlsConnector;
use twinkey_core::secret::Sensitive;

pub(super) use self::handshake::sign_in;
pub(super) use self::relay::{LIMIT_EXCEEDED, Relay};
use crate::TlsMode;

/// The server and the credentials of a sign-in.
#[derive(Clone)]
pub(super) struct Login {
    /// A name or address; or the path of a Unix socket.
    pub host: String,
    /// See [`crate::Target::address`].
    pub address: Option<IpAddr>,
    pub port: u16,
    pub user: String,
    pub password: Sensitive,
    pub database: Option<String>,
    pub mode: TlsMode,
    /// `None`: plain text.
    pub connector: Option<TlsConnector>,
    /// A master's session is reset after the sign-in.
    pub master: bool,
}

impl Login {
    fn has_verified_tls(&self) -> bool {
        matches!(self.mode, TlsMode::VerifyFull | TlsMode::VerifyCa)
    }

    /// Whether a name has a NUL, at which the protocol would truncate it without an error.
    pub(super) fn has_nul(&self) -> bool {
        let database = self.database.as_deref().unwrap_or_default();
        self.user.contains('\0') || database.contains('\0')
    }
}
