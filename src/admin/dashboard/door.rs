//! Who comes in, and how: the sign-in, the session's cookie, the mark of every form, and what every
//! answer tells the browser not to do.

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

use super::{Trouble, view};
use crate::admin::MAX_BODY;
use crate::admin::auth::{self, Gate};
use crate::admin::problem::Answer;
use crate::admin::session::{self, COOKIE_NAME, LASTS, Session};
use twinkey_core::secret::Sensitive;
use twinkey_core::telemetry::{AUDIT, Clock};
use twinkey_stores::listener::Peer;

/// Nothing from elsewhere, nothing inline, no frame around it. The referrer is kept from other sites, and not
/// from this one: with `no-referrer` a browser sends `Origin: null` along with a form of one's own (Fetch
/// Standard, "append a request Origin header"), which cannot be told from another site's.
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

/// Who has come in.
#[derive(Clone)]
pub(super) struct Visitor {
    pub session: Session,
    /// What the forms of this session carry.
    pub mark: String,
    /// Whether the token was asked for, so that there is something to sign out of.
    pub signed_in: bool,
}

/// Around every route: refuses what a page of another site asks, and gives every answer its headers.
pub(super) async fn threshold(
    State(gate): State<Arc<Gate>>,
    request: Request,
    next: Next,
) -> Response {
    let strange = auth::from_another_site(&gate, request.method(), request.headers());
    let mut response = match strange {
        Some(answer) => Trouble(answer).into_response(),
        None => next.run(request).await,
    };
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Lets in whoever has a session; asks for the token otherwise. Where none is needed a session begins by itself,
/// so that the forms of both are the same. A form needs the session's mark.
pub(super) async fn door(
    State(gate): State<Arc<Gate>>,
    mut request: Request,
    next: Next,
) -> Response {
    let there = session::of(&gate, request.headers());
    let begins = there.is_none() && gate.is_open();
    let session = there.or_else(|| begins.then(|| Session::begin(&gate, Clock::system().now())));
    let Some(session) = session else {
        let back = match *request.method() {
            Method::GET => request.uri().path(),
            _ => "/",
        };
        return view::page(StatusCode::UNAUTHORIZED, view::sign_in::page(back, false));
    };
    if request.method() == Method::POST {
        request = match marked(&gate, &session, request).await {
            Ok(request) => request,
            Err(trouble) => return trouble.into_response(),
        };
    }
    let cookie = begins.then(|| cookie(session.value(), LASTS.num_seconds(), request.headers()));
    request.extensions_mut().insert(Visitor {
        mark: session.form_mark(&gate),
        session,
        signed_in: !gate.is_open(),
    });
    let mut response = next.run(request).await;
    if let Some(cookie) = cookie {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

#[derive(Deserialize)]
struct Marked {
    #[serde(default)]
    mark: String,
}

/// The request again, if it is a form of this session.
async fn marked(gate: &Gate, session: &Session, request: Request) -> Result<Request, Trouble> {
    const HINT: &str =
        "open the page again and send its form; the session may have ended meanwhile";
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, MAX_BODY).await.map_err(|_| {
        let detail = format!(
            "the form is longer than {} KiB, or broke off",
            MAX_BODY / 1024
        );
        Answer::new(StatusCode::PAYLOAD_TOO_LARGE, detail, HINT)
    })?;
    let copy = Request::from_parts(parts.clone(), Body::from(body.clone()));
    let form: Result<Form<Marked>, FormRejection> = Form::from_request(copy, &()).await;
    if form.is_ok_and(|Form(form)| session.marked(gate, &form.mark)) {
        return Ok(Request::from_parts(parts, Body::from(body)));
    }
    let detail = "this is no form of the session that sends it";
    Err(Answer::new(StatusCode::FORBIDDEN, detail, HINT).into())
}

/// `Secure` where the browser says that it has come over TLS, here or at a proxy before the worker.
fn cookie(value: &str, lasts: i64, headers: &HeaderMap) -> HeaderValue {
    let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
    let secure = if origin.is_some_and(|origin| origin.starts_with("https://")) {
        "; Secure"
    } else {
        ""
    };
    let text = format!(
        "{COOKIE_NAME}={value}; Path=/; Max-Age={lasts}; HttpOnly; SameSite=Strict{secure}"
    );
    // The value is base64, digits and dots.
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// What the sign-in form sends.
#[derive(Deserialize)]
pub(super) struct SignIn {
    #[serde(default = "nothing", deserialize_with = "sensitive")]
    token: Sensitive,
    /// Where to go on.
    #[serde(default)]
    back: String,
}

fn nothing() -> Sensitive {
    Sensitive::from("")
}

fn sensitive<'de, D: Deserializer<'de>>(from: D) -> Result<Sensitive, D::Error> {
    String::deserialize(from).map(Sensitive::from)
}

/// Takes the token, once, and gives the session for it.
pub(super) async fn sign_in(
    Extension(gate): Extension<Arc<Gate>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    form: Result<Form<SignIn>, FormRejection>,
) -> Result<Response, Trouble> {
    let Form(form) = form.map_err(|refused| {
        let hint = "open the page again and send its form";
        Answer::new(refused.status(), refused.body_text(), hint)
    })?;
    let back = local(&form.back);
    if !gate.admits(form.token.expose_secret().trim().as_bytes()) {
        tracing::warn!(target: AUDIT, peer = %peer.0, "a sign-in to the dashboard was refused: this is not the token");
        let again = view::sign_in::page(back, true);
        return Ok(view::page(StatusCode::UNAUTHORIZED, again));
    }
    let session = Session::begin(&gate, Clock::system().now());
    tracing::info!(target: AUDIT, peer = %peer.0, session = session.name(), "signed in to the dashboard");
    let cookie = cookie(session.value(), LASTS.num_seconds(), &headers);
    Ok(([(SET_COOKIE, cookie)], Redirect::to(back)).into_response())
}

/// A path of this site; anything else leads to the start.
fn local(back: &str) -> &str {
    let known = back.starts_with("/rotations/")
        && back
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"/-".contains(&b));
    if known { back } else { "/" }
}

/// For whoever comes back to the address that the form was sent to.
pub(super) async fn to_the_start() -> Redirect {
    Redirect::to("/")
}

/// Takes the cookie away.
pub(super) async fn sign_out(headers: HeaderMap) -> Response {
    let gone = cookie("", 0, &headers);
    ([(SET_COOKIE, gone)], Redirect::to("/")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_leads_to_a_page_of_this_site_only() {
        for own in ["/rotations/orders", "/rotations/orders/rotate"] {
            assert_eq!(local(own), own);
        }
        for other in [
            "",
            "//evil.example",
            "https://evil.example/rotations/",
            "/rotations/\\evil.example",
            "/rotations/..//evil.example?",
            "/v1/rotations",
        ] {
            assert_eq!(local(other), "/", "{other}");
        }
    }

    #[test]
    fn a_cookie_is_out_of_reach_for_scripts_and_other_sites_and_secure_where_the_page_is() {
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
