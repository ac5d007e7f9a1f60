//! Mapping of Secrets Manager's error names to [`StoreError`].
//!
//! The names are those of the API reference ("Errors" of each action, and "Common errors").
//!
//! # Failure modes
//! - A used-up quota of a secret looks like throttling and is retried all window long. Only
//!   `LimitExceededException` names a quota, and it has an error of its own.
//! - Expired credentials look like a missing permission. They have an error of their own, as have
//!   wrong keys and a wrong clock.
//! - The embedded store and AWS report the same mistake differently. Both use this pure function.

use twinkey_core::printable::{MESSAGE, NAME, printable};

use super::{CredentialFault, StoreError};

/// A call to the API, for error messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct ApiCall<'a> {
    /// The action, as IAM names it.
    pub operation: &'static str,
    /// Name or ARN, as the caller gave it.
    pub secret: &'a str,
    /// The label or version of the call.
    pub subject: CallSubject<'a>,
}

/// Part of the secret that a call is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum CallSubject<'a> {
    Secret,
    Version(&'a super::VersionId),
    Stage(&'a str),
}

impl ApiCall<'_> {
    /// The error for AWS's error name and message, whose texts are escaped.
    #[must_use]
    pub(super) fn error(&self, name: &str, message: &str) -> StoreError {
        let (name, message) = (&*printable(name, NAME), &*printable(message, MESSAGE));
        let secret = self.secret.to_owned();
        if let Some(fault) = credential_fault(name, message) {
            return StoreError::Credentials {
                fault,
                reason: Some(name.to_owned()),
            };
        }
        let reason = format!("{name}: {message}");
        match (name, self.operation, self.subject) {
            ("ResourceNotFoundException", _, about) => StoreError::NotFound {
                what: match about {
                    CallSubject::Secret => format!("secret {secret:?}"),
                    CallSubject::Version(id) => format!("secret {secret:?}, or its version {id},"),
                    CallSubject::Stage(stage) => format!("secret {secret:?}, or its {stage},"),
                },
            },
            ("ResourceExistsException", _, CallSubject::Version(id)) => StoreError::VersionExists {
                secret,
                id: id.clone(),
            },
            (
                "InvalidParameterException",
                "UpdateSecretVersionStage",
                CallSubject::Stage(stage),
            ) => StoreError::StageMoved {
                secret,
                stage: stage.to_owned(),
                reason: message.to_owned(),
            },
            (
                "ThrottlingException"
                | "Throttling"
                | "TooManyRequestsException"
                | "RequestLimitExceeded"
                // The other names that an SDK retries ("Retry" in the user guide).
                | "ThrottledException"
                | "RequestThrottled"
                | "RequestThrottledException"
                | "ProvisionedThroughputExceededException"
                | "TransactionInProgressException"
                | "PriorRequestNotComplete"
                | "SlowDown",
                ..,
            ) => StoreError::Throttled { reason },
            ("LimitExceededException", ..) => StoreError::Quota {
                operation: self.operation,
                secret,
                reason,
            },
            (
                "AccessDeniedException"
                | "AccessDenied"
                | "DecryptionFailure"
                | "EncryptionFailure"
                | "NotAuthorized"
                | "OptInRequired",
                ..,
            ) => StoreError::Denied {
                operation: self.operation,
                secret,
                reason,
            },
            (
                "InternalServiceError"
                | "InternalServiceErrorException"
                | "InternalFailure"
                | "InternalServerError"
                | "ServiceUnavailable"
                | "ServiceUnavailableException"
                | "RequestTimeout"
                | "RequestTimeoutException",
                ..,
            ) => StoreError::Unavailable { reason },
            _ => StoreError::Refused {
                operation: self.operation,
                secret,
                reason,
            },
        }
    }
}

