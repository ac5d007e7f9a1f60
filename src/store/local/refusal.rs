//! How Secrets Manager says no: one of the API's error names, and a sentence. Never a value.

/// An error as the API names it (`__type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    ResourceNotFound,
    ResourceExists,
    InvalidParameter,
    InvalidRequest,
    LimitExceeded,
    /// A length or a pattern; the API answers so before it looks at the secret.
    Validation,
    /// The body is not the JSON that the action takes.
    Serialization,
    UnknownOperation,
    Decryption,
    Encryption,
    Internal,
}

impl Kind {
    /// The name in `__type`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::ResourceExists => "ResourceExistsException",
            Self::InvalidParameter => "InvalidParameterException",
            Self::InvalidRequest => "InvalidRequestException",
            Self::LimitExceeded => "LimitExceededException",
            Self::Validation => "ValidationException",
            Self::Serialization => "SerializationException",
            Self::UnknownOperation => "UnknownOperationException",
            Self::Decryption => "DecryptionFailure",
            Self::Encryption => "EncryptionFailure",
            Self::Internal => "InternalServiceError",
        }
    }

    /// The HTTP status that the API reference gives for it.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Internal => 500,
            _ => 400,
        }
    }
}

/// Why the store does not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", .kind.name())]
pub struct Refusal {
    pub kind: Kind,
    pub message: String,
}

impl Refusal {
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    pub(super) fn no_secret() -> Self {
        Self::new(
            Kind::ResourceNotFound,
            "Secrets Manager can't find the specified secret.",
        )
    }

    pub(super) fn marked_deleted() -> Self {
        Self::new(
            Kind::InvalidRequest,
            "You can't perform this operation on the secret because it was marked for deletion.",
        )
    }
}

impl From<sqlx::Error> for Refusal {
    /// sqlx's messages quote neither the statement nor what was bound to it.
    fn from(error: sqlx::Error) -> Self {
        Self::new(Kind::Internal, format!("the store's file: {error}"))
    }
}
