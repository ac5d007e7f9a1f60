//! Settings of `[journal]`.

use std::fmt;
use std::path::PathBuf;

use super::TokenSource;
use twinkey_core::secret::Sensitive;
use twinkey_engines::Tls;

/// `[journal]`
#[derive(Debug, Clone)]
pub enum JournalLocation {
    /// `sqlite://PATH`
    Sqlite(PathBuf),
    /// `postgres://…`
    Postgres(PostgresLocation),
}

/// A PostgreSQL database with its sign-in; displayed without user and password.
#[derive(Debug, Clone)]
pub struct PostgresLocation {
    /// A host name, an address, or the folder of a Unix socket.
    pub host: String,
    pub port: u16,
    pub user: String,
    /// `None` if the server requires none (peer, trust, a certificate).
    pub password: Option<JournalPassword>,
    pub database: String,
    pub tls: Tls,
}

/// The source of the password.
#[derive(Debug, Clone)]
pub enum JournalPassword {
    InUrl(Sensitive),
    /// `journal.password`
    Source(TokenSource),
}

impl fmt::Display for PostgresLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "PostgreSQL at {}:{}/{}",
            self.host, self.port, self.database
        )
    }
}
