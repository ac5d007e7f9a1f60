//! Access to the dashboard: sign-in, session cookie, CSRF tokens and security headers.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::FormRejection;
use axum::extract::{ConnectInfo, Form, FromRequest, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, ORIGIN, REFERRER_POLICY, SET_COOKIE,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use secrecy::ExposeSecret;
use serde::{Deserialize, Deserializer};

use super::form::parse_form;
use super::session_context::SessionContext;
use super::{EVENTS, ErrorPage, view};
use crate::admin::MAX_BODY;
use crate::admin::auth::session::{self, COOKIE_NAME, LIFETIME, Session};
use crate::admin::auth::{self, Authenticated, TokenAuth};
use crate::admin::problem::ApiError;
use twinkey_core::secret::Sensitive;
use twinkey_core::telemetry::{AUDIT, Clock};
use twinkey_stores::listener::PeerAddr;

/// The route that ends a session.
pub(super) const SIGN_OUT: &str = "/sign-out";

/// Headers that forbid foreign content, inline content and frames.
///
/// The referrer is withheld from other sites only. With `no-referrer` a browser sends `Origin: null` with
/// the dashboard's own forms (Fetch Standard, "append a request Origin header"), as for another site's.
const HEADERS: [(HeaderName, &str); 4] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "same-origin"),
    (CACHE_CONTROL, "no-store"),
];

