//! Connections, and what their failures mean.
//!
//! What can go wrong, and what prevents it:
//! - a weaker connection than asked for: `tunnel.rs`;
//! - an admin connection to a reader, which takes no command about users: it says so itself and names
//!   the primary, and that is where the master goes (`mod.rs`);
//! - a hanging host: connecting has a limit, and so has each command;
//! - a command is carried out twice: the driver repeats none of ours (`retryWrites=false`, which DocumentDB
//!   before 8.0.2 demands besides);
//! - a password in an error: of the server's words about a command that holds one, only those are
//!   repeated that cannot quote it.
//!
//! The driver keeps what it derived from a password, and the password beside it, in the process's memory for
//! good (its cache of salted passwords); it can be told neither to wipe nor to bound it.

use std::time::Duration;

use mongodb::Client;
use mongodb::bson::Document;
use mongodb::error::ErrorKind;
use mongodb::options::{
    AuthMechanism, ClientOptions, Credential, ServerAddress, ServerMonitoringMode,
};
use secrecy::ExposeSecret;

use super::tunnel::{Far, Tunnel};
use crate::engine::tls::connector::connector;
use crate::engine::{Credentials, EngineError, Target};

const DEFAULT_PORT: u16 = 27017;
/// Where users live, unless they live in the secret's own database.
pub(super) const ADMIN: &str = "admin";
/// What our sessions call themselves.
pub(super) const APPLICATION: &str = "twinkey";
const SELECTION_LIMIT: Duration = Duration::from_secs(5);
/// For one command.
const COMMAND_LIMIT: Duration = Duration::from_secs(30);

/// A signed-in client.
pub(super) struct Connection {
    client: Client,
    tunnel: Tunnel,
    far: Far,
    user: String,
}

/// How a command can fail.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server's own answer.
    Answer {
        code: i32,
        message: String,
    },
    /// The credentials were refused when the connection was made.
    SignIn(String),
    /// No connection, or it was cut.
    Cut,
    NoAnswer,
    /// What no server of this kind answers.
    Odd(String),
}

impl From<mongodb::error::Error> for Failure {
    fn from(error: mongodb::error::Error) -> Self {
        match error.kind.as_ref() {
            ErrorKind::Authentication { message, .. } => Self::SignIn(message.clone()),
            ErrorKind::Command(answer) => Self::Answer {
                code: answer.code,
                message: answer.message.clone(),
            },
            ErrorKind::Io(_)
            | ErrorKind::ServerSelection { .. }
            | ErrorKind::ConnectionPoolCleared { .. } => Self::Cut,
            _ => Self::Odd(error.to_string()),
        }
    }
}

impl Failure {
    /// Whether the server does not know the command, or a part of it: an answer, by which versions are told.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self, Self::Answer { code, .. } if UNKNOWN.contains(code))
    }

    /// Whether the master may not do this.
    pub(super) fn is_unauthorized(&self) -> bool {
        matches!(
            self,
            Self::Answer {
                code: UNAUTHORIZED,
                ..
            }
        )
    }
}

/// Where a target leads.
pub(super) fn far(target: &Target) -> Result<Far, EngineError> {
    Ok(Far {
        host: target.host.clone(),
        port: target.port.unwrap_or(DEFAULT_PORT),
        connector: connector(&target.tls)?,
    })
}

impl Connection {
    /// Signs in with exactly these credentials. The user lives in the target's own database or, as all
    /// users of DocumentDB, in `admin`; and a server that does not tell which mechanisms a user has is asked
    /// for SCRAM-SHA-1 too. Gives the database besides.
    ///
    /// # Errors
    /// [`EngineError::SignIn`] where none of these ways is taken.
    pub(super) async fn open(
        far: &Far,
        who: &Credentials,
        dbname: Option<&str>,
    ) -> Result<(Self, String), EngineError> {
        let mut refused = None;
        for source in homes(dbname) {
            for mechanism in [None, Some(AuthMechanism::ScramSha1)] {
                match Self::sign_in(far, who, source, mechanism).await {
                    Ok(connection) => return Ok((connection, source.to_owned())),
                    Err(error @ EngineError::SignIn { .. }) => {
                        refused.get_or_insert(error);
                    }
                    // An answer to the second way of asking says nothing about the first.
                    Err(error) => return Err(refused.unwrap_or(error)),
                }
            }
        }
        Err(refused.unwrap_or_else(|| far.unreachable("no way to sign in is left".into())))
    }

    async fn sign_in(
        far: &Far,
        who: &Credentials,
        source: &str,
        mechanism: Option<AuthMechanism>,
    ) -> Result<Self, EngineError> {
        let tunnel = Tunnel::open(far.clone()).await?;
        let mut credential = Credential::builder()
            .username(who.username.clone())
            .password(who.password.expose_secret().to_owned())
            .source(source.to_owned())
            .build();
        credential.mechanism = mechanism;
        let options = ClientOptions::builder()
            .hosts(vec![ServerAddress::Unix {
                path: tunnel.entrance.clone(),
            }])
            .direct_connection(true)
            .app_name(APPLICATION.to_owned())
            .credential(credential)
            .retry_reads(false)
            .retry_writes(false)
            .connect_timeout(SELECTION_LIMIT)
            .server_selection_timeout(SELECTION_LIMIT)
            .server_monitoring_mode(ServerMonitoringMode::Poll)
            .max_pool_size(2)
            .build();
        let client = Client::with_options(options).map_err(|error| EngineError::Refused {
            what: "preparing the driver".into(),
            reason: error.to_string(),
            hint: "this is a defect of twinkey: please report it".into(),
        })?;
        let connection = Self {
            client,
            tunnel,
            far: far.clone(),
            user: who.username.clone(),
        };
        let ping = mongodb::bson::doc! { "ping": 1 };
        connection.run(ADMIN, ping, "the sign-in").await?;
        Ok(connection)
    }

