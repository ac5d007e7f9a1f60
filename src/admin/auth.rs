//! Who may come in: the bearer token (RFC 6750), read again when its file changes.
//!
//! What can go wrong, and what prevents it:
//! - a page of another site makes somebody's browser send a request to a worker on loopback that asks for no
//!   token: what changes something is refused where the browser names another origin, and everything where
//!   such a page's own name was made to lead to this machine (DNS rebinding);
//! - a bad token file takes the endpoint away from everybody: the old token stays in force, and the log says so.

use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::{constant_time, digest, hmac};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;

use crate::admin::problem::Answer;
use crate::admin::session;
use crate::config::settings::{SourceError, TokenSource};

/// The shortest token that is taken: 16 bytes of randomness are 22 characters of base64.
const MIN_LENGTH: usize = 16;

/// The token, as its hash: what is compared does not tell the token's length, and nothing can print it.
#[derive(Clone)]
pub struct Token(digest::Digest);

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    #[error("the admin token: {0}")]
    Source(#[from] SourceError),
    #[error("the system gives no random numbers")]
    NoRandomness,
}

impl Token {
    /// Takes the token from where the config says.
    ///
    /// # Errors
    /// [`TokenError`]
    pub fn read(source: &TokenSource) -> Result<Self, TokenError> {
        let token = source.read(MIN_LENGTH)?;
        Ok(Self(hash(token.expose_secret().as_bytes())))
    }

    fn is(&self, given: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(self.0.as_ref(), hash(given).as_ref()).is_ok()
    }
}

fn hash(token: &[u8]) -> digest::Digest {
    digest::digest(&digest::SHA256, token)
}

/// Who may come in: whoever has the token in force, or everybody where there is none.
pub struct Gate {
    source: Option<TokenSource>,
    token: RwLock<Option<Token>>,
    /// What sessions are sealed with where there is no token.
    own: [u8; 32],
}

impl Gate {
    /// A gate with the token from where the config says. `None`: open to all, which the config allows on
    /// loopback only.
    ///
    /// # Errors
    /// [`TokenError`]
    pub fn new(source: Option<TokenSource>) -> Result<Self, TokenError> {
        let mut own = [0; 32];
        aws_lc_rs::rand::fill(&mut own).map_err(|_| TokenError::NoRandomness)?;
        Ok(Self {
            token: RwLock::new(source.as_ref().map(Token::read).transpose()?),
            source,
            own,
        })
    }

    /// Reads the token again. A bad one leaves the old one in force.
    ///
    /// # Errors
    /// [`TokenError`]
    pub fn reload(&self) -> Result<(), TokenError> {
        if let Some(source) = &self.source {
            let new = Token::read(source)?;
            *self.token.write().unwrap_or_else(PoisonError::into_inner) = Some(new);
        }
        Ok(())
    }

