//! Connections, and what their failures mean.
//!
//! What can go wrong, and what prevents it:
//! - a weaker connection than asked for: the mode is one of four, none of which falls back, and a
//!   password never leaves in clear: the driver answers no server that asks for it so;
//! - an admin connection through RDS Proxy, which holds sessions back and pins them: its host names
//!   are refused before any connection;
//! - a statement in our log or in an error: the driver's statement log is off, and of the server's
//!   words about a statement with a password only those are repeated that cannot quote it;
//! - statements mean something else under the server's `sql_mode`: the master's session sets its own;
//! - a hanging host, or a lock: connecting has a limit, and so has each statement and each lock.

use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use super::dialect::Dialect;
use crate::{Credentials, EngineError, Target, TlsMode, proxy, tls};

const DEFAULT_PORT: u16 = 3306;
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// More than a session of ours ever has: closing one takes no answer, and the driver's next packet then
/// waits 40 ms for the acknowledgement of it (Nagle's algorithm against delayed ones).
const STATEMENTS: usize = 64;
/// What the driver says to a server that asks for the signature of MariaDB's ed25519.
const UNKNOWN_TO_THE_DRIVER: &str = "unknown authentication plugin: client_ed25519";
/// Why the driver cannot sign a user in that `ed25519.rs` can.
const ED25519: &str = "this user signs in with MariaDB's ed25519";
/// For one statement, beside what the server itself is told.
const STATEMENT_LIMIT: Duration = Duration::from_secs(30);

/// A server and who signs in there: what errors name.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub host: String,
    pub port: u16,
    pub user: String,
    options: MySqlConnectOptions,
}

impl Peer {
    /// For the pair's users: exactly the secret's fields, and nothing set in the session.
    pub(super) fn new(target: &Target, who: &Credentials) -> Result<Self, EngineError> {
        let port = target.port.unwrap_or(DEFAULT_PORT);
        let mut options = MySqlConnectOptions::new()
            .host(&target.host)
            .port(port)
            .username(&who.username)
            .password(who.password.expose_secret())
            .statement_cache_capacity(STATEMENTS)
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .timezone(None)
            .set_names(false)
            .ssl_mode(match target.tls.mode {
                TlsMode::VerifyFull => MySqlSslMode::VerifyIdentity,
                TlsMode::VerifyCa => MySqlSslMode::VerifyCa,
                TlsMode::Require => MySqlSslMode::Required,
                TlsMode::Disable => MySqlSslMode::Disabled,
            })
            .disable_statement_logging();
        if let Some(database) = &target.dbname {
            options = options.database(database);
        }
        if matches!(target.tls.mode, TlsMode::VerifyFull | TlsMode::VerifyCa) {
            options = options.ssl_ca_from_pem(tls::roots_pem(target.tls.ca_file.as_deref())?);
        }
        Ok(Self {
            host: target.host.clone(),
            port,
            user: who.username.clone(),
            options,
        })
    }

    /// For the master: never through a proxy, and in no database (it need not be let into one).
    pub(super) fn admin(target: &Target, master: &Credentials) -> Result<Self, EngineError> {
        proxy::refuse(&target.host)?;
        let target = Target {
            dbname: None,
            ..target.clone()
        };
        Self::new(&target, master)
    }

