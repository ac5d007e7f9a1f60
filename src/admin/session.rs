//! The session of a person who has given the token on the dashboard: a cookie that holds no token, and
//! that nobody keeps a list of.
//!
//! What can go wrong, and what prevents it:
//! - a cookie is made up or its time changed: it is sealed with the token's hash, and with another token
//!   it is over;
//! - a form is sent from another site in the person's browser: the cookie is `SameSite=Strict`, and every
//!   form carries a mark made of the cookie, which another site cannot read.

use aws_lc_rs::constant_time;
use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};

use crate::admin::auth::Gate;
use twinkey_core::telemetry::Clock;

/// The cookie's name.
pub const COOKIE_NAME: &str = "twinkey_session";
/// How long a session lasts.
pub const LASTS: TimeDelta = TimeDelta::hours(12);

/// A session that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session(String);

impl Session {
    /// A new session, from now on.
    #[must_use]
    pub fn begin(gate: &Gate, now: DateTime<Utc>) -> Self {
        let ends = (now + LASTS).timestamp();
        let id = uuid::Uuid::new_v4().simple();
        let text = format!("{ends}.{id}");
        let mark = mark(gate, "session", &text);
        Self(format!("{text}.{mark}"))
    }

    /// The cookie's value.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.0
    }

    /// What tells this session from others in the log; it opens nothing.
    #[must_use]
    pub fn name(&self) -> &str {
        let id = self.0.split('.').nth(1).unwrap_or_default();
        id.get(..8).unwrap_or(id)
    }

    /// What every form of this session carries.
    #[must_use]
    pub fn form_mark(&self, gate: &Gate) -> String {
        mark(gate, "form", &self.0)
    }

    /// Whether a form of this session carries its mark.
    #[must_use]
    pub fn marked(&self, gate: &Gate, given: &str) -> bool {
        same(&self.form_mark(gate), given)
    }

    /// The session of a cookie's value, while it is in force.
    #[must_use]
    pub fn read(gate: &Gate, value: &str, now: DateTime<Utc>) -> Option<Self> {
        let (text, given) = value.rsplit_once('.')?;
        let (ends, _) = text.split_once('.')?;
        let ends = ends.parse::<i64>().ok()?;
        (same(&mark(gate, "session", text), given) && now.timestamp() < ends)
            .then(|| Self(value.to_owned()))
    }
}

/// The session that a request carries, while it is in force.
#[must_use]
pub fn of(gate: &Gate, headers: &HeaderMap) -> Option<Session> {
    let now = Clock::system().now();
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .filter(|(name, _)| *name == COOKIE_NAME)
        .find_map(|(_, value)| Session::read(gate, value, now))
}

fn mark(gate: &Gate, purpose: &str, text: &str) -> String {
    URL_SAFE_NO_PAD.encode(gate.seal(&format!("{purpose} {text}")))
}

fn same(a: &str, b: &str) -> bool {
    constant_time::verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::TokenSource;

    fn gate(token: &str) -> Gate {
        Gate::new(Some(TokenSource::Value(token.into()))).unwrap()
    }

    #[test]
    fn a_session_holds_until_its_end_and_under_its_token_only() {
        let now = "2026-11-24T07:00:00Z".parse().unwrap();
        let gate = gate("the-first-token-0123");
        let session = Session::begin(&gate, now);
        let value = session.value();
        let read = |value: &str, at| Session::read(&gate, value, at);
        assert_eq!(read(value, now).as_ref(), Some(&session));
        assert_eq!(read(value, now + LASTS), None);
        let other = self::gate("the-second-token-0123");
        assert_eq!(Session::read(&other, value, now), None);
        let (ends, rest) = value.split_once('.').unwrap();
        let later = format!("{}.{rest}", ends.parse::<i64>().unwrap() + 60);
        for made_up in [later.as_str(), "", "..", "1.2.3", &value[1..]] {
            assert_eq!(read(made_up, now), None, "{made_up:?}");
        }
    }

    #[test]
    fn a_form_of_another_session_is_told_from_one_s_own() {
        let now = "2026-11-24T07:00:00Z".parse().unwrap();
        let gate = gate("the-first-token-0123");
        let (one, two) = (Session::begin(&gate, now), Session::begin(&gate, now));
        assert!(one.marked(&gate, &one.form_mark(&gate)));
        assert!(!one.marked(&gate, &two.form_mark(&gate)));
        assert!(!one.marked(&gate, ""));
        assert_eq!(one.name().len(), 8);
        assert_ne!(one.name(), two.name());
    }
}
