//! Connections to MySQL and MariaDB, and the meaning of their errors.
//!
//! # Failure modes
//! - A connection is weaker than configured: it uses one of four TLS modes, and none falls back.
//! - A server obtains more than a proof of the password, or stops the worker: `signin` connects and
//!   signs in, and the driver has neither the address nor the password.
//! - The server's settings decide how the master's session behaves: see `session.rs`.
//! - An admin connection goes through a pooler: see `proxy.rs`.
//! - A log or an error shows a statement with a password: the driver's statement log is disabled,
//!   and errors about such a statement repeat only server messages that cannot quote it.
//! - A host does not answer, or a lock is held: connecting, each statement and each lock have a
//!   time limit.

use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use super::session;
use super::signin::{self, LIMIT_EXCEEDED, Login, Relay};
use crate::error::TlsRemedy;
use crate::tls::connector::connector;
use crate::{Credentials, EngineError, Target, proxy, timeouts};

const DEFAULT_PORT: u16 = 3306;
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// More than a session needs. Closing a statement has no answer, so the driver's next packet would
/// wait 40 ms for its acknowledgement (Nagle's algorithm with delayed acknowledgements).
const CACHED_STATEMENTS: usize = 64;
/// For one statement, besides the server's own limit.
const STATEMENT_LIMIT: Duration = Duration::from_secs(30);

/// Address and credentials of a connection. Opens connections and explains their errors.
#[derive(Clone)]
pub(super) struct Connector {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub login: Login,
}

impl Connector {
    /// For a user of the pair: the secret's fields, without session settings.
    pub(super) fn new(target: &Target, who: &Credentials) -> Result<Self, EngineError> {
        let port = target.port.unwrap_or(DEFAULT_PORT);
        Ok(Self {
            host: target.host.clone(),
            port,
            user: who.username.clone(),
            login: Login {
                host: target.host.clone(),
                address: target.address,
                port,
                user: who.username.clone(),
                password: who.password.clone(),
                database: target.dbname.clone(),
                mode: target.tls.mode,
                connector: connector(&target.tls)?,
                master: false,
            },
        })
    }

    /// For the master: not through a proxy, with settings of its own, and without a database, which
    /// it may have no access to.
    pub(super) fn admin(target: &Target, master: &Credentials) -> Result<Self, EngineError> {
        let mut connector = Self::new(target, master)?;
        proxy::refuse(&connector.host, connector.port)?;
        connector.login.database = None;
        connector.login.master = true;
        Ok(connector)
    }

    /// As [`Connector::connect_with_number`].
    pub(super) async fn connect(&self) -> Result<MySqlConnection, EngineError> {
        Ok(self.connect_with_number().await?.0)
    }

    /// Signs in. A master's session then is one of the database itself, without a setting of the server
    /// that changes a statement. Returns the lower 32 bits of the session's number in the greeting.
    pub(super) async fn connect_with_number(&self) -> Result<(MySqlConnection, u32), EngineError> {
        let Ok(opened) = tokio::time::timeout(CONNECT_LIMIT, self.open()).await else {
            return Err(self.unreachable(format!(
                "no answer within {} seconds",
                CONNECT_LIMIT.as_secs()
            )));
        };
        let (mut connection, number) = opened?;
        if self.login.master {
            let own = timeouts::statement(session::prepare(&mut connection))
                .await
                .map_err(|error| self.explain("preparing the master's session", false, error))?;
            if session::is_other(own, number) {
                return Err(self.pooler(proxy::OTHER_SESSION.into()));
            }
        }
        Ok((connection, number))
    }

    async fn open(&self) -> Result<(MySqlConnection, u32), EngineError> {
        if self.login.has_nul() {
            return Err(EngineError::Refused {
                what: "the sign-in".into(),
                reason: "the user name or dbname holds a NUL character".into(),
                hint: "set them to a user and a schema of this server".into(),
            });
        }
        let session = signin::sign_in(&self.login)
            .await
            .map_err(|failure| failure.explain(self))?;
        let number = session.number;
        let relay = Relay::start(session)?;
        let options = MySqlConnectOptions::new()
            .socket(&relay.socket)
            .statement_cache_capacity(CACHED_STATEMENTS)
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .timezone(None)
            .set_names(false)
            .ssl_mode(MySqlSslMode::Disabled)
            .disable_statement_logging();
        let connection = MySqlConnection::connect_with(&options)
            .await
            .map_err(|error| self.explain("the sign-in", false, error))?;
        relay.finish();
        Ok((connection, number))
    }

    /// Executes one statement; `secret`: it holds a password.
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

    pub(super) fn pooler(&self, reason: String) -> EngineError {
        EngineError::Pooler {
            host: self.host.clone(),
            port: self.port,
            reason,
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
            remedy: TlsRemedy::Verify,
        }
    }

    /// `method`: the server's default method to sign in.
    pub(super) fn no_tls(&self, method: &str) -> EngineError {
        EngineError::Tls {
            host: self.host.clone(),
            port: self.port,
            reason: "the server does not support TLS".into(),
            remedy: if method == "caching_sha2_password" {
                TlsRemedy::SwitchOnForSignIn
            } else {
                TlsRemedy::SwitchOn
            },
        }
    }

    /// A sign-in that the server permits with TLS only, or this worker with verified TLS only.
    pub(super) fn tls_required(&self, reason: impl Into<String>) -> EngineError {
        EngineError::TlsRequired {
            host: self.host.clone(),
            port: self.port,
            reason: reason.into(),
        }
    }

