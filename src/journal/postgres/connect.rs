//! Connections to the journal's server.
//!
//! What can go wrong, and what prevents it:
//! - a weaker connection than asked for: the mode is one of four, none of which falls back;
//! - the password in a log or an error: the driver's statement log is off, and its options, which hold the
//!   password, are never shown;
//! - many workers use up the server's connections: each keeps at most [`CONNECTIONS`], and gives back what it does
//!   not need;
//! - a statement that hangs holds a row for ever: the server ends it.

use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode};

use crate::config::settings::{JournalPassword, PostgresLocation};
use crate::engine::{TlsMode, tls};
use crate::journal::fault::Reason;

/// Of one process.
const CONNECTIONS: u32 = 8;
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(60);

/// Connects with the first call.
pub(super) fn pool(location: &PostgresLocation) -> Result<PgPool, Reason> {
    let options = PgConnectOptions::new_without_pgpass()
        .host(&location.host)
        .port(location.port)
        .username(&location.user)
        .database(&location.database)
        .application_name("twinkey journal")
        .options([
            ("statement_timeout", "10s"),
            ("lock_timeout", "5s"),
            ("idle_in_transaction_session_timeout", "20s"),
            ("default_transaction_isolation", "read committed"),
        ])
        .ssl_mode(match location.tls.mode {
            TlsMode::VerifyFull => PgSslMode::VerifyFull,
            TlsMode::VerifyCa => PgSslMode::VerifyCa,
            TlsMode::Require => PgSslMode::Require,
            TlsMode::Disable => PgSslMode::Disable,
        })
        .disable_statement_logging();
    let options = match &location.password {
        None => options,
        Some(JournalPassword::InUrl(password)) => options.password(password.expose_secret()),
        Some(JournalPassword::Source(source)) => {
            let password = source.read(1).map_err(|error| {
                Reason::Other(format!("journal.password cannot be read: {error}"))
            })?;
            options.password(password.expose_secret())
        }
    };
    let verifies = matches!(location.tls.mode, TlsMode::VerifyFull | TlsMode::VerifyCa);
    let options = if verifies {
        let roots = tls::roots_pem(location.tls.ca_file.as_deref());
        options.ssl_root_cert_from_pem(roots.map_err(|error| Reason::Other(error.to_string()))?)
    } else {
        options
    };
    Ok(PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(CONNECT_LIMIT)
        .idle_timeout(IDLE)
        .connect_lazy_with(options))
}
