//! Connections to PostgreSQL, and the meaning of their errors.
//!
//! # Failure modes
//! - A connection is weaker than configured: it uses one of four TLS modes, and none falls back.
//! - A server obtains more than a proof of the password, or stops the worker: `signin` connects and
//!   signs in, and the driver has neither the address nor the password.
//! - The owner of a database decides how the master's session behaves: see `session.rs`.
//! - An admin connection goes through a pooler: see `proxy.rs`. PostgreSQL writes the place in its source
//!   into each error, and a pooler into none of its own.
//! - A log or an error shows a statement with a password: the driver's statement log is disabled,
//!   and errors repeat only the server's primary message. A syntax error quotes its statement, so
//!   for a statement with a password even that is dropped, unless permission was denied.
//! - A host does not answer: connecting, each statement and each lock have a time limit.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError, PgSeverity, PgSslMode};
use sqlx::{ConnectOptions, Connection};

use super::remedies;
use super::session;
use super::signin::{LIMIT_EXCEEDED, Login, SignIn, SignInFacts};
use crate::tls::connector::connector;
use crate::{Credentials, EngineError, Target, TlsMode, proxy, rds_host, timeouts};

const DEFAULT_PORT: u16 = 5432;
const DEFAULT_DATABASE: &str = "postgres";
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// The queries of an inspection, in two databases.
const CACHED_STATEMENTS: usize = 16;
/// `application_name` of twinkey's own sessions.
pub(super) const APPLICATION: &str = "twinkey";

/// Address and credentials of a connection. Opens connections and explains their errors.
#[derive(Clone)]
pub(crate) struct Connector {
    pub host: String,
    pub port: u16,
    pub user: String,
    login: Login,
    options: PgConnectOptions,
}

