//! Failures of a sign-in, and their meaning.

use std::io;

use crate::EngineError;
use crate::mysql::connect::Connector;

/// The reason why a sign-in ended.
#[derive(Debug)]
pub(in crate::mysql) enum Failure {
    Io(io::Error),
    Tls(String),
    /// The server has no TLS.
    NoTls {
        /// Its default method to sign in.
        method: String,
    },
    /// An error packet of the server.
    Server {
        code: u16,
        message: String,
    },
    /// The server requests the password itself, which only verified TLS permits.
    ClearText(&'static str),
    /// The server requests something that is never given.
    Unsupported(String),
    /// The server accepted the user without a proof of the password.
    NoProof,
    /// The greeting names a pooler, where a master does not sign in.
    Pooler {
        version: String,
    },
    /// The server does not follow the protocol.
    Protocol(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Failure {
    /// The engine's error for a failure before the first statement.
    pub(in crate::mysql) fn explain(self, connector: &Connector) -> EngineError {
        let user = &connector.user;
        let refused = |reason: String, hint: String| EngineError::Refused {
            what: format!("the sign-in of {user:?}"),
            reason,
            hint,
        };
        match self {
            Self::Tls(reason) => connector.tls(reason),
            Self::NoTls { method } => connector.no_tls(&method),
            Self::Io(error) => connector.explain("the sign-in", false, sqlx::Error::Io(error)),
            Self::Server { code, message } => connector.answer_to_sign_in(code, message),
            Self::ClearText(method) => connector.tls_required(format!(
                "the server requests the password itself by {method}, as after each change of a password, and only verified TLS (verify-full, verify-ca) permits that"
            )),
            Self::Unsupported(what) => refused(
                format!("the server requests {what}, which twinkey never answers"),
                format!(
                    "let every account of {user:?} sign in with caching_sha2_password (MySQL), or with mysql_native_password or ed25519 (MariaDB)"
                ),
            ),
            Self::NoProof => refused(
                "the server accepted the user without a proof of the password".into(),
                format!(
                    "give {user:?} a method with a password; if it has one, check which server listens at {}:{}",
                    connector.host, connector.port
                ),
            ),
            Self::Pooler { version } => connector.pooler(format!("its version is {version:?}")),
            Self::Protocol(reason) => refused(
                reason,
                format!(
                    "check which server listens at {}:{}: MySQL and MariaDB give no such answer",
                    connector.host, connector.port
                ),
            ),
        }
    }
}
