//! Tokens of the endpoint: read from the config's sources, compared by their hashes, read again on change.
//!
//! # Failure modes
//! - A new token file is empty or too short: the previous token stays active, and the log says so.
//! - Two tokens are equal, and one has the other's role: the worker refuses them.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::{constant_time, digest};
use secrecy::ExposeSecret;

use super::guesses::Guesses;
use super::principal::{KEY_LENGTH, Principal};
use crate::config::settings::token::ADMIN;
use crate::config::settings::{Role, SourceError, TokenSettings, TokenSource};

/// The shortest accepted token; 16 random bytes are 22 characters of base64.
const MIN_LENGTH: usize = 16;

/// A token that cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    #[error("{} cannot be read: {source}", described(.token))]
    Source {
        token: String,
        #[source]
        source: SourceError,
    },
    #[error("{} is equal to {}", described(.0), described(.1))]
    Equal(String, String),
    #[error("the system provides no random numbers")]
    NoRandomness,
}

fn described(token: &str) -> String {
    if token == ADMIN {
        "the admin token".into()
    } else {
        format!("the token {token:?}")
    }
}

impl TokenError {
    /// Where the config has the token.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Source { token, .. } if token == ADMIN => {
                "see [server] admin_token_file in the config"
            }
            _ => "see [[token]] in the config",
        }
    }
}

/// The check of the active tokens; without one, every request is authorized.
pub struct TokenAuth {
    settings: Vec<TokenSettings>,
    /// In the order of `settings`.
    active: ArcSwap<Vec<Arc<Principal>>>,
    /// The caller if there is no token.
    anonymous: Option<Arc<Principal>>,
    guesses: Guesses,
}

impl TokenAuth {
    /// A check of the admin token and the named ones. Without any, every request is authorized; the config
    /// allows that on loopback only.
    ///
    /// # Errors
    /// [`TokenError`]
    pub fn new(
        admin_token: Option<TokenSource>,
        tokens: Vec<TokenSettings>,
    ) -> Result<Self, TokenError> {
        let admin = admin_token.map(|source| TokenSettings {
            name: ADMIN.to_owned(),
            role: Role::Operator,
            source,
            rotations: None,
        });
        let settings: Vec<TokenSettings> = admin.into_iter().chain(tokens).collect();
        let mut active = Vec::new();
        for token in &settings {
            active.push(read(token, &active)?);
        }
        let mut key = [0; KEY_LENGTH];
        aws_lc_rs::rand::fill(&mut key).map_err(|_| TokenError::NoRandomness)?;
        let anonymous = settings
            .is_empty()
            .then(|| Arc::new(Principal::anonymous(key)));
        Ok(Self {
            settings,
            active: ArcSwap::from_pointee(active),
            anonymous,
            guesses: Guesses::default(),
        })
    }

    /// Reads every token again. A bad one leaves its previous one active. Returns the errors.
    pub fn reload(&self) -> Vec<TokenError> {
        let mut active = Vec::clone(&self.active.load());
        let mut errors = Vec::new();
        for (n, token) in self.settings.iter().enumerate() {
            let others = active.iter().enumerate().filter(|(other, _)| *other != n);
            let others: Vec<_> = others.map(|(_, other)| Arc::clone(other)).collect();
            match read(token, &others) {
                Ok(new) => active[n] = new,
                Err(error) => errors.push(error),
            }
        }
        self.active.store(Arc::new(active));
        errors
    }

    /// The files of the tokens.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let file = |token: &TokenSettings| match &token.source {
            TokenSource::File(path) => Some(path.clone()),
            TokenSource::Env(_) | TokenSource::Value(_) => None,
        };
        self.settings.iter().filter_map(file).collect()
    }

    /// The wrong tokens of the last minute.
    pub(in crate::admin) const fn guesses(&self) -> &Guesses {
        &self.guesses
    }

    /// Whether no token is required.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.anonymous.is_some()
    }

    /// The caller of a request without a token, if none is required.
    #[must_use]
    pub fn anonymous(&self) -> Option<Arc<Principal>> {
        self.anonymous.clone()
    }

    /// The caller with this token. Compares it with every token, in constant time.
    #[must_use]
    pub fn authenticate(&self, candidate: &[u8]) -> Option<Arc<Principal>> {
        let candidate = hash(candidate);
        let active = self.active.load();
        let equal = |principal: &&Arc<Principal>| {
            constant_time::verify_slices_are_equal(principal.key(), &candidate).is_ok()
        };
        let matching: Vec<&Arc<Principal>> = active.iter().filter(equal).collect();
        let found = matching.first().map(|principal| Arc::clone(principal));
        found.or_else(|| self.anonymous())
    }

    /// The caller with this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<Arc<Principal>> {
        let active = self.active.load();
        let mut all = active.iter().chain(&self.anonymous);
        all.find(|principal| principal.name() == name).cloned()
    }
}