/// The fault of the caller's credentials that an error stands for ("Common errors" in the API
/// reference).
fn credential_fault(name: &str, message: &str) -> Option<CredentialFault> {
    Some(match name {
        "ExpiredTokenException" | "ExpiredToken" => CredentialFault::Expired,
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException" => CredentialFault::UnknownKey,
        "RequestTimeTooSkewed" | "RequestExpired" => CredentialFault::Clock,
        "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "IncompleteSignatureException" => {
            // "Signature expired: 20261129T… is now earlier than …"
            let by_clock = ["Signature expired", "Signature not yet current"];
            if by_clock.iter().any(|words| message.contains(words)) {
                CredentialFault::Clock
            } else {
                CredentialFault::WrongSignature
            }
        }
        _ => return None,
    })
}

/// The error of reading a binary secret.
#[must_use]
pub(super) fn binary_secret(secret: &str) -> StoreError {
    StoreError::Binary {
        secret: secret.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VersionId;
    use twinkey_core::code::{Code, Diagnostic};

    #[test]
    fn maps_each_aws_error_name_to_its_code() {
        let id = VersionId("0".repeat(32));
        let put = ApiCall {
            operation: "PutSecretValue",
            secret: "s",
            subject: CallSubject::Version(&id),
        };
        let moved = ApiCall {
            operation: "UpdateSecretVersionStage",
            secret: "s",
            subject: CallSubject::Stage("AWSCURRENT"),
        };
        for (call, name, code, retryable) in [
            (
                put,
                "ResourceNotFoundException",
                Code::SecretNotFound,
                false,
            ),
            (put, "ResourceExistsException", Code::LostRace, false),
            (moved, "InvalidParameterException", Code::LostRace, false),
            (
                put,
                "InvalidParameterException",
                Code::StoreUnavailable,
                false,
            ),
            (
                moved,
                "InvalidRequestException",
                Code::StoreUnavailable,
                false,
            ),
            (put, "AccessDeniedException", Code::StoreDenied, true),
            (put, "DecryptionFailure", Code::StoreDenied, true),
            (put, "ThrottlingException", Code::StoreThrottled, true),
            (put, "ThrottledException", Code::StoreThrottled, true),
            (put, "RequestThrottledException", Code::StoreThrottled, true),
            (
                put,
                "ProvisionedThroughputExceededException",
                Code::StoreThrottled,
                true,
            ),
            (
                put,
                "TransactionInProgressException",
                Code::StoreThrottled,
                true,
            ),
            (put, "PriorRequestNotComplete", Code::StoreThrottled, true),
            (put, "ExpiredTokenException", Code::AwsCredentials, true),
            (
                put,
                "UnrecognizedClientException",
                Code::AwsCredentials,
                true,
            ),
            (put, "InvalidSignatureException", Code::AwsCredentials, true),
            (put, "RequestTimeTooSkewed", Code::AwsCredentials, true),
            (put, "LimitExceededException", Code::StoreQuota, false),
            (moved, "LimitExceededException", Code::StoreQuota, false),
            (put, "InternalServiceError", Code::StoreUnavailable, true),
            (put, "SomethingNew", Code::StoreUnavailable, false),
        ] {
            let error = call.error(name, "why");
            assert_eq!(
                (error.code(), error.retryable()),
                (code, retryable),
                "{name}"
            );
        }
    }
    #[test]
    fn a_wrong_clock_is_no_wrong_key() {
        let call = ApiCall {
            operation: "GetSecretValue",
            secret: "s",
            subject: CallSubject::Secret,
        };
        for (message, word) in [
            (
                "Signature expired: 20261129T100000Z is now earlier than 20261129T103000Z",
                "clock",
            ),
            (
                "Signature not yet current: 20261129T110000Z is still later",
                "clock",
            ),
            (
                "The request signature we calculated does not match",
                "signature",
            ),
        ] {
            let error = call.error("InvalidSignatureException", message);
            assert!(error.to_string().contains(word), "{error}");
            assert!(error.to_string().len() < 120, "{error}");
        }
    }
}