    /// Carries out a command; `what` it is for, in an error.
    pub(super) async fn run(
        &self,
        database: &str,
        command: Document,
        what: &str,
    ) -> Result<Document, EngineError> {
        let answer = self.ask(database, command).await;
        answer.map_err(|failure| self.explain(what, false, failure))
    }

    /// Carries out a command whose failure may be an answer too.
    pub(super) async fn ask(&self, database: &str, command: Document) -> Result<Document, Failure> {
        let database = self.client.database(database);
        match tokio::time::timeout(COMMAND_LIMIT, database.run_command(command)).await {
            Ok(answer) => answer.map_err(Failure::from),
            Err(_) => Err(Failure::NoAnswer),
        }
    }

    /// Ends it at once; dropped, it ends a little later.
    pub(super) async fn close(self) {
        let closing = self.client.shutdown().immediate(true);
        // Nothing is left to do about a connection that does not end in time: it is dropped.
        let _ = tokio::time::timeout(SELECTION_LIMIT, closing).await;
    }

    /// What a failure of `what` means; `secret`: the command held a password.
    pub(super) fn explain(&self, what: &str, secret: bool, failure: Failure) -> EngineError {
        match failure {
            Failure::Answer { code, message } => {
                let reason = if secret && !quotes_nothing(code) {
                    format!("error {code}")
                } else {
                    message
                };
                self.answer(what, code, reason)
            }
            Failure::SignIn(reason) => self.sign_in_refused(reason),
            Failure::Cut => {
                let why = self.tunnel.failure();
                why.unwrap_or_else(|| self.far.unreachable("the connection was cut".into()))
            }
            Failure::NoAnswer => EngineError::Busy {
                what: what.to_owned(),
                reason: format!("no answer within {} seconds", COMMAND_LIMIT.as_secs()),
            },
            Failure::Odd(reason) => EngineError::Refused {
                what: what.to_owned(),
                reason: if secret {
                    "the answer is not as expected".into()
                } else {
                    reason
                },
                hint:
                    "this is not an answer that MongoDB or DocumentDB gives: see what listens there"
                        .into(),
            },
        }
    }

    fn sign_in_refused(&self, reason: String) -> EngineError {
        EngineError::SignIn {
            host: self.far.host.clone(),
            port: self.far.port,
            user: self.user.clone(),
            reason,
        }
    }

    /// What the server's answer to a command means, by its number (MongoDB manual, "Error Codes").
    fn answer(&self, what: &str, code: i32, reason: String) -> EngineError {
        let what = what.to_owned();
        let refused = |hint: String| EngineError::Refused {
            what: what.clone(),
            reason: reason.clone(),
            hint,
        };
        match code {
            AUTHENTICATION_FAILED => self.sign_in_refused(reason),
            // A time limit, an operation that was interrupted, a conflict, a lock.
            50 | 262 | 11601 | 112 | 24 | 46 | 64 => EngineError::Busy { what, reason },
            // Shutting down, stepping down, not the primary any more: another one is on its way.
            91 | 189 | 10058 | 10107 | 11600 | 11602 | 13435 | 13436 => {
                self.far.unreachable(reason)
            }
            UNAUTHORIZED => refused(format!(
                "`twinkey check` lists what {:?} lacks, each with the command that mends it",
                self.user
            )),
            COMMAND_NOT_FOUND | NOT_SUPPORTED => refused(
                "the server does not know this: `twinkey plan` names its version; see the list of commands that Amazon DocumentDB supports in it".into(),
            ),
            11 => refused("the user is gone: `twinkey check` looks again".into()),
            31 => refused(
                "a role that the active user has is gone: revoke it from the active user, or create it again".into(),
            ),
            51003 => refused(
                "somebody made this user a moment ago: run it again, and the user is taken over".into(),
            ),
            code => refused(format!(
                "look up error {code} in MongoDB's manual (\"Error Codes\"), and see the server's log"
            )),
        }
    }
}

const UNAUTHORIZED: i32 = 13;
const AUTHENTICATION_FAILED: i32 = 18;
const COMMAND_NOT_FOUND: i32 = 59;
/// What Amazon DocumentDB answers to what it does not carry out ("Feature not supported").
const NOT_SUPPORTED: i32 = 303;

/// A command, a value or a field that a server does not know: BadValue, FailedToParse, TypeMismatch,
/// InvalidOptions, IDLUnknownField besides.
const UNKNOWN: [i32; 7] = [COMMAND_NOT_FOUND, NOT_SUPPORTED, 2, 9, 14, 72, 40415];

/// Whether the message of this error can hold nothing of the command but names of users and roles.
fn quotes_nothing(code: i32) -> bool {
    matches!(
        code,
        11 | UNAUTHORIZED | AUTHENTICATION_FAILED | 31 | COMMAND_NOT_FOUND | 51003
    )
}

/// The databases in which the users of a target may live, the first to be asked first.
pub(super) fn homes(dbname: Option<&str>) -> Vec<&str> {
    match dbname {
        None | Some(ADMIN) => vec![ADMIN],
        Some(own) => vec![own, ADMIN],
    }
}