fn read(token: &TokenSettings, others: &[Arc<Principal>]) -> Result<Arc<Principal>, TokenError> {
    let text = token.source.read(MIN_LENGTH);
    let text = text.map_err(|source| TokenError::Source {
        token: token.name.clone(),
        source,
    })?;
    let key = hash(text.expose_secret().as_bytes());
    if let Some(other) = others.iter().find(|other| *other.key() == key) {
        let (name, other) = (token.name.clone(), other.name().to_owned());
        return Err(TokenError::Equal(name, other));
    }
    Ok(Arc::new(Principal::new(token, key)))
}

/// A token as its hash: a comparison does not reveal its length, and nothing can print it.
fn hash(token: &[u8]) -> [u8; KEY_LENGTH] {
    let mut key = [0; KEY_LENGTH];
    key.copy_from_slice(digest::digest(&digest::SHA256, token).as_ref());
    key
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    const FIRST: &str = "the-first-token-0123";

    fn value(token: &str) -> TokenSource {
        TokenSource::Value(SecretString::from(token))
    }

    fn viewer(name: &str, source: TokenSource) -> TokenSettings {
        TokenSettings {
            name: name.into(),
            role: Role::Viewer,
            source,
            rotations: Some(vec!["prod-*".into()]),
        }
    }

    fn name_of(auth: &TokenAuth, token: &str) -> Option<String> {
        let principal = auth.authenticate(token.as_bytes())?;
        Some(principal.name().to_owned())
    }

    #[test]
    fn a_token_matches_itself_only() {
        let grafana = viewer("grafana", value("fedcba9876543210"));
        let auth = TokenAuth::new(Some(value("0123456789abcdef\n")), vec![grafana]).unwrap();
        assert_eq!(name_of(&auth, "0123456789abcdef"), Some("admin".into()));
        assert_eq!(name_of(&auth, "fedcba9876543210"), Some("grafana".into()));
        for wrong in [
            "",
            "0123456789abcde",
            "0123456789abcdeF",
            "0123456789abcdef0",
        ] {
            assert_eq!(name_of(&auth, wrong), None);
        }
    }

    #[test]
    fn a_token_that_is_short_missing_or_equal_is_an_error() {
        let error = |admin: Option<TokenSource>, source: TokenSource| {
            let error = TokenAuth::new(admin, vec![viewer("grafana", source)]).err();
            error.unwrap().to_string()
        };
        let short = "the token \"grafana\" cannot be read: it is shorter than 16 characters";
        assert_eq!(error(None, value("short")), short);
        let nowhere = TokenSource::Env("TWINKEY_TEST_NO_SUCH_VARIABLE".into());
        assert!(error(None, nowhere).contains("TWINKEY_TEST_NO_SUCH_VARIABLE is not set"));
        let missing = TokenSource::File("/nonexistent/token".into());
        assert!(error(None, missing).contains("\"/nonexistent/token\" cannot be read"));
        let equal = "the token \"grafana\" is equal to the admin token";
        assert_eq!(error(Some(value(FIRST)), value(FIRST)), equal);
        let admin = TokenAuth::new(Some(value("short")), Vec::new()).err();
        let admin = admin.unwrap().to_string();
        assert!(
            admin.starts_with("the admin token cannot be read"),
            "{admin}"
        );
    }

    #[test]
    fn role_and_rotations_limit_a_token() {
        let auth = TokenAuth::new(None, vec![viewer("grafana", value(FIRST))]).unwrap();
        assert!(!auth.is_open());
        let grafana = auth.authenticate(FIRST.as_bytes()).unwrap();
        assert!(grafana.require_operator().is_err() && grafana.require_all_rotations().is_err());
        assert!(grafana.sees("prod-orders") && !grafana.sees("test-orders"));
        let open = TokenAuth::new(None, Vec::new()).unwrap();
        let anonymous = open.authenticate(b"anything").unwrap();
        assert!(anonymous.is_operator() && anonymous.sees("test-orders"));
    }

    #[test]
    fn a_new_token_replaces_the_old_one_unless_it_is_bad() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), FIRST).unwrap();
        let source = TokenSource::File(file.path().to_owned());
        let other = viewer("grafana", value("another-token-0123"));
        let auth = TokenAuth::new(Some(source), vec![other]).unwrap();
        let signature = || auth.named(ADMIN).unwrap().sign("text").as_ref().to_vec();
        let first = signature();
        for bad in ["short", "another-token-0123"] {
            std::fs::write(file.path(), bad).unwrap();
            assert_eq!(auth.reload().len(), 1);
            assert_eq!(name_of(&auth, FIRST), Some(ADMIN.into()));
            assert_eq!(signature(), first);
        }
        std::fs::write(file.path(), "the-second-token-0123").unwrap();
        assert_eq!(auth.reload(), []);
        assert_eq!(name_of(&auth, "the-second-token-0123"), Some(ADMIN.into()));
        assert_eq!(name_of(&auth, FIRST), None);
        assert_ne!(signature(), first);
    }
}
