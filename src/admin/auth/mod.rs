//! Bearer-token authentication (RFC 6750) of the admin endpoint.
//!
//! `token` holds the token, `session` the dashboard's sessions, `cross_site` the check of the origin.
//! [`require`] is the middleware that combines them.

mod cross_site;
pub mod session;
mod token;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

pub(super) use cross_site::cross_site_refusal;
pub use token::{Token, TokenAuth, TokenError};

use crate::admin::problem::ApiError;

/// Middleware that requires the token, if there is one. A session of the dashboard suffices to read.
pub async fn require(State(auth): State<Arc<TokenAuth>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if let Some(refused) = cross_site_refusal(&auth, request.method(), headers) {
        return refused.into_response();
    }
    let candidate = headers
        .get(AUTHORIZATION)
        .and_then(|value| bearer(value.as_bytes()));
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let allowed = auth.is_open()
        || candidate.is_some_and(|token| auth.accepts(token))
        || (reads && session::from_headers(&auth, headers).is_some());
    if allowed {
        return next.run(request).await;
    }
    let mut response = ApiError::new(
        StatusCode::UNAUTHORIZED,
        "this request needs the admin token",
        "send it as `Authorization: Bearer TOKEN`",
    )
    .into_response();
    let challenge = HeaderValue::from_static("Bearer realm=\"twinkey\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

/// The token of an `Authorization` header; the scheme's name is case-insensitive.
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_header_holds_a_token() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bearer  abc "), Some(&b"abc"[..]));
        for other in [&b""[..], b"Bearer", b"Basic abc", b"abc"] {
            assert_eq!(bearer(other), None);
        }
    }
}
