//! Errors of failed SDK calls. Response bodies are never quoted.
//!
//! # Failure modes
//! - The SDK's error is a dump of its own structures, hundreds of characters long. Only the texts of
//!   its causes are used, without repetitions.
//! - Missing credentials look like a network that is down: the SDK reports both as a request that
//!   was not sent. The causes tell them apart.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};

use twinkey_core::aws::RoleError;
use twinkey_core::printable::{MESSAGE, printable};

use crate::api_error::ApiCall;
use crate::{CredentialFault, StoreError};

/// The error that a failed SDK call stands for.
pub(super) fn sdk_error<E>(call: ApiCall<'_>, error: &SdkError<E>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let unavailable = |reason: String| StoreError::Unavailable { reason };
    match error {
        SdkError::ServiceError(e) => {
            let status = e.raw().status().as_u16();
            let message = e.err().message().unwrap_or("no message");
            match e.err().code() {
                Some(name) => match call.error(name, message) {
                    StoreError::Refused { reason, .. } if status >= 500 => unavailable(reason),
                    error => error,
                },
                None if status == 429 => StoreError::Throttled {
                    reason: format!("HTTP status {status}"),
                },
                None if status >= 500 => unavailable(format!("HTTP status {status}")),
                None => call.error(
                    "a response without an error name",
                    &format!("HTTP status {status}"),
                ),
            }
        }
        SdkError::TimeoutError(_) => unavailable(format!("{} took too long", call.operation)),
        SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_) => {
            let causes = causes(error);
            credentials(&causes).unwrap_or_else(|| unavailable(sentence(&causes)))
        }
        SdkError::ResponseError(_) => {
            unavailable("the response was incomplete or malformed".into())
        }
        _ => unavailable("the request failed".into()),
    }
}

/// The causes of an error, the outermost first, without the error itself.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause);
        next = cause.source();
    }
    causes
}

/// The error, if the request was not sent for want of credentials or of a region.
fn credentials(causes: &[&(dyn Error + 'static)]) -> Option<StoreError> {
    let text = |cause: &&(dyn Error + 'static)| cause.to_string();
    let of_role = causes
        .iter()
        .find_map(|cause| cause.downcast_ref::<RoleError>());
    if let Some(error) = of_role {
        return Some(StoreError::Credentials {
            fault: CredentialFault::Role,
            reason: Some(error.to_string()),
        });
    }
    let by_provider = causes.iter().find_map(|cause| cause.downcast_ref());
    let (fault, reason) = match by_provider {
        Some(CredentialsError::CredentialsNotLoaded(_)) => (CredentialFault::Missing, None),
        Some(_) => {
            let reason = causes.last().map(text);
            (CredentialFault::Unreadable, reason)
        }
        None if causes.iter().map(text).any(|text| is_about_region(&text)) => {
            (CredentialFault::NoRegion, None)
        }
        None => return None,
    };
    Some(StoreError::Credentials {
        fault,
        reason: reason.map(|reason| printable(&reason, MESSAGE)),
    })
}

/// The endpoint's and the signer's words for a missing region.
fn is_about_region(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.contains("missing region") || text.contains("no region") || text.contains("signing region")
}

/// The texts of the causes that add something to the one before.
fn sentence(causes: &[&(dyn Error + 'static)]) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in causes {
        let text = cause.to_string();
        if parts.last().is_none_or(|last| !last.contains(&text)) {
            parts.push(text);
        }
    }
    if parts.is_empty() {
        return "the request could not be sent".into();
    }
    printable(&parts.join(": "), MESSAGE)
}