    /// The file that the token comes from.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match &self.source {
            Some(TokenSource::File(path)) => Some(path),
            _ => None,
        }
    }

    /// Whether everybody may come in.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.token().is_none()
    }

    /// Whether this is the token, or none is asked for.
    #[must_use]
    pub fn admits(&self, given: &[u8]) -> bool {
        self.token().is_none_or(|token| token.is(given))
    }

    /// A mark on `text` that only this gate can make, as long as the token stays the same.
    #[must_use]
    pub fn seal(&self, text: &str) -> hmac::Tag {
        let token = self.token();
        let key = token.as_ref().map_or(&self.own[..], |t| t.0.as_ref());
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
    }

    fn token(&self) -> Option<Token> {
        let token = self.token.read();
        token.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Lets a request through if it carries the token, or if none is asked for; and one that only reads if it
/// carries the session of somebody who gave the token on the dashboard.
pub async fn require(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if let Some(refused) = from_another_site(&gate, request.method(), headers) {
        return refused.into_response();
    }
    let given = headers
        .get(AUTHORIZATION)
        .and_then(|value| bearer(value.as_bytes()));
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let allowed = gate.is_open()
        || given.is_some_and(|given| gate.admits(given))
        || (reads && session::of(&gate, headers).is_some());
    if allowed {
        return next.run(request).await;
    }
    let mut response = Answer::new(
        StatusCode::UNAUTHORIZED,
        "this needs the admin token",
        "send it as `Authorization: Bearer TOKEN`",
    )
    .into_response();
    let challenge = HeaderValue::from_static("Bearer realm=\"twinkey\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

/// Why a request is refused whoever asks: a page of another site has made somebody's browser send it.
pub(super) fn from_another_site(
    gate: &Gate,
    method: &Method,
    headers: &HeaderMap,
) -> Option<Answer> {
    let strange_name = gate.is_open() && !names_this_machine(headers);
    (strange_name || (*method != Method::GET && from_elsewhere(headers))).then(|| {
        Answer::new(
            StatusCode::FORBIDDEN,
            "a page of another site asks for this in somebody's browser",
            "call it from a program, or from the dashboard",
        )
    })
}

/// Whether the request's Host is an address or `localhost`, as of who calls a worker on loopback; or there
/// is none, as of no browser.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST) else {
        return true;
    };
    let host = host.to_str().ok().and_then(|h| h.parse::<Authority>().ok());
    host.is_some_and(|host| {
        let name = host.host().trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
    })
}

/// Whether a browser says that a page of another site has made this request. Programs that are no
/// browsers say nothing of the kind.
fn from_elsewhere(headers: &HeaderMap) -> bool {
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

/// The token in an Authorization header; the scheme's name is case-insensitive.
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    #[test]
    fn a_token_matches_itself_only() {
        let source = |t: &str| TokenSource::Value(SecretString::from(t));
        let token = Token::read(&source("0123456789abcdef\n")).unwrap();
        assert!(token.is(b"0123456789abcdef"));
        for wrong in [
            "",
            "0123456789abcde",
            "0123456789abcdeF",
            "0123456789abcdef0",
        ] {
            assert!(!token.is(wrong.as_bytes()));
        }
        assert_eq!(
            Token::read(&source("short")).err(),
            Some(SourceError::TooShort(MIN_LENGTH).into())
        );
        let nowhere = TokenSource::Env("TWINKEY_TEST_NO_SUCH_VARIABLE".into());
        assert!(matches!(
            Token::read(&nowhere),
            Err(TokenError::Source(SourceError::NoVariable(_)))
        ));
    }

    #[test]
    fn a_token_that_is_read_again_counts_at_once_and_a_bad_one_not_at_all() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "the-first-token-0123").unwrap();
        let gate = Gate::new(Some(TokenSource::File(file.path().to_owned()))).unwrap();
        let sealed = gate.seal("text");
        std::fs::write(file.path(), "short").unwrap();
        assert_eq!(gate.reload(), Err(SourceError::TooShort(MIN_LENGTH).into()));
        assert!(gate.admits(b"the-first-token-0123"));
        assert_eq!(gate.seal("text").as_ref(), sealed.as_ref());
        std::fs::write(file.path(), "the-second-token-0123").unwrap();
        gate.reload().unwrap();
        assert!(gate.admits(b"the-second-token-0123") && !gate.admits(b"the-first-token-0123"));
        assert_ne!(gate.seal("text").as_ref(), sealed.as_ref());
    }

    #[test]
    fn a_request_from_a_page_of_another_site_is_told_from_all_others() {
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
            assert!(!from_elsewhere(&headers(own)), "{own:?}");
        }
        for other in [
            "null",
            "http://127.0.0.1",
            "http://evil.example",
            "http://127.0.0.1:83210",
        ] {
            assert!(from_elsewhere(&headers(Some(other))), "{other}");
        }
    }

    #[test]
    fn a_name_that_is_not_this_machine_s_is_told_from_those_that_are() {
        let names = |host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            names_this_machine(&headers)
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
        assert!(names_this_machine(&HeaderMap::new()));
    }

    #[test]
    fn only_a_bearer_header_holds_a_token() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bearer  abc "), Some(&b"abc"[..]));
        for other in [&b""[..], b"Bearer", b"Basic abc", b"abc"] {
            assert_eq!(bearer(other), None);
        }
    }
}
