//! How Secrets Manager says no: one of the API's error names, and a sentence. Never a value.

/// An error as the API names it (`__type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
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
    InvalidNextToken,
    Internal,
    /// The key may not do this with this secret.
    AccessDenied,
    /// There is no signature.
    MissingAuthenticationToken,
    /// There is a part of a signature.
    IncompleteSignature,
    /// Nobody has such a key.
    UnrecognizedClient,
    /// The signature is another request's, another key's or too old.
    InvalidSignature,
    RequestTooLarge,
    ServiceUnavailable,
}

impl RefusalKind {
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
            Self::InvalidNextToken => "InvalidNextTokenException",
            Self::Internal => "InternalServiceError",
            Self::AccessDenied => "AccessDeniedException",
            Self::MissingAuthenticationToken => "MissingAuthenticationTokenException",
            Self::IncompleteSignature => "IncompleteSignatureException",
            Self::UnrecognizedClient => "UnrecognizedClientException",
            Self::InvalidSignature => "InvalidSignatureException",
            Self::RequestTooLarge => "RequestEntityTooLargeException",
            Self::ServiceUnavailable => "ServiceUnavailableException",
        }
    }

    /// The HTTP status that it comes with. The API's common errors page lists 403 and 404 for some of
    /// these; over this protocol the service answers all mistakes of the client with 400.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Internal => 500,
            Self::ServiceUnavailable => 503,
            Self::RequestTooLarge => 413,
            _ => 400,
        }
    }

    /// What the member with the sentence is called: what stands in front of the service writes it in
    /// lower case, and the SDKs read both.
    #[must_use]
    pub const fn member(self) -> &'static str {
        match self {
            Self::MissingAuthenticationToken
            | Self::IncompleteSignature
            | Self::UnrecognizedClient
            | Self::InvalidSignature => "message",
            _ => "Message",
        }
    }
}

/// Why the store does not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", .kind.name())]
pub struct Refusal {
    pub kind: RefusalKind,
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    pub(super) fn no_secret() -> Self {
        Self::new(
            RefusalKind::ResourceNotFound,
            "Secrets Manager can't find the specified secret.",
        )
    }

    pub(super) fn marked_deleted() -> Self {
        Self::new(
            RefusalKind::InvalidRequest,
            "You can't perform this operation on the secret because it was marked for deletion.",
        )
    }
}

impl From<sqlx::Error> for Refusal {
    /// sqlx's messages quote neither the statement nor what was bound to it.
    fn from(error: sqlx::Error) -> Self {
        Self::new(RefusalKind::Internal, format!("the store's file: {error}"))
    }
}
