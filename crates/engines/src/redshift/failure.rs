//! What an answer of the Data API, or of the database behind it, means: pure.
//!
//! What can go wrong, and what prevents it:
//! - a digest is repeated in an error: the database quotes statements, so of a statement that holds a
//!   digest its message is only repeated where no part of the digest is in it;
//! - what only takes time fails the run, or what nobody will ever mend is tried again: each answer is
//!   one of a few kinds.

use twinkey_core::secret::{ExposeSecret, Sensitive};

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The password is wrong, or there is no such user.
    SignIn,
    /// The API does not see the secret that it was to sign in with, yet or any more.
    NoSecret,
    /// No answer, or one that says nothing about the call.
    Unreachable,
    /// Locks, conflicts, limits: worth another try inside the window.
    Busy,
    /// AWS does not let this identity do it.
    Denied,
    /// The database does not let this user do it.
    Permission,
    NoDatabase,
    NoTarget,
    /// A schema or table is not there.
    NoRelation,
    DivisionByZero,
    Other,
}

/// A call, or a statement, that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failed {
    pub kind: Kind,
    pub reason: String,
    /// Which of a batch's statements, from 0.
    pub statement: Option<usize>,
}

impl Failed {
    pub(super) fn new(kind: Kind, reason: impl Into<String>) -> Self {
        Self {
            kind,
            reason: reason.into(),
            statement: None,
        }
    }
}

/// What to do about a call that was answered by an error of this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Too many at once: the call did nothing, and may be made again for as long as it takes.
    Wait,
    /// Nobody knows what it did: it may be made again, under the same token, a few times.
    Again,
    Fails(Kind),
}

/// By the error's name ("Common errors" and each operation's in the Data API reference).
pub(super) fn answer(name: Option<&str>, status: u16, message: &str) -> Answer {
    let lower = message.to_ascii_lowercase();
    match name.unwrap_or_default() {
        "ThrottlingException"
        | "Throttling"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "ActiveStatementsExceededException"
        | "ActiveSessionsExceededException"
        | "ActiveWaitingRequestsExceededException" => Answer::Wait,
        "InternalServerException" | "InternalFailure" | "ServiceUnavailable" => Answer::Again,
        "AccessDeniedException"
        | "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "ExpiredTokenException"
        | "IncompleteSignature" => Answer::Fails(Kind::Denied),
        _ if lower.contains("secret") && is_missing(&lower) => Answer::Fails(Kind::NoSecret),
        "ResourceNotFoundException" => Answer::Fails(Kind::NoTarget),
        "" if status == 429 => Answer::Wait,
        _ if status >= 500 => Answer::Again,
        "ValidationException" if is_missing(&lower) && lower.contains("endpoint") => {
            Answer::Fails(Kind::NoTarget)
        }
        _ => Answer::Fails(of_message(message)),
    }
}

fn is_missing(lower: &str) -> bool {
    [
        "not found",
        "can't find",
        "does not exist",
        "doesn't exist",
        "marked for deletion",
        "scheduled for deletion",
        "marked deleted",
    ]
    .iter()
    .any(|words| lower.contains(words))
}

/// By the database's message: the API gives no SQLSTATE.
pub(super) fn of_message(message: &str) -> Kind {
    let lower = message.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if has(&[
        "password authentication failed",
        "authentication failed",
        "no password assigned",
        "is not permitted to log in",
        "password has expired",
    ]) {
        Kind::SignIn
    } else if lower.contains("secret") && is_missing(&lower) {
        Kind::NoSecret
    } else if has(&[
        "serializable isolation violation",
        "could not serialize",
        "deadlock",
        "lock timeout",
        "could not obtain lock",
        "conflict with concurrent transaction",
        "concurrently",
        "canceled",
        "cancelled",
        "timed out",
        "too many connections",
        "connection limit",
    ]) {
        Kind::Busy
    } else if has(&["division by zero", "divide by zero"]) {
        Kind::DivisionByZero
    } else if has(&[
        "permission denied",
        "must be superuser",
        "must be owner",
        "must have",
        "privileges were granted",
        "not authorized",
    ]) {
        Kind::Permission
    } else if lower.contains("database \"") && lower.contains("does not exist") {
        Kind::NoDatabase
    } else if has(&["relation", "schema"]) && lower.contains("does not exist") {
        Kind::NoRelation
    } else if has(&[
        "could not connect",
        "connection refused",
        "connection reset",
        "connection was closed",
        "terminating connection",
        "shutting down",
        "is paused",
        "is not available",
    ]) {
        Kind::Unreachable
    } else {
        Kind::Other
    }
}

