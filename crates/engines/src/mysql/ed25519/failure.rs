//! Failures of the ed25519 sign-in, and their meaning.

use std::io;

use crate::EngineError;
use crate::mysql::connect::Connector;

/// A failure of the protocol.
pub(super) enum Failure {
    Io(io::Error),
    Tls(String),
    /// An error packet of the server.
    Server {
        code: u16,
        message: String,
    },
    /// The server did not accept the signature.
    WrongSignature,
    /// The server's action in place of a request for the signature.
    NotProved(String),
    /// The answer is not one of MariaDB; with the expected one.
    Protocol(&'static str),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The engine's error for a failure before the first statement.
pub(super) fn explain_sign_in(connector: &Connector, failure: Failure) -> EngineError {
    match failure {
        Failure::Server { code, message } => connector.answer_to_sign_in(code, message),
        failure => explain(connector, "the sign-in", failure),
    }
}

/// The engine's error for a failure of `what`.
pub(super) fn explain(connector: &Connector, what: &str, failure: Failure) -> EngineError {
    let refused = |reason: String, hint: &str| EngineError::Refused {
        what: what.to_owned(),
        reason,
        hint: hint.to_owned(),
    };
    match failure {
        Failure::Tls(reason) => connector.tls(reason),
        Failure::Io(error) => connector.explain(what, false, sqlx::Error::Io(error)),
        Failure::Server { code, message } => connector.answer(what, code, message),
        Failure::WrongSignature => {
            connector.sign_in_refused("it does not accept the ed25519 signature")
        }
        Failure::NotProved(instead) => refused(
            format!("the server {instead}, and not for the password by ed25519"),
            "let all of the user's accounts sign in with ed25519 only, or none",
        ),
        Failure::Protocol(expected) => refused(
            format!("the answer is not as expected: {expected}"),
            "check which server listens there: MariaDB gives no such answer",
        ),
    }
}
