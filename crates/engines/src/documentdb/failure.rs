//! How a command can fail, and what that means.
//!
//! What can go wrong: an error holds a password. Of the server's words about a command that holds one, only
//! those are repeated that cannot quote it.

use mongodb::error::ErrorKind;

use super::connect::COMMAND_LIMIT;
use crate::EngineError;

/// A server and who signs in there: what errors name.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub host: String,
    pub port: u16,
    pub user: String,
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

const USER_NOT_FOUND: i32 = 11;
const UNAUTHORIZED: i32 = 13;
const AUTHENTICATION_FAILED: i32 = 18;
const ROLE_NOT_FOUND: i32 = 31;
const COMMAND_NOT_FOUND: i32 = 59;
/// What Amazon DocumentDB answers to what it does not carry out ("Feature not supported").
const NOT_SUPPORTED: i32 = 303;
const USER_EXISTS: i32 = 51003;
/// A command, a value or a field that a server does not know: BadValue, FailedToParse, TypeMismatch,
/// InvalidOptions, IDLUnknownField besides.
const UNKNOWN: [i32; 7] = [COMMAND_NOT_FOUND, NOT_SUPPORTED, 2, 9, 14, 72, 40415];

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

    /// What it means for `what`; `secret`: the command held a password.
    pub(super) fn explain(self, peer: &Peer, what: &str, secret: bool) -> EngineError {
        match self {
            Self::Answer { code, message } => {
                let reason = if secret && !quotes_nothing(code) {
                    format!("error {code}")
                } else {
                    message
                };
                answer(peer, what, code, reason)
            }
            Self::SignIn(reason) => peer.sign_in_refused(reason),
            Self::Cut => peer.unreachable("the connection was cut".into()),
            Self::NoAnswer => EngineError::Busy {
                what: what.to_owned(),
                reason: format!("no answer within {} seconds", COMMAND_LIMIT.as_secs()),
            },
            Self::Odd(reason) => EngineError::Refused {
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
}

/// What the server's answer to a command means, by its number (MongoDB manual, "Error Codes").
fn answer(peer: &Peer, what: &str, code: i32, reason: String) -> EngineError {
    let what = what.to_owned();
    let hint = match code {
        AUTHENTICATION_FAILED => return peer.sign_in_refused(reason),
        // A time limit, an operation that was interrupted, a conflict, a lock, members that lag.
        50 | 262 | 11601 | 112 | 24 | 46 | 64 => return EngineError::Busy { what, reason },
        // Shutting down, stepping down, not the primary any more: another one is on its way.
        91 | 189 | 10058 | 10107 | 11600 | 11602 | 13435 | 13436 => {
            return peer.unreachable(reason);
        }
        UNAUTHORIZED => format!(
            "`twinkey check` lists what {:?} lacks, each with the command that mends it",
            peer.user
        ),
        COMMAND_NOT_FOUND | NOT_SUPPORTED => "the server does not know this: `twinkey plan` names its version; see the commands that Amazon DocumentDB supports in it".to_owned(),
        USER_NOT_FOUND => "the user is gone: `twinkey check` looks again".to_owned(),
        ROLE_NOT_FOUND => "a role that the active user has is gone: revoke it from the active user, or create it again".to_owned(),
        USER_EXISTS => "somebody made this user a moment ago: run it again, and the user is taken over".to_owned(),
        code => format!("look up error {code} in MongoDB's manual (\"Error Codes\"), and see the server's log"),
    };
    EngineError::Refused { what, reason, hint }
}

/// Whether the message of this error can hold nothing of the command but names of users and roles.
fn quotes_nothing(code: i32) -> bool {
    matches!(
        code,
        USER_NOT_FOUND
            | UNAUTHORIZED
            | AUTHENTICATION_FAILED
            | ROLE_NOT_FOUND
            | COMMAND_NOT_FOUND
            | USER_EXISTS
    )
}

impl Peer {
    fn sign_in_refused(&self, reason: String) -> EngineError {
        EngineError::SignIn {
            host: self.host.clone(),
            port: self.port,
            user: self.user.clone(),
            reason,
        }
    }

    fn unreachable(&self, reason: String) -> EngineError {
        EngineError::Unreachable {
            host: self.host.clone(),
            port: self.port,
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinkey_core::code::Code;

    fn explained(code: i32, secret: bool) -> EngineError {
        let peer = Peer {
            host: "db".into(),
            port: 27017,
            user: "boss".into(),
        };
        let message = "the server's words".to_owned();
        Failure::Answer { code, message }.explain(&peer, "a command", secret)
    }

    #[test]
    fn each_answer_has_its_code_and_only_what_passes_is_tried_again() {
        for (number, code, passes) in [
            (11, Code::DbRefused, false),
            (13, Code::DbRefused, false),
            (18, Code::CurrentSigninFailed, false),
            (31, Code::DbRefused, false),
            (59, Code::DbRefused, false),
            (303, Code::DbRefused, false),
            (51003, Code::DbRefused, false),
            (50, Code::DbRefused, true),
            (10107, Code::DbUnreachable, true),
            (4711, Code::DbRefused, false),
        ] {
            let error = explained(number, false);
            assert_eq!(
                (error.code(), error.retryable()),
                (code, passes),
                "{number}"
            );
            assert!(error.to_string().contains("the server's words"), "{error}");
            assert!(!error.hint().is_empty());
        }
        assert!(explained(13, false).hint().contains("\"boss\""));
        assert!(explained(4711, false).hint().contains("4711"));
    }

    #[test]
    fn of_a_command_with_a_password_only_what_cannot_quote_it_is_repeated() {
        for number in [2, 9, 72, 4711, 10107, 50] {
            let error = explained(number, true).to_string();
            assert!(!error.contains("the server's words"), "{error}");
            assert!(error.contains(&format!("error {number}")), "{error}");
        }
        assert!(
            explained(13, true)
                .to_string()
                .contains("the server's words")
        );
    }

    #[test]
    fn a_cut_or_a_missing_answer_is_tried_again_and_nonsense_is_not() {
        let peer = Peer {
            host: "db".into(),
            port: 27017,
            user: "boss".into(),
        };
        let explain = |failure: Failure| failure.explain(&peer, "a command", true);
        assert_eq!(explain(Failure::Cut).code(), Code::DbUnreachable);
        assert!(explain(Failure::Cut).retryable());
        assert!(explain(Failure::NoAnswer).retryable());
        let odd = explain(Failure::Odd("a password".into()));
        assert!(!odd.retryable() && !odd.to_string().contains("a password"));
        assert!(matches!(
            explain(Failure::SignIn("no".into())),
            EngineError::SignIn { .. }
        ));
    }
}
