//! Refusal of requests that a page of another site makes a browser send.
//!
//! # Failure modes
//! - A page of another site sends a form to the worker: a request that changes something is refused if
//!   its `Origin` is another one, or its `Sec-Fetch-Site` is `cross-site`.
//! - A page of another site loads a path at which the worker signs in to a database: it is refused if
//!   its `Sec-Fetch-Site` is `cross-site`.
//! - A page of another site resolves its own name to loopback (DNS rebinding): without a token, every
//!   request is refused whose `Host` is neither an address nor `localhost`.

use std::net::IpAddr;

use axum::extract::{MatchedPath, Request};
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::token::TokenAuth;
use crate::admin::problem::ApiError;

/// The routes that read and sign in to a database.
const SIGN_IN_ROUTES: [&str; 3] = [
    "/v1/rotations/{name}/plan",
    "/v1/rotations/{name}/check",
    "/rotations/{name}/database-check",
];

/// The refusal of a request that a page of another site made a browser send.
pub(in crate::admin) fn cross_site_refusal(
    auth: &TokenAuth,
    request: &Request,
) -> Option<ApiError> {
    let headers = request.headers();
    let foreign_host = auth.is_open() && !host_is_local(headers);
    let changes = *request.method() != Method::GET;
    let route = request.extensions().get::<MatchedPath>();
    let signs_in = route.is_some_and(|route| SIGN_IN_ROUTES.contains(&route.as_str()));
    let foreign =
        (changes && is_cross_origin(headers)) || ((changes || signs_in) && is_cross_site(headers));
    (foreign_host || foreign).then(|| {
        ApiError::new(
            StatusCode::FORBIDDEN,
            "the browser sent this request for a page of another site",
            "send it from a program, or from the dashboard",
        )
    })
}

/// Whether the `Host` is an address or `localhost`, or absent, which no browser sends.
fn host_is_local(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST) else {
        return true;
    };
    let host = host.to_str().ok().and_then(|h| h.parse::<Authority>().ok());
    host.is_some_and(|host| {
        let name = host.host().trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
    })
}

/// Whether the `Origin` names another site; only browsers send one.
fn is_cross_origin(headers: &HeaderMap) -> bool {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let Some(origin) = headers.get(ORIGIN) else {
        return false;
    };
    let authority = origin.to_str().ok().and_then(|o| o.split_once("://"));
    authority.is_none_or(|(_, authority)| text(HOST) != Some(authority))
}

/// Whether a browser reports that a page of another site sent the request.
fn is_cross_site(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site");
    site.is_some_and(|site| site.as_bytes().eq_ignore_ascii_case(b"cross-site"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sign_in_route_exists() {
        let all = crate::admin::all_routes();
        for route in SIGN_IN_ROUTES {
            let is_page = !route.starts_with("/v1/");
            let exists = all.iter().any(|(_, path)| *path == route);
            assert!(
                exists || (is_page && cfg!(not(feature = "dashboard"))),
                "{route}"
            );
        }
    }

    #[test]
    fn another_origin_is_detected() {
        let headers = |origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("127.0.0.1:8321"));
            if let Some(origin) = origin {
                headers.insert(ORIGIN, origin.parse().unwrap());
            }
            headers
        };
        for own in [
            None,
            Some("http://127.0.0.1:8321"),
            Some("https://127.0.0.1:8321"),
        ] {
            assert!(!is_cross_origin(&headers(own)), "{own:?}");
        }
        for other in [
            "null",
            "http://127.0.0.1",
            "http://evil.example",
            "http://127.0.0.1:83210",
        ] {
            assert!(is_cross_origin(&headers(Some(other))), "{other}");
        }
    }

    #[test]
    fn another_host_is_detected() {
        let names = |host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            host_is_local(&headers)
        };
        for own in [
            "127.0.0.1:8321",
            "localhost:8321",
            "[::1]:8321",
            "LOCALHOST",
        ] {
            assert!(names(own), "{own}");
        }
        for other in [
            "evil.example:8321",
            "localhost.evil.example",
            "127.0.0.1.nip.io",
            "",
        ] {
            assert!(!names(other), "{other}");
        }
        assert!(host_is_local(&HeaderMap::new()));
    }
}
