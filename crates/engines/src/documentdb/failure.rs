//! Failures of commands and the errors that they become.
//!
//! # Failure modes
//! - An error contains a password. For a command with a password, only messages that cannot quote
//!   it are shown.

use std::time::Duration;

use mongodb::error::ErrorKind;

use super::relay::{Remedy, Violation};
use crate::EngineError;

/// Time limit of one command.
pub(super) const COMMAND_LIMIT: Duration = Duration::from_secs(30);

/// A server and its signed-in user, as errors name them.
#[derive(Debug, Clone)]
pub(super) struct ServerLogin {
    pub host: String,
    pub port: u16,
    pub user: String,
}

/// The failure of a command.
#[derive(Debug)]
pub(super) enum Failure {
    /// An error response of the server.
    Answer {
        code: i32,
        message: String,
    },
    /// The server refused the credentials.
    SignIn(String),
    /// The connection could not be made or was lost.
    ConnectionLost,
    TimedOut,
    /// A response that no such server gives.
    Unexpected(String),
    /// A message that the relay refused.
    Violation(Violation),
}

const USER_NOT_FOUND: i32 = 11;
const UNAUTHORIZED: i32 = 13;
const AUTHENTICATION_FAILED: i32 = 18;
const ROLE_NOT_FOUND: i32 = 31;
const COMMAND_NOT_FOUND: i32 = 59;
/// "Feature not supported", an error of Amazon DocumentDB.
const NOT_SUPPORTED: i32 = 303;
const USER_EXISTS: i32 = 51003;
/// Errors for an unknown command, value or field. The numbers are BadValue, FailedToParse,
/// TypeMismatch, InvalidOptions and IDLUnknownField.
const UNSUPPORTED: [i32; 7] = [COMMAND_NOT_FOUND, NOT_SUPPORTED, 2, 9, 14, 72, 40415];

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
            | ErrorKind::ConnectionPoolCleared { .. } => Self::ConnectionLost,
            _ => Self::Unexpected(error.to_string()),
        }
    }
}

impl Failure {
    /// Whether the server does not support the command or a part of it.
    pub(super) fn is_unsupported(&self) -> bool {
        matches!(self, Self::Answer { code, .. } if UNSUPPORTED.contains(code))
    }

    /// Whether the user lacks the privilege for the command.
    pub(super) fn is_unauthorized(&self) -> bool {
        matches!(
            self,
            Self::Answer {
                code: UNAUTHORIZED,
                ..
            }
        )
    }

    pub(super) fn is_role_not_found(&self) -> bool {
        matches!(
            self,
            Self::Answer {
                code: ROLE_NOT_FOUND,
                ..
            }
        )
    }

    /// The error of a command with the purpose `what`. `secret`: it contains a password.
    pub(super) fn explain(self, login: &ServerLogin, what: &str, secret: bool) -> EngineError {
        match self {
            Self::Answer { code, message } => {
                let reason = if secret && !message_is_safe(code) {
                    format!("error {code}")
                } else {
                    message
                };
                server_error(login, what, code, reason)
            }
            Self::SignIn(reason) => login.sign_in_refused(reason),
            Self::ConnectionLost => login.unreachable("the connection was lost".into()),
            Self::TimedOut => EngineError::Busy {
                what: what.to_owned(),
                reason: format!("no response within {} seconds", COMMAND_LIMIT.as_secs()),
            },
            Self::Unexpected(reason) => EngineError::Refused {
                what: what.to_owned(),
                reason: if secret {
                    "the response is not as expected".into()
                } else {
                    reason
                },
                hint: "check that the endpoint is a MongoDB or DocumentDB server".into(),
            },
            Self::Violation(violation) => EngineError::Refused {
                what: format!("{what} as {:?}", login.user),
                reason: violation.reason,
                hint: login.remedy(violation.remedy),
            },
        }
    }
}