/// Middleware of every route: refuses cross-site requests and adds the security headers.
pub(super) async fn security_headers(
    State(auth): State<Arc<TokenAuth>>,
    request: Request,
    next: Next,
) -> Response {
    let refusal = auth::cross_site_refusal(&auth, &request);
    let mut response = match refusal {
        Some(error) => ErrorPage(error).into_response(),
        None => next.run(request).await,
    };
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Middleware that requires a session, and with every form its CSRF token and an operator.
///
/// Without a session it shows the sign-in page. If no token is required, it starts a session itself, so that
/// forms work the same way.
pub(super) async fn require_session(
    State(auth): State<Arc<TokenAuth>>,
    mut request: Request,
    next: Next,
) -> Response {
    let existing = session::from_headers(&auth, request.headers());
    let is_new = existing.is_none() && auth.is_open();
    let start = |principal| Session::start(principal, Clock::system().now());
    let session = existing.or_else(|| auth.anonymous().map(start));
    let Some(session) = session else {
        let back = match *request.method() {
            Method::GET => request.uri().path(),
            _ => "/",
        };
        return view::page(StatusCode::UNAUTHORIZED, view::sign_in::page(back, false));
    };
    let principal = Arc::clone(session.principal());
    if request.method() == Method::POST {
        if request.uri().path() != SIGN_OUT
            && let Err(error) = principal.require_operator()
        {
            return ErrorPage(error).into_response();
        }
        request = match check_csrf_token(&session, request).await {
            Ok(request) => request,
            Err(error) => return error.into_response(),
        };
    }
    let cookie = is_new.then(|| cookie(session.value(), LIFETIME.num_seconds(), request.headers()));
    request.extensions_mut().insert(Authenticated(principal));
    request.extensions_mut().insert(session.clone());
    request.extensions_mut().insert(SessionContext {
        csrf_token: session.csrf_token(),
        session,
        signed_in: !auth.is_open(),
    });
    let mut response = next.run(request).await;
    if let Some(cookie) = cookie {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

#[derive(Deserialize)]
struct CsrfForm {
    #[serde(default)]
    csrf_token: String,
}

/// The request, if its form carries the CSRF token of the session.
async fn check_csrf_token(session: &Session, request: Request) -> Result<Request, ErrorPage> {
    const HINT: &str = "open the page again and submit its form; the session may have ended";
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, MAX_BODY).await.map_err(|_| {
        let detail = format!(
            "the form is longer than {} KiB, or incomplete",
            MAX_BODY / 1024
        );
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, detail, HINT)
    })?;
    let copy = Request::from_parts(parts.clone(), Body::from(body.clone()));
    let form: Result<Form<CsrfForm>, FormRejection> = Form::from_request(copy, &()).await;
    if form.is_ok_and(|Form(form)| session.has_csrf_token(&form.csrf_token)) {
        return Ok(Request::from_parts(parts, Body::from(body)));
    }
    let detail = "the form does not belong to the session that sent it";
    Err(ApiError::new(StatusCode::FORBIDDEN, detail, HINT).into())
}

/// The session cookie; `Secure` if the `Origin` is https, of the worker or of a proxy before it.
fn cookie(value: &str, max_age: i64, headers: &HeaderMap) -> HeaderValue {
    let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
    let secure = if origin.is_some_and(|origin| origin.starts_with("https://")) {
        "; Secure"
    } else {
        ""
    };
    let text = format!(
        "{COOKIE_NAME}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Strict{secure}"
    );
    // The value is base64, digits and dots.
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The fields of the sign-in form.
#[derive(Deserialize)]
pub(super) struct SignIn {
    #[serde(default = "empty", deserialize_with = "sensitive")]
    token: Sensitive,
    /// The page to open after the sign-in.
    #[serde(default)]
    back: String,
}

fn empty() -> Sensitive {
    Sensitive::from("")
}

fn sensitive<'de, D: Deserializer<'de>>(from: D) -> Result<Sensitive, D::Error> {
    String::deserialize(from).map(Sensitive::from)
}

/// Checks the token and starts a session.
pub(super) async fn sign_in(
    Extension(auth): Extension<Arc<TokenAuth>>,
    ConnectInfo(peer): ConnectInfo<PeerAddr>,
    headers: HeaderMap,
    form: Result<Form<SignIn>, FormRejection>,
) -> Result<Response, ErrorPage> {
    let form = parse_form(form)?;
    let back = local_path(&form.back);
    let token = form.token.expose_secret().trim();
    let Some(principal) = auth.authenticate(token.as_bytes()) else {
        if let Some(response) = auth.guesses().refuse(peer).await {
            return Ok(response);
        }
        let page = view::sign_in::page(back, true);
        return Ok(view::page(StatusCode::UNAUTHORIZED, page));
    };
    let session = Session::start(principal, Clock::system().now());
    let actor = session.principal().name();
    tracing::info!(target: AUDIT, actor, peer = %peer.0, session = session.log_id(), "dashboard sign-in");
    let cookie = cookie(session.value(), LIFETIME.num_seconds(), &headers);
    Ok(([(SET_COOKIE, cookie)], Redirect::to(back)).into_response())
}

/// `back` if it is a path of the dashboard, else `/`.
fn local_path(back: &str) -> &str {
    let known = (back == EVENTS || back.starts_with("/rotations/"))
        && back
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"/-".contains(&b));
    if known { back } else { "/" }
}

/// Redirects a `GET` of the sign-in form's address to `/`.
pub(super) async fn redirect_to_start() -> Redirect {
    Redirect::to("/")
}

/// Deletes the session cookie.
pub(super) async fn sign_out(headers: HeaderMap) -> Response {
    let expired = cookie("", 0, &headers);
    ([(SET_COOKIE, expired)], Redirect::to("/")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_redirects_within_this_site_only() {
        for own in [EVENTS, "/rotations/orders", "/rotations/orders/rotate"] {
            assert_eq!(local_path(own), own);
        }
        for other in [
            "",
            "//evil.example",
            "https://evil.example/rotations/",
            "/rotations/\\evil.example",
            "/rotations/..//evil.example?",
            "/v1/rotations",
        ] {
            assert_eq!(local_path(other), "/", "{other}");
        }
    }

    #[test]
    fn the_cookie_is_http_only_strict_and_secure_over_tls() {
        let text = |origin: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ORIGIN, HeaderValue::from_static(origin));
            let cookie = cookie("1.a.b", 60, &headers);
            cookie.to_str().unwrap().to_owned()
        };
        let plain = "twinkey_session=1.a.b; Path=/; Max-Age=60; HttpOnly; SameSite=Strict";
        assert_eq!(text("http://127.0.0.1:8321"), plain);
        assert_eq!(text("https://twinkey.example"), format!("{plain}; Secure"));
    }
}