impl Connector {
    /// For a user of the pair: the secret's fields, without a start-up parameter that a pooler or
    /// RDS Proxy would refuse.
    pub(crate) fn new(target: &Target, who: &Credentials) -> Result<Self, EngineError> {
        if rds_host::is_dsql(&target.host) {
            return Err(EngineError::Refused {
                what: format!("a connection to {}", target.host),
                reason: "Aurora DSQL has no passwords: it signs in with tokens".into(),
                hint: "remove this rotation from the config".into(),
            });
        }
        let port = target.port.unwrap_or(DEFAULT_PORT);
        let options = PgConnectOptions::new_without_pgpass()
            .port(port)
            .username(&who.username)
            .database(target.dbname.as_deref().unwrap_or(DEFAULT_DATABASE))
            .application_name(APPLICATION)
            .extra_float_digits(None)
            .statement_cache_capacity(0)
            .ssl_mode(PgSslMode::Disable)
            .disable_statement_logging();
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
                mode: target.tls.mode,
                connector: connector(&target.tls)?,
                master: false,
            },
            options,
        })
    }

    /// For the master: not through a proxy, and with settings of its own.
    pub(super) fn admin(target: &Target, master: &Credentials) -> Result<Self, EngineError> {
        let mut connector = Self::new(target, master)?;
        proxy::refuse(&connector.host, connector.port)?;
        connector.login.master = true;
        connector.options = connector.options.options(session::SETTINGS);
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

    /// As [`Connector::connect_with_facts`].
    pub(crate) async fn connect(&self) -> Result<PgConnection, EngineError> {
        Ok(self.connect_with_facts().await?.0)
    }

    /// Signs in. A master's session then is one of the database itself, without a setting of the
    /// database or of its role.
    pub(super) async fn connect_with_facts(
        &self,
    ) -> Result<(PgConnection, SignInFacts), EngineError> {
        let opened = match self.open(&self.options).await {
            // The limit of the database ended the sign-in. Only this server has the setting.
            Err(Failed::Driver(error)) if self.login.master && is_transaction_timeout(&error) => {
                let unlimited = [("transaction_timeout", "0")];
                self.open(&self.options.clone().options(unlimited)).await
            }
            opened => opened,
        };
        opened.map_err(|failed| match failed {
            Failed::Driver(error) => self.explain_sign_in(error),
            Failed::Engine(error) => error,
        })
    }

    async fn open(
        &self,
        options: &PgConnectOptions,
    ) -> Result<(PgConnection, SignInFacts), Failed> {
        let sign_in = tokio::time::timeout(CONNECT_LIMIT, self.sign_in(options));
        let Ok(signed_in) = sign_in.await else {
            let limit = CONNECT_LIMIT.as_secs();
            let reason = format!("no answer within {limit} seconds");
            return Err(Failed::Engine(self.unreachable(reason)));
        };
        let (mut connection, facts) = signed_in?;
        if self.login.master {
            timeouts::statement(session::prepare(&mut connection, facts.process))
                .await
                .map_err(|error| {
                    if session::is_of_pooler(&error) {
                        Failed::Engine(self.pooler(proxy::OTHER_SESSION.into()))
                    } else {
                        Failed::Driver(error)
                    }
                })?;
        }
        Ok((connection, facts))
    }

    async fn sign_in(
        &self,
        options: &PgConnectOptions,
    ) -> Result<(PgConnection, SignInFacts), Failed> {
        let sign_in = SignIn::start(self.login.clone())
            .await
            .map_err(Failed::Engine)?;
        let options = options.clone().socket(&sign_in.folder);
        match PgConnection::connect_with(&options).await {
            Ok(connection) => Ok((connection, sign_in.finish())),
            Err(error) => Err(sign_in
                .failure()
                .map_or(Failed::Driver(error), Failed::Engine)),
        }
    }

    pub(crate) fn unreachable(&self, reason: impl Into<String>) -> EngineError {
        EngineError::Unreachable {
            host: self.host.clone(),
            port: self.port,
            reason: reason.into(),
        }
    }

    /// The engine's error for a sign-in that failed. Some states have another meaning there.
    fn explain_sign_in(&self, error: sqlx::Error) -> EngineError {
        const WHAT: &str = "the sign-in";
        if let Some(reason) = reason_of_pooler(&error) {
            if self.login.master {
                return self.pooler(format!("it refused the sign-in itself: {reason}"));
            }
            if is_refusal_of_pooler(&reason) {
                return self.sign_in_refused(reason);
            }
        }
        let state = error.as_database_error().and_then(|error| error.code());
        let remedy = match state.as_deref() {
            Some("42501") => remedies::no_connect(&self.user, self.database()),
            Some("55000") => remedies::closed_database(self.database()),
            _ => return self.explain(WHAT, false, error),
        };
        EngineError::Refused {
            what: WHAT.into(),
            reason: error
                .as_database_error()
                .map_or_else(String::new, |error| error.message().to_owned()),
            hint: remedy,
        }
    }

    fn pooler(&self, reason: String) -> EngineError {
        EngineError::Pooler {
            host: self.host.clone(),
            port: self.port,
            reason,
        }
    }

    fn database(&self) -> &str {
        self.options.get_database().unwrap_or(DEFAULT_DATABASE)
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
            sqlx::Error::Io(error) => self.unreachable(error.to_string()),
            error => EngineError::Refused {
                what: what.to_owned(),
                reason: error.to_string(),
                hint: "check which server listens there: PostgreSQL gives no such answer".into(),
            },
        }
    }

    fn explain_state(&self, what: &str, code: &str, reason: String) -> EngineError {
        let what = what.to_owned();
        let refused = |reason, hint| EngineError::Refused {
            what: what.clone(),
            reason,
            hint,
        };
        match code {
            // The server did not look at the password.
            "28000" if reason.contains("pg_hba.conf") => {
                let encrypted = self.login.mode != TlsMode::Disable;
                let remedy = remedies::not_in_hba(&reason, encrypted);
                refused(reason, remedy)
            }
            // RDS signs members of these roles in by PAM.
            "28000" if reason.contains("PAM authentication failed") => self.sign_in_refused(format!(
                "{reason}: on RDS this user is a member of rds_iam or rds_ad, also by another role, and has no sign-in with a password"
            )),
            "28P01" | "28000" => self.sign_in_refused(reason),
            "53300" => EngineError::Limit {
                host: self.host.clone(),
                port: self.port,
                user: self.user.clone(),
                hint: remedies::connection_limit(&reason, &self.user, self.database()),
                reason,
            },
            "55P03" | "57014" | "40P01" | "40001" => EngineError::Busy { what, reason },
            // Two sessions altered one role; a retry succeeds.
            "XX000" if reason.contains("concurrently") => EngineError::Busy { what, reason },
            "53400" | "57P01" | "57P02" | "57P03" | "57P05" => self.unreachable(reason),
            LIMIT_EXCEEDED => refused(
                reason,
                format!(
                    "let the statements of `probe` return fewer or shorter rows; if there are none, check which server listens at {}:{}",
                    self.host, self.port
                ),
            ),
            code if code.starts_with("08") => self.unreachable(reason),
            "25006" => refused(
                reason,
                "use the writer's endpoint: this host is a reader".into(),
            ),
            "3D000" => refused(
                reason,
                "make dbname in the secret the name of a database on this server".into(),
            ),
            "42501" => refused(
                reason,
                format!(
                    "run `twinkey check`, which lists the privileges that {} lacks, each with the statement that grants it; where rds.restrict_password_commands is on, it must be a member of rds_password to set any password",
                    super::quote::ident(&self.user)
                ),
            ),
            _ => refused(
                reason,
                format!(
                    "look up SQLSTATE {code} in the server's log and in PostgreSQL's manual, appendix A"
                ),
            ),
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
}

/// The failure of a connection, before it is explained.
enum Failed {
    Driver(sqlx::Error),
    Engine(EngineError),
}

/// The message of an error that a pooler wrote: PostgreSQL names the routine in its source.
fn reason_of_pooler(error: &sqlx::Error) -> Option<String> {
    let error = error.as_database_error()?;
    let error = error.try_downcast_ref::<PgDatabaseError>()?;
    let is_own = error.code() == LIMIT_EXCEEDED;
    let is_pooler = error.severity() == PgSeverity::Fatal && error.routine().is_none() && !is_own;
    is_pooler.then(|| error.message().to_owned())
}

/// Whether a pooler refuses a user: PgBouncer (`src/client.c`, with SQLSTATE 08P01), RDS Proxy.
fn is_refusal_of_pooler(reason: &str) -> bool {
    [
        "authentication failed",
        "no such user",
        "login rejected",
        "has no credentials for the role",
    ]
    .iter()
    .any(|refusal| reason.contains(refusal))
}

fn is_transaction_timeout(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.as_deref() == Some("25P04")
}