/// The message, if no part of the digest is in it.
pub(super) fn without(message: &str, digest: Option<&Sensitive>) -> String {
    /// Fewer characters of a digest tell nothing about it.
    const PART: usize = 6;
    let Some(digest) = digest else {
        return message.to_owned();
    };
    // What tells the form apart is no part of the digest.
    let digits: Vec<char> = digest
        .expose_secret()
        .trim_start_matches("md5")
        .trim_start_matches("sha256|")
        .to_ascii_lowercase()
        .chars()
        .collect();
    let lower = message.to_ascii_lowercase();
    let quoted = digits
        .windows(PART)
        .any(|part| lower.contains(&part.iter().collect::<String>()));
    if quoted {
        "the database's message quotes the password's digest, and is not repeated".into()
    } else {
        message.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttling_waits_and_a_lost_answer_is_asked_for_again() {
        for name in [
            "ThrottlingException",
            "ActiveStatementsExceededException",
            "ActiveWaitingRequestsExceededException",
        ] {
            assert_eq!(answer(Some(name), 400, ""), Answer::Wait);
        }
        assert_eq!(answer(None, 429, ""), Answer::Wait);
        assert_eq!(answer(None, 503, ""), Answer::Again);
        let internal = answer(Some("InternalServerException"), 500, "");
        assert_eq!(internal, Answer::Again);
    }

    #[test]
    fn what_aws_refuses_is_told_apart() {
        let of = |name, message| answer(Some(name), 400, message);
        assert_eq!(of("AccessDeniedException", ""), Answer::Fails(Kind::Denied));
        assert_eq!(
            of(
                "ValidationException",
                "Secrets Manager can't find the specified secret."
            ),
            Answer::Fails(Kind::NoSecret)
        );
        assert_eq!(
            of(
                "ValidationException",
                "Redshift endpoint doesn't exist in this region."
            ),
            Answer::Fails(Kind::NoTarget)
        );
        assert_eq!(
            of("ResourceNotFoundException", "x"),
            Answer::Fails(Kind::NoTarget)
        );
        assert_eq!(of("ValidationException", "x"), Answer::Fails(Kind::Other));
    }

    #[test]
    fn the_databases_words_have_a_kind() {
        for (message, kind) in [
            (
                "FATAL: password authentication failed for user \"app\"",
                Kind::SignIn,
            ),
            (
                "ERROR: 1023 Serializable isolation violation on table",
                Kind::Busy,
            ),
            ("ERROR: permission denied for relation t", Kind::Permission),
            ("FATAL: database \"x\" does not exist", Kind::NoDatabase),
            ("ERROR: schema \"twinkey\" does not exist", Kind::NoRelation),
            (
                "ERROR: schema \"twinkey\" does not exist in the database.",
                Kind::NoRelation,
            ),
            ("ERROR: division by zero", Kind::DivisionByZero),
            ("ERROR: syntax error at or near \"x\"", Kind::Other),
        ] {
            assert_eq!(of_message(message), kind, "{message}");
        }
    }

    #[test]
    fn a_message_with_a_part_of_the_digest_is_not_repeated() {
        let digest = Sensitive::from("md50123456789abcdef0123456789abcdef");
        for message in [
            "syntax error at or near \"md50123456789abcdef0123456789abcdef\"",
            "near \"CDEF01\"",
        ] {
            assert!(
                !without(message, Some(&digest)).contains("near"),
                "{message}"
            );
        }
        let harmless = "permission denied to alter user";
        assert_eq!(without(harmless, Some(&digest)), harmless);
        assert_eq!(without("md5 0123456", None), "md5 0123456");
    }
}
