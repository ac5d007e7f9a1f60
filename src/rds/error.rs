//! Errors of the RDS API.

use twinkey_core::printable::{MESSAGE, printable};

#[cfg(feature = "aws")]
use crate::aws_request::RequestError;

/// Why the RDS API did not report an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct RdsError {
    pub reason: String,
    /// Whether another attempt can succeed without a change by a person.
    pub retryable: bool,
}

#[cfg(feature = "aws")]
impl From<RequestError> for RdsError {
    fn from(error: RequestError) -> Self {
        let RequestError { reason, retryable } = error;
        Self { reason, retryable }
    }
}

impl RdsError {
    pub(super) fn permanent(reason: impl std::fmt::Display) -> Self {
        Self {
            reason: printable(&reason.to_string(), MESSAGE),
            retryable: false,
        }
    }

    #[cfg(feature = "aws")]
    pub(super) fn temporary(reason: impl std::fmt::Display) -> Self {
        Self {
            reason: printable(&reason.to_string(), MESSAGE),
            retryable: true,
        }
    }
}
