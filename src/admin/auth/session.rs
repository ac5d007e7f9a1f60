//! Dashboard sessions: signed cookies that hold no token, without a list on the server.
//!
//! # Failure modes
//! - A cookie is forged, or its expiry or name changed: it is signed with the hash of the token that it
//!   names, so that a new token also ends every session.
//! - Another site sends a form in the user's browser: the cookie is `SameSite=Strict`, and every form
//!   carries a CSRF token derived from the cookie, which another site cannot read.
//! - A link makes a page say that an action was executed: such an address carries a receipt, which only the
//!   session that executed it gets.

use std::sync::Arc;

use aws_lc_rs::constant_time;
use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};

use super::principal::Principal;
use super::token::TokenAuth;
use twinkey_core::telemetry::Clock;

/// The cookie's name.
pub const COOKIE_NAME: &str = "twinkey_session";
/// How long a session lasts.
pub const LIFETIME: TimeDelta = TimeDelta::hours(12);

/// A valid session.
#[derive(Clone)]
pub struct Session {
    /// `EXPIRES.ID.NAME.SIGNATURE`
    value: String,
    principal: Arc<Principal>,
}

impl Session {
    /// A new session of a caller that starts at `now`.
    #[must_use]
    pub fn start(principal: Arc<Principal>, now: DateTime<Utc>) -> Self {
        let expires = (now + LIFETIME).timestamp();
        let id = uuid::Uuid::new_v4().simple();
        let text = format!("{expires}.{id}.{}", principal.name());
        let signature = signature(&principal, "session", &text);
        Self {
            value: format!("{text}.{signature}"),
            principal,
        }
    }

    /// The caller that signed in.
    #[must_use]
    pub const fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// The cookie's value.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The session's id for the log; it authorizes nothing.
    #[must_use]
    pub fn log_id(&self) -> &str {
        let id = self.value.split('.').nth(1).unwrap_or_default();
        id.get(..8).unwrap_or(id)
    }

    /// The CSRF token of this session's forms.
    #[must_use]
    pub fn csrf_token(&self) -> String {
        signature(&self.principal, "form", &self.value)
    }

    /// Whether `candidate` is the CSRF token of this session.
    #[must_use]
    pub fn has_csrf_token(&self, candidate: &str) -> bool {
        equal(&self.csrf_token(), candidate)
    }

    /// A proof that this session executed an action, for the address of the page that says so.
    #[must_use]
    pub fn receipt(&self, action: &str) -> String {
        signature(
            &self.principal,
            "receipt",
            &format!("{} {action}", self.value),
        )
    }

    /// Whether `candidate` proves that this session executed an action.
    #[must_use]
    pub fn has_receipt(&self, action: &str, candidate: &str) -> bool {
        equal(&self.receipt(action), candidate)
    }

    /// The session of a cookie's value, if it is signed and not expired.
    #[must_use]
    pub fn parse(auth: &TokenAuth, value: &str, now: DateTime<Utc>) -> Option<Self> {
        let (text, candidate) = value.rsplit_once('.')?;
        let (expires, rest) = text.split_once('.')?;
        let (_, name) = rest.split_once('.')?;
        let expires = expires.parse::<i64>().ok()?;
        let principal = auth.named(name)?;
        let signature = signature(&principal, "session", text);
        (equal(&signature, candidate) && now.timestamp() < expires).then(|| Self {
            value: value.to_owned(),
            principal,
        })
    }
}

/// The valid session of a request.
#[must_use]
pub fn from_headers(auth: &TokenAuth, headers: &HeaderMap) -> Option<Session> {
    let now = Clock::system().now();
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .filter(|(name, _)| *name == COOKIE_NAME)
        .find_map(|(_, value)| Session::parse(auth, value, now))
}

fn signature(principal: &Principal, purpose: &str, text: &str) -> String {
    URL_SAFE_NO_PAD.encode(principal.sign(&format!("{purpose} {text}")))
}

fn equal(a: &str, b: &str) -> bool {
    constant_time::verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::{Role, TokenSettings, TokenSource};

    fn auth(token: &str) -> TokenAuth {
        let viewer = TokenSettings {
            name: "grafana".into(),
            role: Role::Viewer,
            source: TokenSource::Value("the-viewers-token-0123".into()),
            rotations: None,
        };
        TokenAuth::new(Some(TokenSource::Value(token.into())), vec![viewer]).unwrap()
    }

    fn start(auth: &TokenAuth, now: DateTime<Utc>) -> Session {
        Session::start(auth.named("admin").unwrap(), now)
    }

    #[test]
    fn a_session_is_valid_until_it_expires_under_its_token() {
        let now = "2026-11-24T07:00:00Z".parse().unwrap();
        let auth = auth("the-first-token-0123");
        let session = start(&auth, now);
        let value = session.value();
        let name = |session: Session| session.principal().name().to_owned();
        let read = |value: &str, at| Session::parse(&auth, value, at).map(name);
        assert_eq!(read(value, now), Some("admin".into()));
        assert_eq!(read(value, now + LIFETIME), None);
        let other = self::auth("the-second-token-0123");
        assert!(Session::parse(&other, value, now).is_none());
        let viewer = Session::start(auth.named("grafana").unwrap(), now);
        assert_eq!(read(viewer.value(), now), Some("grafana".into()));
        let operator = viewer.value().replace("grafana", "admin");
        assert_eq!(read(&operator, now), None, "another token's name");
        let (expires, rest) = value.split_once('.').unwrap();
        let later = format!("{}.{rest}", expires.parse::<i64>().unwrap() + 60);
        for forged in [later.as_str(), "", "..", "1.2.3", &value[1..]] {
            assert_eq!(read(forged, now), None, "{forged:?}");
        }
    }

    #[test]
    fn the_csrf_token_of_another_session_is_refused() {
        let now = "2026-11-24T07:00:00Z".parse().unwrap();
        let auth = auth("the-first-token-0123");
        let (one, two) = (start(&auth, now), start(&auth, now));
        assert!(one.has_csrf_token(&one.csrf_token()));
        assert!(!one.has_csrf_token(&two.csrf_token()));
        assert!(!one.has_csrf_token(""));
        let receipt = one.receipt("pause 1");
        assert!(one.has_receipt("pause 1", &receipt));
        for (action, session, candidate) in [
            ("pause 1", &two, receipt.as_str()),
            ("pause 2", &one, &receipt),
            ("pause 1", &one, ""),
            ("pause 1", &one, &one.csrf_token()),
        ] {
            assert!(!session.has_receipt(action, candidate), "{action}");
        }
        assert_eq!(one.log_id().len(), 8);
        assert_ne!(one.log_id(), two.log_id());
    }
}
