//! Connections to PostgreSQL, and the meaning of their errors.
//!
//! # Failure modes
//! - A connection is weaker than configured: it uses one of four TLS modes, and none falls back.
//! - An admin connection goes through RDS Proxy, which shares and pins sessions: its host names are
//!   refused before a connection is opened.
//! - A log or an error shows a statement with a password: the driver's statement log is disabled,
//!   and errors repeat only the server's primary message. A syntax error quotes its statement, so
//!   for a statement with a password even that is dropped, unless permission was denied.
//! - A host does not answer: connecting, each statement and each lock have a time limit.

use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions, Connection};

use crate::{Credentials, EngineError, Target, TlsMode, proxy, tls};

const DEFAULT_PORT: u16 = 5432;
const DEFAULT_DATABASE: &str = "postgres";
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// The queries of an inspection, in two databases.
const CACHED_STATEMENTS: usize = 16;
/// `application_name` of twinkey's own sessions.
pub(super) const APPLICATION: &str = "twinkey";

/// Address and credentials of a connection. Opens connections and explains their errors.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    pub host: String,
    pub port: u16,
    pub user: String,
    options: PgConnectOptions,
}

impl Connector {
    /// For a user of the pair: the secret's fields, without a start-up parameter that a pooler or
    /// RDS Proxy would refuse.
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

    /// For the master: not through a proxy, and with time limits that keep it from blocking an
    /// application.
    pub(super) fn admin(target: &Target, master: &Credentials) -> Result<Self, EngineError> {
        proxy::refuse(&target.host)?;
        let mut connector = Self::new(target, master)?;
        connector.options = connector.options.options([
            ("lock_timeout", "2s"),
            ("statement_timeout", "30s"),
            ("idle_in_transaction_session_timeout", "60s"),
            ("standard_conforming_strings", "on"),
            ("search_path", "pg_catalog"),
        ]);
        // Parsing is half the cost of the queries, which are the same for every pair.
        connector.options = connector
            .options
            .statement_cache_capacity(CACHED_STATEMENTS);
        Ok(connector)
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

    /// The engine's error for `error`; `secret`: the statement held a password.
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
            // SASLprep refused the user name or the password, so no server can accept it.
            sqlx::Error::Configuration(_) => self.sign_in_refused(
                "the user name or the password holds a character that SCRAM cannot carry".into(),
            ),
            error => EngineError::Refused {
                what: what.to_owned(),
                reason: error.to_string(),
                hint: "check which server listens there: PostgreSQL gives no such answer".into(),
            },
        }
    }

    fn explain_state(&self, what: &str, code: &str, reason: String) -> EngineError {
        let what = what.to_owned();
        match code {
            "28P01" | "28000" => self.sign_in_refused(reason),
            "55P03" | "57014" | "40P01" | "40001" => EngineError::Busy { what, reason },
            // Two sessions altered one role; a retry succeeds.
            "XX000" if reason.contains("concurrently") => EngineError::Busy { what, reason },
            "53300" | "53400" | "57P01" | "57P02" | "57P03" | "57P05" => self.unreachable(reason),
            code if code.starts_with("08") => self.unreachable(reason),
            "25006" => EngineError::Refused {
                what,
                reason,
                hint: "use the writer's endpoint: this host is a reader".into(),
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
                    "run `twinkey check`, which lists the privileges that {} lacks, each with the statement that grants it; where rds.restrict_password_commands is on, it must be a member of rds_password to set any password",
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
