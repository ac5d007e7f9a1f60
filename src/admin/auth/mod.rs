//! Bearer-token authentication (RFC 6750) of the admin endpoint.
//!
//! `token` holds the tokens, `principal` what each permits, `session` the dashboard's sessions, `guesses` the
//! wrong tokens, `cross_site` the check of the origin. [`require`] is the middleware that combines them.

mod cross_site;
mod guesses;
mod principal;
pub mod session;
mod token;

use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

pub(super) use cross_site::cross_site_refusal;
pub use principal::{Authenticated, Principal};
pub use token::{TokenAuth, TokenError};

use crate::admin::problem::ApiError;
use twinkey_stores::listener::PeerAddr;

/// Middleware that requires a token, if there is one, and its role. A session of the dashboard suffices to
/// read.
pub async fn require(
    State(auth): State<Arc<TokenAuth>>,
    ConnectInfo(peer): ConnectInfo<PeerAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(refused) = cross_site_refusal(&auth, &request) {
        return refused.into_response();
    }
    let headers = request.headers();
    let candidate = headers
        .get(AUTHORIZATION)
        .and_then(|value| bearer(value.as_bytes()));
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let session = || {
        let session = session::from_headers(&auth, headers).filter(|_| reads);
        session.map(|session| Arc::clone(session.principal()))
    };
    let by_token = candidate.and_then(|token| auth.authenticate(token));
    let principal = auth.anonymous().or(by_token).or_else(session);
    let Some(principal) = principal else {
        let is_wrong = candidate.is_some();
        return unauthorized(&auth, peer, is_wrong).await;
    };
    if !reads && let Err(refused) = principal.require_operator() {
        return refused.into_response();
    }
    request.extensions_mut().insert(Authenticated(principal));
    next.run(request).await
}

async fn unauthorized(auth: &TokenAuth, peer: PeerAddr, is_wrong: bool) -> Response {
    if is_wrong && let Some(response) = auth.guesses().refuse(peer).await {
        return response;
    }
    let mut response = ApiError::new(
        StatusCode::UNAUTHORIZED,
        "this request needs a token",
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
