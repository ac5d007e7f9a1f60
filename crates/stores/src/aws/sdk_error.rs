//! Errors of failed SDK calls. Response bodies are never quoted.

use aws_sdk_secretsmanager::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

use twinkey_core::printable::{MESSAGE, printable};

use crate::StoreError;
use crate::api_error::ApiCall;

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
        SdkError::DispatchFailure(e) => unavailable(match e.as_connector_error() {
            Some(e) => printable(&DisplayErrorContext(e).to_string(), MESSAGE),
            None => "the request could not be sent".into(),
        }),
        SdkError::ResponseError(_) => {
            unavailable("the response was incomplete or malformed".into())
        }
        SdkError::ConstructionFailure(_) => call.error(
            "the request could not be built",
            "is a region set (secrets.region or AWS_REGION)?",
        ),
        _ => unavailable("the request failed".into()),
    }
}
