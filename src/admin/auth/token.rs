//! The admin token: read from the config's source, compared by its hash, read again on change.
//!
//! # Failure modes
//! - A new token file is empty or too short: the previous token stays active, and the log says so.

use std::path::Path;

use aws_lc_rs::{constant_time, digest, hmac};
use parking_lot::RwLock;
use secrecy::ExposeSecret;

use crate::config::settings::{SourceError, TokenSource};

/// The shortest accepted token; 16 random bytes are 22 characters of base64.
const MIN_LENGTH: usize = 16;

/// A token as its hash: a comparison does not reveal its length, and nothing can print it.
#[derive(Clone)]
pub struct Token(digest::Digest);

/// A token that cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    #[error("the admin token cannot be read: {0}")]
    Source(#[from] SourceError),
    #[error("the system provides no random numbers")]
    NoRandomness,
}

impl Token {
    /// Reads the token from the config's source.
    ///
    /// # Errors
    /// [`TokenError`]
    pub fn read(source: &TokenSource) -> Result<Self, TokenError> {
        let token = source.read(MIN_LENGTH)?;
        Ok(Self(hash(token.expose_secret().as_bytes())))
    }

    fn matches(&self, candidate: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(self.0.as_ref(), hash(candidate).as_ref()).is_ok()
    }
}

fn hash(token: &[u8]) -> digest::Digest {
    digest::digest(&digest::SHA256, token)
}

/// The check of the active admin token; without one, every request is authorized.
pub struct TokenAuth {
    source: Option<TokenSource>,
    token: RwLock<Option<Token>>,
    /// The key of session signatures where there is no token.
    fallback_key: [u8; 32],
}

impl TokenAuth {
    /// A check of the token from `source`. `None` authorizes every request; the config allows it on
    /// loopback only.
    ///
    /// # Errors
    /// [`TokenError`]
    pub fn new(source: Option<TokenSource>) -> Result<Self, TokenError> {
        let mut fallback_key = [0; 32];
        aws_lc_rs::rand::fill(&mut fallback_key).map_err(|_| TokenError::NoRandomness)?;
        Ok(Self {
            token: RwLock::new(source.as_ref().map(Token::read).transpose()?),
            source,
            fallback_key,
        })
    }

    /// Reads the token again. A bad one leaves the previous one active.
    ///
    /// # Errors
    /// [`TokenError`]
    pub fn reload(&self) -> Result<(), TokenError> {
        if let Some(source) = &self.source {
            let new = Token::read(source)?;
            *self.token.write() = Some(new);
        }
        Ok(())
    }

    /// The token's file, where it is in one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match &self.source {
            Some(TokenSource::File(path)) => Some(path),
            _ => None,
        }
    }

    /// Whether no token is required.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.token().is_none()
    }

    /// Whether `candidate` is the token, or no token is required.
    #[must_use]
    pub fn accepts(&self, candidate: &[u8]) -> bool {
        self.token().is_none_or(|token| token.matches(candidate))
    }

    /// The HMAC of `text` under the token's hash; it changes when the token changes.
    #[must_use]
    pub fn sign(&self, text: &str) -> hmac::Tag {
        let token = self.token();
        let key = token
            .as_ref()
            .map_or(&self.fallback_key[..], |t| t.0.as_ref());
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
    }

    fn token(&self) -> Option<Token> {
        self.token.read().clone()
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    #[test]
    fn a_token_matches_itself_only() {
        let source = |t: &str| TokenSource::Value(SecretString::from(t));
        let token = Token::read(&source("0123456789abcdef\n")).unwrap();
        assert!(token.matches(b"0123456789abcdef"));
        for wrong in [
            "",
            "0123456789abcde",
            "0123456789abcdeF",
            "0123456789abcdef0",
        ] {
            assert!(!token.matches(wrong.as_bytes()));
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
    fn a_new_token_replaces_the_old_one_unless_it_is_bad() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "the-first-token-0123").unwrap();
        let auth = TokenAuth::new(Some(TokenSource::File(file.path().to_owned()))).unwrap();
        let signature = auth.sign("text");
        std::fs::write(file.path(), "short").unwrap();
        assert_eq!(auth.reload(), Err(SourceError::TooShort(MIN_LENGTH).into()));
        assert!(auth.accepts(b"the-first-token-0123"));
        assert_eq!(auth.sign("text").as_ref(), signature.as_ref());
        std::fs::write(file.path(), "the-second-token-0123").unwrap();
        auth.reload().unwrap();
        assert!(auth.accepts(b"the-second-token-0123") && !auth.accepts(b"the-first-token-0123"));
        assert_ne!(auth.sign("text").as_ref(), signature.as_ref());
    }
}
