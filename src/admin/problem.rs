//! Errors as `application/problem+json` (RFC 9457), with the code of the contract where there is one.

use std::fmt;

use axum::Json;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::rotation::error::RotationError;
use twinkey_core::code::{Code, Diagnostic, Problem};

/// An error response: a problem and its HTTP status.
#[derive(Debug, Clone)]
pub struct ApiError {
    status: StatusCode,
    code: Option<Code>,
    detail: String,
    hint: String,
}

/// RFC 9457, with the code of the contract where there is one.
#[derive(Serialize, ToSchema)]
pub struct ProblemDetails<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Code>,
    detail: &'a str,
    hint: &'a str,
}

impl ApiError {
    /// A problem of the request itself, which has no code in the contract.
    #[must_use]
    pub fn new(status: StatusCode, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            status,
            code: None,
            detail: detail.into(),
            hint: hint.into(),
        }
    }

    /// The error of an unknown name.
    #[must_use]
    pub fn not_found(kind: &str, name: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            format!("there is no {kind} {name:?}"),
            "list the rotations with GET /v1/rotations",
        )
    }

    /// The HTTP status of the response.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The code of the contract, where there is one.
    #[must_use]
    pub const fn code(&self) -> Option<Code> {
        self.code
    }

    /// The status as text.
    #[must_use]
    pub fn title(&self) -> &'static str {
        self.status.canonical_reason().unwrap_or("error")
    }

    /// What happened.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// What to do now.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "{code}: {}", self.detail),
            None => f.write_str(&self.detail),
        }
    }
}

impl From<RotationError> for ApiError {
    fn from(error: RotationError) -> Self {
        let Problem {
            code,
            message,
            hint,
        } = error.problem();
        let status = match code {
            Code::AlreadyRunning
            | Code::TooSoon
            | Code::StandbyInUse
            | Code::PendingConflict
            | Code::AlreadyRolledBack
            | Code::ReaderBehind
            | Code::PoolerRefused
            | Code::HookRefused
            | Code::LostRace => StatusCode::CONFLICT,
            Code::JournalUnavailable
            | Code::StoreUnavailable
            | Code::StoreThrottled
            | Code::ReaderUnreachable
            | Code::DbUnreachable => StatusCode::SERVICE_UNAVAILABLE,
            Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Self {
            status,
            code: Some(code),
            detail: message,
            hint,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ProblemDetails {
            r#type: "about:blank",
            title: self.title(),
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
            hint: &self.hint,
        };
        let mut response = (self.status, Json(body)).into_response();
        let content_type = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response
    }
}

/// The response for an unknown path.
pub async fn not_found(uri: Uri) -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        format!("there is no route {}", uri.path()),
        "see the list of routes in docs/admin.md",
    )
}

/// The response for an unsupported method.
pub async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{} has no method {method}", uri.path()),
        "see the list of routes in docs/admin.md",
    )
}
