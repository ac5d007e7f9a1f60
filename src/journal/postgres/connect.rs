//! Connection pools of the journal's server.
//!
//! # Failure modes
//! - A connection is weaker than configured. The TLS mode is one of four, and none falls back.
//! - The password appears in a log or an error. The driver's statement log is off, and its options,
//!   which hold the password, are never printed.
//! - Many workers exhaust the server's connections. Each worker opens at most [`CONNECTIONS`] and
//!   [`URGENT_CONNECTIONS`], and closes idle ones.
//! - Thousands of calls at the opening of a window delay the renewal of leases. Calls during a run
//!   have connections of their own.
//! - A run waits for an unavailable server until its lease ends. Calls during a run fail early.
//! - A statement hangs and keeps a row locked. The server cancels it.

use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode};

use super::URGENT_LIMIT;
use crate::config::settings::{JournalPassword, PostgresLocation};
use crate::journal::error::TransactionError;
use twinkey_engines::{TlsMode, tls};

/// Connections of one process.
const CONNECTIONS: u32 = 5;
/// Additional connections for running runs.
const URGENT_CONNECTIONS: u32 = 3;
/// Wait for a connection. The pool retries refused connections during that time.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The pool for general calls and the pool for calls during a run. They connect with the first
/// call.
pub(super) fn pools(location: &PostgresLocation) -> Result<[PgPool; 2], TransactionError> {
    let options = options(location)?;
    let pools = [
        (CONNECTIONS, ACQUIRE_TIMEOUT),
        (URGENT_CONNECTIONS, URGENT_LIMIT),
    ];
    Ok(pools.map(|(most, wait)| {
        PgPoolOptions::new()
            .max_connections(most)
            .acquire_timeout(wait)
            .idle_timeout(IDLE_TIMEOUT)
            .connect_lazy_with(options.clone())
    }))
}

fn options(location: &PostgresLocation) -> Result<PgConnectOptions, TransactionError> {
    let options = PgConnectOptions::new_without_pgpass()
        .host(&location.host)
        .port(location.port)
        .username(&location.user)
        .database(&location.database)
        .application_name("twinkey journal")
        .options([
            ("statement_timeout", "6s"),
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
                TransactionError::Other(format!("journal.password cannot be read: {error}"))
            })?;
            options.password(password.expose_secret())
        }
    };
    let verifies = matches!(location.tls.mode, TlsMode::VerifyFull | TlsMode::VerifyCa);
    if !verifies {
        return Ok(options);
    }
    let roots = tls::roots_pem(location.tls.ca_file.as_deref());
    Ok(options
        .ssl_root_cert_from_pem(roots.map_err(|error| TransactionError::Other(error.to_string()))?))
}
