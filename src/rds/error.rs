//! Errors of the RDS API.

/// Why the RDS API did not report an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct RdsError {
    pub reason: String,
    /// Whether another attempt can succeed without a change by a person.
    pub retryable: bool,
}

impl RdsError {
    pub(super) fn permanent(reason: impl std::fmt::Display) -> Self {
        Self {
            reason: reason.to_string(),
            retryable: false,
        }
    }

    #[cfg(feature = "aws")]
    pub(super) fn temporary(reason: impl std::fmt::Display) -> Self {
        Self {
            reason: reason.to_string(),
            retryable: true,
        }
    }
}
