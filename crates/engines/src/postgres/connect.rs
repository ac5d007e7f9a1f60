//! Connections, and what their failures mean.
//!
//! What can go wrong, and what prevents it:
//! - a weaker connection than asked for: the mode is one of four, none of which falls back;
//! - an admin connection through RDS Proxy, which holds sessions back and pins them: its host names
//!   are refused before any connection;
//! - a statement in our log or in an error: the driver's statement log is off, and of the server's
//!   words only the primary message is repeated, for a statement with a password not even that
//!   (a syntax error quotes the statement) unless it says that permission was denied;
//! - a hanging host: connecting has a limit, and so has each statement and each lock.

use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions, Connection};

use crate::{Credentials, EngineError, Target, TlsMode, proxy, tls};

const DEFAULT_PORT: u16 = 5432;
const DEFAULT_DATABASE: &str = "postgres";
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// The questions of an inspection, in two databases.
const STATEMENTS: usize = 16;
/// What our sessions call themselves in `pg_stat_activity`.
pub(super) const APPLICATION: &str = "twinkey";

/// A server and who signs in there: what errors name, and what further connections need.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub host: String,
    pub port: u16,
    pub user: String,
    options: PgConnectOptions,
}

impl Peer {
    /// For the pair's users: exactly the secret's fields, and no start-up parameter that a pooler
    /// or RDS Proxy would refuse.
    pub(crate) fn new(target: &Target, who: &Credentials) -> Result<Self, EngineError> {
        let port = target.port.unwrap_or(DEFAULT_PORT);
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(&target.host)
            .port(port)
            .username(&who.username)
            .password(who.password.expose_secret())
            .database(target.dbname.as_deref().unwrap_or(DEFAULT_DATABASE))
            .application_name(APPLICATION)
            .extra_float_digits(None)
            .statement_cache_capacity(0)
            .ssl_mode(match target.tls.mode {
                TlsMode::VerifyFull => PgSslMode::VerifyFull,
                TlsMode::VerifyCa => PgSslMode::VerifyCa,
                TlsMode::Require => PgSslMode::Require,
                TlsMode::Disable => PgSslMode::Disable,
            })
            .disable_statement_logging();
        if matches!(target.tls.mode, TlsMode::VerifyFull | TlsMode::VerifyCa) {
            options =
                options.ssl_root_cert_from_pem(tls::roots_pem(target.tls.ca_file.as_deref())?);
        }
        Ok(Self {
            host: target.host.clone(),
            port,
            user: who.username.clone(),
            options,
        })
    }

    /// For the master: never through a proxy, and never in the application's way.
    pub(super) fn admin(target: &Target, master: &Credentials) -> Result<Self, EngineError> {
        proxy::refuse(&target.host)?;
        let mut peer = Self::new(target, master)?;
        peer.options = peer.options.options([
            ("lock_timeout", "2s"),
            ("statement_timeout", "30s"),
            ("idle_in_transaction_session_timeout", "60s"),
            ("standard_conforming_strings", "on"),
            ("search_path", "pg_catalog"),
        ]);
        // What is asked of every pair is parsed once: half of what it costs.
        peer.options = peer.options.statement_cache_capacity(STATEMENTS);
        Ok(peer)
    }

    /// The same server and user, another database.
    pub(super) fn in_database(&self, database: &str) -> Self {
        Self {
            options: self.options.clone().database(database),
            ..self.clone()
        }
    }

    pub(crate) async fn connect(&self) -> Result<PgConnection, EngineError> {
        match tokio::time::timeout(CONNECT_LIMIT, PgConnection::connect_with(&self.options)).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(self.explain("the sign-in", false, error)),
            Err(_) => Err(self.unreachable(format!(
                "no answer within {} seconds",
                CONNECT_LIMIT.as_secs()
            ))),
        }
    }

    pub(crate) fn unreachable(&self, reason: impl Into<String>) -> EngineError {
        EngineError::Unreachable {
            host: self.host.clone(),
            port: self.port,
            reason: reason.into(),
        }
    }

    /// What `error` means; `secret`: the statement held a password.
    pub(crate) fn explain(&self, what: &str, secret: bool, error: sqlx::Error) -> EngineError {
        match error {
            sqlx::Error::Database(error) => {
                let code = error.code().unwrap_or_default().into_owned();
                let reason = if secret && code != "42501" {
                    format!("SQLSTATE {code}")
                } else {
                    error.message().to_owned()
                };
                self.explain_state(what, &code, reason)
            }
            sqlx::Error::Tls(error) => self.tls(error.to_string()),
            sqlx::Error::Io(error) => {
                if error
                    .get_ref()
                    .is_some_and(|inner| inner.is::<rustls::Error>())
                {
                    self.tls(error.to_string())
                } else {
                    self.unreachable(error.to_string())
                }
            }
            // SASLprep refused the user name or the password, which no server can then accept.
            sqlx::Error::Configuration(_) => self.sign_in_refused(
                "the user name or the password holds a character that SCRAM cannot carry".into(),
            ),
            error => EngineError::Refused {
                what: what.to_owned(),
                reason: error.to_string(),
                hint: "this is not an answer that PostgreSQL gives: see what listens there".into(),
            },
        }
    }

    fn explain_state(&self, what: &str, code: &str, reason: String) -> EngineError {
        let what = what.to_owned();
        match code {
            "28P01" | "28000" => self.sign_in_refused(reason),
            "55P03" | "57014" | "40P01" | "40001" => EngineError::Busy { what, reason },
            // Two sessions altered one role: the loser may try again.
            "XX000" if reason.contains("concurrently") => EngineError::Busy { what, reason },
            "53300" | "53400" | "57P01" | "57P02" | "57P03" | "57P05" => self.unreachable(reason),
            code if code.starts_with("08") => self.unreachable(reason),
            "25006" => EngineError::Refused {
                what,
                reason,
                hint: "this host is a reader: give the writer's endpoint".into(),
            },
            "3D000" => EngineError::Refused {
                what,
                reason,
                hint: "make dbname in the secret the name of a database on this server".into(),
            },
            "42501" => EngineError::Refused {
                what,
                reason,
                hint: format!(
                    "`twinkey check` lists what {} lacks, each with the statement that mends it; where rds.restrict_password_commands is on, it must be a member of rds_password to set any password",
                    super::quote::ident(&self.user)
                ),
            },
            _ => EngineError::Refused {
                what,
                reason,
                hint: format!(
                    "look up SQLSTATE {code} in the server's log and in PostgreSQL's manual, appendix A"
                ),
            },
        }
    }

    fn sign_in_refused(&self, reason: String) -> EngineError {
        EngineError::SignIn {
            host: self.host.clone(),
            port: self.port,
            user: self.user.clone(),
            reason,
        }
    }

    fn tls(&self, reason: String) -> EngineError {
        EngineError::Tls {
            host: self.host.clone(),
            port: self.port,
            reason,
        }
    }
}