    pub(super) async fn connect(&self) -> Result<MySqlConnection, EngineError> {
        let connect = MySqlConnection::connect_with(&self.options);
        match tokio::time::timeout(CONNECT_LIMIT, connect).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(self.explain_sign_in(error)),
            Err(_) => Err(self.unreachable(format!(
                "no answer within {} seconds",
                CONNECT_LIMIT.as_secs()
            ))),
        }
    }

    /// Makes the master's session one in which statements mean what they say, and wait for nothing long.
    pub(super) async fn settle(
        &self,
        connection: &mut MySqlConnection,
        dialect: &Dialect,
    ) -> Result<(), EngineError> {
        let limit = if dialect.is_mariadb() {
            "max_statement_time = 30"
        } else {
            "max_execution_time = 30000"
        };
        let text = format!(
            "SET NAMES utf8mb4, SESSION sql_mode = 'NO_BACKSLASH_ESCAPES', lock_wait_timeout = 2, innodb_lock_wait_timeout = 2, {limit}"
        );
        self.run(connection, "preparing the master's session", text, false)
            .await
    }

    /// Carries out one statement; `secret`: it holds a password.
    pub(super) async fn run(
        &self,
        connection: &mut MySqlConnection,
        what: &str,
        statement: String,
        secret: bool,
    ) -> Result<(), EngineError> {
        let work = sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection);
        match tokio::time::timeout(STATEMENT_LIMIT, work).await {
            Ok(done) => done
                .map(drop)
                .map_err(|error| self.explain(what, secret, error)),
            Err(_) => Err(EngineError::Busy {
                what: what.to_owned(),
                reason: format!("no answer within {} seconds", STATEMENT_LIMIT.as_secs()),
            }),
        }
    }

    pub(super) fn unreachable(&self, reason: impl Into<String>) -> EngineError {
        EngineError::Unreachable {
            host: self.host.clone(),
            port: self.port,
            reason: reason.into(),
        }
    }

    pub(super) fn sign_in_refused(&self, reason: impl Into<String>) -> EngineError {
        EngineError::SignIn {
            host: self.host.clone(),
            port: self.port,
            user: self.user.clone(),
            reason: reason.into(),
        }
    }

    pub(super) fn tls(&self, reason: impl Into<String>) -> EngineError {
        EngineError::Tls {
            host: self.host.clone(),
            port: self.port,
            reason: reason.into(),
        }
    }

    /// What the server's answer to a sign-in means, by its number (MySQL's error reference; MariaDB,
    /// "Error Codes").
    pub(super) fn answer_to_sign_in(&self, number: u16, reason: String) -> EngineError {
        match number {
            // Access denied; locked (MySQL, MariaDB); expired; blocked after failures; no account for this host.
            1045 | 1698 | 3118 | 4151 | 1862 | 1820 | 3955 | 1130 => self.sign_in_refused(reason),
            1044 | 1049 => EngineError::Refused {
                what: "opening the database of the secret".into(),
                reason,
                hint: "make dbname in the secret the name of a schema on this server that the user may use".into(),
            },
            3159 => self.tls(reason),
            _ if reason.contains("insecure transport") => self.tls(reason),
            // Too many connections, of all or of this user; blocked host; shutting down.
            1040 | 1203 | 1226 | 1129 | 1053 => self.unreachable(reason),
            _ => self.answer("the sign-in", number, reason),
        }
    }

    fn explain_sign_in(&self, error: sqlx::Error) -> EngineError {
        match error {
            sqlx::Error::Database(error) => {
                let (number, message) = number_and_message(&*error);
                self.answer_to_sign_in(number, message)
            }
            // The one thing that the driver would need a library for and goes without.
            sqlx::Error::Configuration(_) => self.tls(
                "after a change of password caching_sha2_password takes the first sign-in over TLS only",
            ),
            sqlx::Error::Protocol(said) if said.contains(UNKNOWN_TO_THE_DRIVER) => {
                EngineError::Refused {
                    what: "the sign-in".into(),
                    reason: ED25519.into(),
                    hint: "the pair may sign in so, the master may not: give it mysql_native_password"
                        .into(),
                }
            }
            error => self.explain("the sign-in", false, error),
        }
    }

    /// What `error` means; `secret`: the statement held a password.
    pub(super) fn explain(&self, what: &str, secret: bool, error: sqlx::Error) -> EngineError {
        match error {
            sqlx::Error::Database(error) => {
                let (number, message) = number_and_message(&*error);
                let reason = if secret && !quotes_no_statement(number) {
                    format!("error {number}")
                } else {
                    message
                };
                self.answer(what, number, reason)
            }
            sqlx::Error::Tls(error) => self.tls(error.to_string()),
            sqlx::Error::Io(error) => {
                let inner = error.get_ref();
                if inner.is_some_and(|inner| inner.is::<rustls::Error>()) {
                    self.tls(error.to_string())
                } else {
                    self.unreachable(error.to_string())
                }
            }
            error => EngineError::Refused {
                what: what.to_owned(),
                reason: error.to_string(),
                hint: "this is not an answer that MySQL or MariaDB gives: see what listens there"
                    .into(),
            },
        }
    }

    /// What the server's answer to a statement means, by its number.
    pub(super) fn answer(&self, what: &str, number: u16, reason: String) -> EngineError {
        let what = what.to_owned();
        match number {
            // Lock wait; deadlock; statement time (MariaDB, MySQL); interrupted.
            1205 | 1213 | 1969 | 3024 | 1317 => EngineError::Busy { what, reason },
            // Shutdown, killed, cut off.
            1053 | 1077..=1079 | 1152 | 1158..=1161 | 1184 | 1927 => self.unreachable(reason),
            1290 if reason.contains("strict-password-validation") => EngineError::Refused {
                what,
                reason,
                hint: "SET GLOBAL strict_password_validation = OFF: with it on, MariaDB takes passwords in clear only, which twinkey never sends".into(),
            },
            1290 | 1792 | 1836 => EngineError::Refused {
                what,
                reason,
                hint: "this host is a reader: give the writer's endpoint".into(),
            },
            1044 | 1045 | 1142 | 1143 | 1227 | 1370 | 1396 | 1410 => EngineError::Refused {
                what,
                reason,
                hint: format!(
                    "`twinkey check` lists what {:?} lacks, each with the statement that mends it",
                    self.user
                ),
            },
            _ => EngineError::Refused {
                what,
                reason,
                hint: format!("look up error {number} in the server's manual, and see its error log"),
            },
        }
    }
}

/// Whether the message of this error can hold nothing of the statement but names of users and options.
fn quotes_no_statement(number: u16) -> bool {
    matches!(
        number,
        1044 | 1045 | 1142 | 1227 | 1290 | 1396 | 1819 | 1205 | 1969 | 3024 | 1317
    )
}

/// Whether the sign-in failed only because the driver does not know MariaDB's ed25519.
pub(super) fn needs_ed25519(error: &EngineError) -> bool {
    matches!(error, EngineError::Refused { reason, .. } if reason == ED25519)
}

fn number_and_message(error: &(dyn sqlx::error::DatabaseError + 'static)) -> (u16, String) {
    let number = error
        .try_downcast_ref::<MySqlDatabaseError>()
        .map_or(0, MySqlDatabaseError::number);
    (number, error.message().to_owned())
}
