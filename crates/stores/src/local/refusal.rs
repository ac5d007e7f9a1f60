//! Errors of the API: an error name and a message. Never a value.

/// Error name of the API (`__type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    ResourceNotFound,
    ResourceExists,
    InvalidParameter,
    InvalidRequest,
    LimitExceeded,
    /// The resource policy is malformed, or of a kind that this store does not have.
    MalformedPolicyDocument,
    /// A length or a pattern is wrong; the API checks that before it reads the secret.
    Validation,
    /// The body is not valid JSON for the action.
    Serialization,
    UnknownOperation,
    Decryption,
    Encryption,
    /// The file was changed by another program, or a disk error changed it.
    Damaged,
    InvalidNextToken,
    Internal,
    /// The key lacks the permission for this secret.
    AccessDenied,
    /// The signature is missing.
    MissingAuthenticationToken,
    /// The signature is incomplete.
    IncompleteSignature,
    /// The key does not exist.
    UnrecognizedClient,
    /// The signature is of another request or key, or too old.
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
            Self::MalformedPolicyDocument => "MalformedPolicyDocumentException",
            Self::Validation => "ValidationException",
            Self::Serialization => "SerializationException",
            Self::UnknownOperation => "UnknownOperationException",
            // The clients of AWS do not retry this error.
            Self::Decryption | Self::Damaged => "DecryptionFailure",
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

    /// The HTTP status. The page of common errors lists 403 and 404 for some names; over this
    /// protocol the service responds with 400 to all client errors.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Internal => 500,
            Self::ServiceUnavailable => 503,
            Self::RequestTooLarge => 413,
            _ => 400,
        }
    }

    /// The name of the member with the message. Authentication errors write it in lower case, and
    /// the SDKs read both.
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

/// Refusal of a request.
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
    /// Messages of sqlx quote neither the statement nor bound values.
    fn from(error: sqlx::Error) -> Self {
        Self::new(RefusalKind::Internal, format!("the store's file: {error}"))
    }
}