/// The error for the server's error number (MongoDB manual, "Error Codes").
fn server_error(login: &ServerLogin, what: &str, code: i32, reason: String) -> EngineError {
    let what = what.to_owned();
    let hint = match code {
        AUTHENTICATION_FAILED => return login.sign_in_refused(reason),
        // Time limits, interruptions, conflicts, locks and lagging members.
        50 | 262 | 11601 | 112 | 24 | 46 | 64 => return EngineError::Busy { what, reason },
        // A shutdown or a change of the primary.
        91 | 189 | 10058 | 10107 | 11600 | 11602 | 13435 | 13436 => {
            return login.unreachable(reason);
        }
        UNAUTHORIZED => format!(
            "run `twinkey check` for the privileges that {:?} lacks and the commands that grant them",
            login.user
        ),
        COMMAND_NOT_FOUND | NOT_SUPPORTED => "check whether the server's version supports this command; `twinkey plan` shows the version".to_owned(),
        USER_NOT_FOUND => "run `twinkey check`: the user no longer exists".to_owned(),
        ROLE_NOT_FOUND => "revoke the missing role from the active user, or create it again".to_owned(),
        USER_EXISTS => "run it again: the user was created concurrently and will be reused".to_owned(),
        code => format!("look up error {code} in MongoDB's manual (\"Error Codes\") and in the server's log"),
    };
    EngineError::Refused { what, reason, hint }
}

/// Whether the error's message contains at most names of users and roles of the command.
fn message_is_safe(code: i32) -> bool {
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

impl ServerLogin {
    fn remedy(&self, remedy: Remedy) -> String {
        match remedy {
            Remedy::Rounds => format!(
                "set scramSHA256IterationCount (SCRAM-SHA-1: scramIterationCount) on the server to a number from 5000 to 1000000, then set the password of {:?} again; if the server has such a number, check which server listens at {}:{}",
                self.user, self.host, self.port
            ),
            Remedy::OtherServer => format!(
                "check which server listens at {}:{}: MongoDB and DocumentDB send no such message",
                self.host, self.port
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
    use twinkey_core::code::Diagnostic as _;

    fn explained(code: i32, secret: bool) -> EngineError {
        let login = ServerLogin {
            host: "db".into(),
            port: 27017,
            user: "boss".into(),
        };
        let message = "the server's message".to_owned();
        Failure::Answer { code, message }.explain(&login, "a command", secret)
    }

    #[test]
    fn each_error_has_a_code_and_only_transient_ones_are_retried() {
        for (number, code, transient) in [
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
                (code, transient),
                "{number}"
            );
            assert!(
                error.to_string().contains("the server's message"),
                "{error}"
            );
            assert!(!error.hint().is_empty());
        }
        assert!(explained(13, false).hint().contains("\"boss\""));
        assert!(explained(4711, false).hint().contains("4711"));
    }

    #[test]
    fn messages_that_may_contain_a_password_are_withheld() {
        for number in [2, 9, 72, 4711, 10107, 50] {
            let error = explained(number, true).to_string();
            assert!(!error.contains("the server's message"), "{error}");
            assert!(error.contains(&format!("error {number}")), "{error}");
        }
        assert!(
            explained(13, true)
                .to_string()
                .contains("the server's message")
        );
    }

    #[test]
    fn lost_connections_are_retried_and_odd_responses_are_not() {
        let login = ServerLogin {
            host: "db".into(),
            port: 27017,
            user: "boss".into(),
        };
        let explain = |failure: Failure| failure.explain(&login, "a command", true);
        assert_eq!(explain(Failure::ConnectionLost).code(), Code::DbUnreachable);
        assert!(explain(Failure::ConnectionLost).retryable());
        assert!(explain(Failure::TimedOut).retryable());
        let unexpected = explain(Failure::Unexpected("a password".into()));
        assert!(!unexpected.retryable() && !unexpected.to_string().contains("a password"));
        assert!(matches!(
            explain(Failure::SignIn("no".into())),
            EngineError::SignIn { .. }
        ));
    }
}
