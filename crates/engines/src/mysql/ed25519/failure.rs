//! What can fail, and what it means.

use std::io;

use crate::EngineError;
use crate::mysql::connect::Peer;

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

/// What a failure before the first statement means.
pub(super) fn explain_sign_in(peer: &Peer, failure: Failure) -> EngineError {
    match failure {
        Failure::Server { code, message } => peer.answer_to_sign_in(code, message),
        failure => explain(peer, "the sign-in", failure),
    }
}

/// What a failure of `what` means.
pub(super) fn explain(peer: &Peer, what: &str, failure: Failure) -> EngineError {
    let refused = |reason: String, hint: &str| EngineError::Refused {
        what: what.to_owned(),
        reason,
        hint: hint.to_owned(),
    };
    match failure {
        Failure::Tls(reason) => peer.tls(reason),
        Failure::Io(error) => peer.explain(what, false, sqlx::Error::Io(error)),
        Failure::Server { code, message } => peer.answer(what, code, message),
        Failure::WrongSignature => peer.sign_in_refused("it does not accept the ed25519 signature"),
        Failure::NotProved(instead) => refused(
            format!("the server {instead}, and not for the password by ed25519"),
            "let the user's accounts sign in with ed25519 alone, or none of them",
        ),
        Failure::Protocol(expected) => refused(
            format!("the answer is not as expected: {expected}"),
            "this is not an answer that MariaDB gives: see what listens there",
        ),
    }
}