    /// The engine's error for a refused sign-in, by the server's error number (MySQL's error
    /// reference; MariaDB, "Error Codes").
    pub(super) fn answer_to_sign_in(&self, number: u16, reason: String) -> EngineError {
        match number {
            _ if self.login.master && reason.contains("ProxySQL Error") => {
                self.pooler(format!("it refused the sign-in itself: {reason}"))
            }
            // Access denied; locked (MySQL, MariaDB); expired; blocked after failures; no account
            // for this host.
            1045 | 1698 | 3118 | 4151 | 1862 | 1820 | 3955 | 1130 => self.sign_in_refused(reason),
            1044 => EngineError::Refused {
                what: "opening the database of the secret".into(),
                reason,
                hint: format!(
                    "correct dbname in the secret, create that database if it is missing, or grant {:?} a privilege on it",
                    self.user
                ),
            },
            1049 => EngineError::Refused {
                what: "opening the database of the secret".into(),
                reason,
                hint: "create that database, or correct dbname in the secret".into(),
            },
            1524 => EngineError::Refused {
                what: format!("the sign-in of {:?}", self.user),
                reason,
                hint: "load that plugin on the server (ed25519: INSTALL SONAME 'auth_ed25519'), or give the user another method".into(),
            },
            3159 => self.tls_required(reason),
            _ if reason.contains("insecure transport") => self.tls_required(reason),
            1040 | 1203 | 1226 | 1129 => self.limited(number, reason),
            // Shutting down.
            1053 => self.unreachable(reason),
            _ => self.answer("the sign-in", number, reason),
        }
    }

    /// A limit of connections, of the server or of this user; or a blocked host.
    fn limited(&self, number: u16, reason: String) -> EngineError {
        let user = &self.user;
        let hint = match number {
            1040 => "close connections, or raise max_connections of the server".to_owned(),
            1129 => "find out what fails to connect from this host, then run FLUSH HOSTS (MariaDB) or TRUNCATE TABLE performance_schema.host_cache (MySQL)".to_owned(),
            _ => format!(
                "close connections of {user:?}, or raise the limit that the server names: max_user_connections, or ALTER USER … WITH MAX_USER_CONNECTIONS … or MAX_CONNECTIONS_PER_HOUR …"
            ),
        };
        EngineError::Limit {
            host: self.host.clone(),
            port: self.port,
            user: user.clone(),
            reason,
            hint,
        }
    }

    /// The engine's error for `error`; `secret`: the statement held a password.
    pub(super) fn explain(&self, what: &str, secret: bool, error: sqlx::Error) -> EngineError {
        match error {
            sqlx::Error::Database(error) => {
                let (number, message) = number_and_message(&*error);
                let reason = if secret && number != LIMIT_EXCEEDED && !quotes_no_statement(number) {
                    format!("error {number}")
                } else {
                    message
                };
                self.answer(what, number, reason)
            }
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
                hint: "check which server listens there: MySQL and MariaDB give no such answer"
                    .into(),
            },
        }
    }

    /// The engine's error for a failed statement, by the server's error number.
    pub(super) fn answer(&self, what: &str, number: u16, reason: String) -> EngineError {
        let what = what.to_owned();
        match number {
            // An expired password permits a sign-in and no statement (MariaDB).
            1820 => self.sign_in_refused(reason),
            // Lock wait; deadlock; statement time (MariaDB, MySQL); interrupted.
            1205 | 1213 | 1969 | 3024 | 1317 => EngineError::Busy { what, reason },
            // The error of the first statement after a sign-in.
            1184 if reason.contains("init_connect") => EngineError::Refused {
                what,
                reason,
                hint: format!(
                    "correct init_connect on the server, or grant {:?} CONNECTION ADMIN (MySQL: CONNECTION_ADMIN) ON *.*: the server executes init_connect for users without it",
                    self.user
                ),
            },
            // Shutdown, killed, cut off.
            1053 | 1077..=1079 | 1152 | 1158..=1161 | 1184 | 1927 => self.unreachable(reason),
            LIMIT_EXCEEDED => EngineError::Refused {
                what,
                reason,
                hint: format!(
                    "let the statements of `probe` return fewer or shorter rows, and load no local file; if there are none, check which server listens at {}:{}",
                    self.host, self.port
                ),
            },
            1290 if reason.contains("strict-password-validation") => EngineError::Refused {
                what,
                reason,
                hint: "SET GLOBAL strict_password_validation = OFF (on RDS, set it in the DB parameter group): with it on, MariaDB accepts clear passwords only, which twinkey never sends".into(),
            },
            1290 | 1792 | 1836 => EngineError::Refused {
                what,
                reason,
                hint: "use the writer's endpoint: this host is a reader".into(),
            },
            4006 => EngineError::Refused {
                what,
                reason,
                hint: format!(
                    "grant {:?} SET_USER_ID (from MySQL 8.4 on: ALLOW_NONEXISTENT_DEFINER), or give the objects that name this account another DEFINER",
                    self.user
                ),
            },
            1044 | 1045 | 1142 | 1143 | 1227 | 1370 | 1396 | 1410 => EngineError::Refused {
                what,
                reason,
                hint: format!(
                    "run `twinkey check`, which lists the privileges that {:?} lacks, each with the statement that grants it",
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

/// Whether the message of this error quotes only names of users and options from the statement.
fn quotes_no_statement(number: u16) -> bool {
    matches!(
        number,
        1044 | 1045 | 1142 | 1227 | 1290 | 1396 | 1819 | 1205 | 1969 | 3024 | 1317
    )
}

pub(super) fn number_and_message(
    error: &(dyn sqlx::error::DatabaseError + 'static),
) -> (u16, String) {
    let number = error
        .try_downcast_ref::<MySqlDatabaseError>()
        .map_or(0, MySqlDatabaseError::number);
    (number, error.message().to_owned())
}
