//! Classification of errors of the Data API and of the database behind it. Pure.
//!
//! # Failure modes
//! - The database quotes a password's digest in an error. The message of a statement with a digest
//!   is shown only if it contains no part of the digest.
//! - A transient error fails the run, or a permanent error is retried. Each error has one
//!   [`FailureKind`], which decides.

use twinkey_core::secret::{ExposeSecret, Sensitive};

/// The cause of a failed call or statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redshift) enum FailureKind {
    /// The password is wrong, or the user does not exist.
    SignIn,
    /// The API cannot see the secret of the sign-in: not yet, or no longer.
    NoSecret,
    /// No response, or a response without information about the call.
    Unreachable,
    /// Locks, conflicts and limits: retryable inside the window.
    Busy,
    /// IAM denies the call to this identity.
    Denied,
    /// The database denies the statement to this user.
    Permission,
    NoDatabase,
    NoTarget,
    /// A schema or table does not exist.
    NoRelation,
    DivisionByZero,
    Other,
}

impl FailureKind {
    /// Whether the server answered and refused the statement for a lasting reason.
    pub(in crate::redshift) const fn is_refusal(self) -> bool {
        matches!(
            self,
            Self::Permission
                | Self::NoDatabase
                | Self::NoRelation
                | Self::DivisionByZero
                | Self::Other
        )
    }
}

/// A failed call or statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::redshift) struct Failure {
    pub kind: FailureKind,
    pub reason: String,
    /// Index of the failed statement in its batch.
    pub statement: Option<usize>,
}

impl Failure {
    pub(in crate::redshift) fn new(kind: FailureKind, reason: impl Into<String>) -> Self {
        Self {
            kind,
            reason: reason.into(),
            statement: None,
        }
    }
}

/// The reaction to an error of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redshift) enum ErrorAction {
    /// The call was throttled and had no effect: retry until a time limit.
    WaitAndRetry,
    /// The effect is unknown: retry a few times with the same token.
    Retry,
    Fail(FailureKind),
}

