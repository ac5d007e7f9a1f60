//! What can fail, and what it means.

use std::io;

use crate::engine::{Credentials, EngineError, Target};

const DEFAULT_PORT: u16 = 3306;

/// What can fail.
pub(super) enum Failure {
    Io(io::Error),
    Tls(String),
    /// An error that the server tells.
    Server {
        code: u16,
        message: String,
    },
    /// The signature was not accepted.
    WrongSignature,
    /// What the server did instead of asking for the signature.
    NotProved(String),
    /// The answer is not one of MariaDB. What it would have been.
    Protocol(&'static str),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A server and who signs in there: what errors name.
pub(super) struct Peer {
    pub host: String,
    pub port: u16,
    user: String,
}

impl Peer {
    pub fn new(target: &Target, who: &Credentials) -> Result<Self, EngineError> {
        if who.username.contains('\0') {
            return Err(EngineError::UserName {
                name: who.username.clone(),
                reason: "it holds a NUL character".into(),
            });
        }
        if target.dbname.as_ref().is_some_and(|db| db.contains('\0')) {
            return Err(EngineError::Refused {
                what: "the sign-in".into(),
                reason: "dbname holds a NUL character".into(),
                hint: DBNAME_HINT.into(),
            });
        }
        Ok(Self {
            host: target.host.clone(),
            port: target.port.unwrap_or(DEFAULT_PORT),
            user: who.username.clone(),
        })
    }

    pub fn unreachable(&self, reason: impl Into<String>) -> EngineError {
        EngineError::Unreachable {
            host: self.host.clone(),
            port: self.port,
            reason: reason.into(),
        }
    }

    /// What a failure before the first statement means.
    pub fn explain_sign_in(&self, failure: Failure) -> EngineError {
        match failure {
            // Wrong password, no access to the database or from here; expired; locked.
            Failure::Server {
                code: 1044 | 1045 | 1698 | 1862 | 4151,
                message,
            } => self.sign_in_refused(message),
            failure => self.explain("the sign-in", failure),
        }
    }

    /// What a failure of `what` means.
    pub fn explain(&self, what: &str, failure: Failure) -> EngineError {
        let what = what.to_owned();
        match failure {
            Failure::Tls(reason) => self.tls(reason),
            Failure::Io(error)
                if error
                    .get_ref()
                    .is_some_and(|inner| inner.is::<rustls::Error>()) =>
            {
                self.tls(error.to_string())
            }
            Failure::Io(error) => self.unreachable(error.to_string()),
            Failure::Server { code, message } => self.explain_code(what, code, message),
            Failure::WrongSignature => {
                self.sign_in_refused("it does not accept the ed25519 signature".into())
            }
            Failure::NotProved(instead) => EngineError::Refused {
                what,
                reason: format!("the server {instead}, and not for the password by ed25519"),
                hint: "let the user's accounts sign in with ed25519 alone, or none of them".into(),
            },
            Failure::Protocol(expected) => EngineError::Refused {
                what,
                reason: format!("the answer is not as expected: {expected}"),
                hint: "this is not an answer that MariaDB gives: see what listens there".into(),
            },
        }
    }

    /// MariaDB's manual, "MariaDB Error Code Reference".
    fn explain_code(&self, what: String, code: u16, reason: String) -> EngineError {
        match code {
            // Too many connections, shutting down, blocked host, a user's limits, killed.
            1040 | 1053 | 1129 | 1203 | 1226 | 1927 => self.unreachable(reason),
            // Lock wait, deadlock, statement time.
            1205 | 1213 | 1969 => EngineError::Busy { what, reason },
            1049 => EngineError::Refused {
                what,
                reason,
                hint: DBNAME_HINT.into(),
            },
            _ => EngineError::Refused {
                what,
                reason,
                hint: format!("look up error {code} in MariaDB's manual and in the server's log"),
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

const DBNAME_HINT: &str = "make dbname in the secret the name of a database on this server";
