//! The bearer token (RFC 6750).

use std::sync::Arc;

use aws_lc_rs::{constant_time, digest};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;
use secrecy::SecretString;

use crate::admin::problem::Answer;
use crate::config::settings::TokenSource;
use crate::secret::Sensitive;

/// The shortest token that is taken: 16 bytes of randomness are 22 characters of base64.
const MIN_LENGTH: usize = 16;

/// The token, as its hash: what is compared does not tell the token's length, and nothing can print it.
pub struct Token(digest::Digest);

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    #[error("the environment variable {0} for the admin token is not set")]
    NoVariable(String),
    #[error("the admin token file {0:?} cannot be read: {1}")]
    NoFile(std::path::PathBuf, String),
    #[error("the admin token is shorter than {MIN_LENGTH} characters")]
    TooShort,
}

impl Token {
    /// Takes the token from where the config says.
    ///
    /// # Errors
    /// [`TokenError`]
    pub fn read(source: &TokenSource) -> Result<Self, TokenError> {
        let token: Sensitive = match source {
            TokenSource::Value(token) => token.clone(),
            TokenSource::Env(name) => std::env::var(name)
                .map(SecretString::from)
                .map_err(|_| TokenError::NoVariable(name.clone()))?,
            TokenSource::File(path) => std::fs::read_to_string(path)
                .map(SecretString::from)
                .map_err(|e| TokenError::NoFile(path.clone(), e.to_string()))?,
        };
        let token = token.expose_secret().trim();
        if token.len() < MIN_LENGTH {
            return Err(TokenError::TooShort);
        }
        Ok(Self(hash(token.as_bytes())))
    }

    fn is(&self, given: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(self.0.as_ref(), hash(given).as_ref()).is_ok()
    }
}

fn hash(token: &[u8]) -> digest::Digest {
    digest::digest(&digest::SHA256, token)
}

/// Lets a request through if it carries the token, or if none is asked for.
pub async fn require(
    State(token): State<Option<Arc<Token>>>,
    request: Request,
    next: Next,
) -> Response {
    let allowed = token.is_none_or(|token| {
        request
            .headers()
            .get(AUTHORIZATION)
            .and_then(|value| bearer(value.as_bytes()))
            .is_some_and(|given| token.is(given))
    });
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

/// The token in an Authorization header; the scheme's name is case-insensitive.
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
            Some(TokenError::TooShort)
        );
        let nowhere = TokenSource::Env("TWINKEY_TEST_NO_SUCH_VARIABLE".into());
        assert!(matches!(
            Token::read(&nowhere),
            Err(TokenError::NoVariable(_))
        ));
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