/// Classifies an error by its name ("Common errors" and the operations in the Data API reference).
pub(in crate::redshift) fn classify_error(
    name: Option<&str>,
    status: u16,
    message: &str,
) -> ErrorAction {
    let lower = message.to_ascii_lowercase();
    match name.unwrap_or_default() {
        "ThrottlingException"
        | "Throttling"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "ActiveStatementsExceededException"
        | "ActiveSessionsExceededException"
        | "ActiveWaitingRequestsExceededException" => ErrorAction::WaitAndRetry,
        "InternalServerException" | "InternalFailure" | "ServiceUnavailable" => ErrorAction::Retry,
        "AccessDeniedException"
        | "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "ExpiredTokenException"
        | "IncompleteSignature" => ErrorAction::Fail(FailureKind::Denied),
        _ if lower.contains("secret") && is_missing(&lower) => {
            ErrorAction::Fail(FailureKind::NoSecret)
        }
        "ResourceNotFoundException" => ErrorAction::Fail(FailureKind::NoTarget),
        "" if status == 429 => ErrorAction::WaitAndRetry,
        _ if status >= 500 => ErrorAction::Retry,
        "ValidationException" if is_missing(&lower) && lower.contains("endpoint") => {
            ErrorAction::Fail(FailureKind::NoTarget)
        }
        _ => ErrorAction::Fail(classify_message(message)),
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

/// Classifies a failure by the database's message, because the API returns no SQLSTATE.
pub(in crate::redshift) fn classify_message(message: &str) -> FailureKind {
    let lower = message.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if has(&[
        "password authentication failed",
        "authentication failed",
        "no password assigned",
        "is not permitted to log in",
        "password has expired",
    ]) {
        FailureKind::SignIn
    } else if lower.contains("secret") && is_missing(&lower) {
        FailureKind::NoSecret
    } else if has(&[
        "serializable isolation violation",
        // The words are in the detail, which the API may omit.
        "error: 1023",
        "error: 1020",
        "error: 1018",
        "could not serialize",
        // Two ALTER DEFAULT PRIVILEGES at once.
        "duplicate key violates unique constraint",
        "duplicate key value violates unique constraint",
        "deadlock",
        "lock timeout",
        "could not obtain lock",
        "conflict with concurrent transaction",
        "concurrently",
        "cancel",
        "statement timeout",
        "timed out",
        "too many connections",
        "connection limit",
    ]) {
        FailureKind::Busy
    } else if lower.contains("not authorized to perform") {
        FailureKind::Denied
    } else if has(&["division by zero", "divide by zero"]) {
        FailureKind::DivisionByZero
    } else if has(&[
        "permission denied",
        "must be superuser",
        "must be owner",
        "must have",
        "privileges were granted",
        "not authorized",
    ]) {
        FailureKind::Permission
    } else if lower.contains("database \"") && lower.contains("does not exist") {
        FailureKind::NoDatabase
    } else if has(&["relation", "schema"]) && lower.contains("does not exist") {
        FailureKind::NoRelation
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
        FailureKind::Unreachable
    } else {
        FailureKind::Other
    }
}

/// The message, unless it contains a part of the digest.
pub(in crate::redshift) fn without_digest(message: &str, digest: Option<&Sensitive>) -> String {
    /// Length of the shortest part that counts as a leak.
    const PART: usize = 6;
    let Some(digest) = digest else {
        return message.to_owned();
    };
    // The prefix names the form of the digest; it is no secret.
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
        "the database's message contains the password's digest and is not shown".into()
    } else {
        message.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttled_and_unanswered_calls_are_retried() {
        for name in [
            "ThrottlingException",
            "ActiveStatementsExceededException",
            "ActiveWaitingRequestsExceededException",
        ] {
            assert_eq!(
                classify_error(Some(name), 400, ""),
                ErrorAction::WaitAndRetry
            );
        }
        assert_eq!(classify_error(None, 429, ""), ErrorAction::WaitAndRetry);
        assert_eq!(classify_error(None, 503, ""), ErrorAction::Retry);
        let internal = classify_error(Some("InternalServerException"), 500, "");
        assert_eq!(internal, ErrorAction::Retry);
    }

    #[test]
    fn errors_of_aws_have_distinct_kinds() {
        let of = |name, message| classify_error(Some(name), 400, message);
        assert_eq!(
            of("AccessDeniedException", ""),
            ErrorAction::Fail(FailureKind::Denied)
        );
        assert_eq!(
            of(
                "ValidationException",
                "Secrets Manager can't find the specified secret."
            ),
            ErrorAction::Fail(FailureKind::NoSecret)
        );
        assert_eq!(
            of(
                "ValidationException",
                "Redshift endpoint doesn't exist in this region."
            ),
            ErrorAction::Fail(FailureKind::NoTarget)
        );
        assert_eq!(
            of("ResourceNotFoundException", "x"),
            ErrorAction::Fail(FailureKind::NoTarget)
        );
        assert_eq!(
            of("ValidationException", "x"),
            ErrorAction::Fail(FailureKind::Other)
        );
    }

    #[test]
    fn messages_of_the_database_have_a_kind() {
        for (message, kind) in [
            (
                "FATAL: password authentication failed for user \"app\"",
                FailureKind::SignIn,
            ),
            (
                "ERROR: 1023 Serializable isolation violation on table",
                FailureKind::Busy,
            ),
            ("ERROR: 1023", FailureKind::Busy),
            (
                "ERROR: Query (7) cancelled on user's request",
                FailureKind::Busy,
            ),
            (
                "ERROR: canceling statement due to statement timeout",
                FailureKind::Busy,
            ),
            (
                "ERROR: 1018\n  Detail: Relation does not exist",
                FailureKind::Busy,
            ),
            (
                "ERROR: duplicate key violates unique constraint \"pg_defacl_oid_index\"",
                FailureKind::Busy,
            ),
            (
                "User: arn:aws:sts::1:assumed-role/r/s is not authorized to perform: redshift:GetClusterCredentials",
                FailureKind::Denied,
            ),
            (
                "ERROR: permission denied for relation t",
                FailureKind::Permission,
            ),
            (
                "FATAL: database \"x\" does not exist",
                FailureKind::NoDatabase,
            ),
            (
                "ERROR: schema \"twinkey\" does not exist",
                FailureKind::NoRelation,
            ),
            (
                "ERROR: schema \"twinkey\" does not exist in the database.",
                FailureKind::NoRelation,
            ),
            ("ERROR: division by zero", FailureKind::DivisionByZero),
            ("ERROR: syntax error at or near \"x\"", FailureKind::Other),
        ] {
            assert_eq!(classify_message(message), kind, "{message}");
        }
    }

    #[test]
    fn a_message_with_a_part_of_the_digest_is_withheld() {
        let digest = Sensitive::from("md50123456789abcdef0123456789abcdef");
        for message in [
            "syntax error at or near \"md50123456789abcdef0123456789abcdef\"",
            "near \"CDEF01\"",
        ] {
            assert!(
                !without_digest(message, Some(&digest)).contains("near"),
                "{message}"
            );
        }
        let harmless = "permission denied to alter user";
        assert_eq!(without_digest(harmless, Some(&digest)), harmless);
        assert_eq!(without_digest("md5 0123456", None), "md5 0123456");
    }
}
