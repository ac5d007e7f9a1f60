//! Connections to the journal's server.
//!
//! What can go wrong, and what prevents it:
//! - a weaker connection than asked for: the mode is one of four, none of which falls back;
//! - the password in a log or an error: the driver's statement log is off, and its options, which hold the
//!   password, are never shown;
//! - many workers use up the server's connections: each keeps at most [`CONNECTIONS`] and [`URGENT`], and gives
//!   back what it does not need;
//! - thousands of questions at the opening of a window keep leases from being renewed: what runs that are on have to
//!   say has connections of its own;
//! - a run waits for a server that is down until its lease is over: what runs have to say is given up soon;
//! - a statement that hangs holds a row for ever: the server ends it.

use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode};

use super::URGENT_LIMIT;
use crate::config::settings::{JournalPassword, PostgresLocation};
use crate::journal::fault::Reason;
use twinkey_engines::{TlsMode, tls};

/// Of one process.
const CONNECTIONS: u32 = 5;
/// Besides, for runs that are on.
const URGENT: u32 = 3;
/// How long a call waits for a connection; a server that refuses is asked again and again in that time.
const ACQUIRE: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(60);

/// One pool for all but runs that are on, and one for those. They connect with the first call.
pub(super) fn pools(location: &PostgresLocation) -> Result<[PgPool; 2], Reason> {
    let options = options(location)?;
    let pools = [(CONNECTIONS, ACQUIRE), (URGENT, URGENT_LIMIT)];
    Ok(pools.map(|(most, wait)| {
        PgPoolOptions::new()
            .max_connections(most)
            .acquire_timeout(wait)
            .idle_timeout(IDLE)
            .connect_lazy_with(options.clone())
    }))
}

fn options(location: &PostgresLocation) -> Result<PgConnectOptions, Reason> {
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
    if !verifies {
        return Ok(options);
    }
    let roots = tls::roots_pem(location.tls.ca_file.as_deref());
    Ok(options.ssl_root_cert_from_pem(roots.map_err(|error| Reason::Other(error.to_string()))?))
}
