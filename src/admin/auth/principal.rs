//! Caller of the endpoint: the name, role and rotations of its token.

use std::sync::Arc;

use aws_lc_rs::hmac;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use wildmatch::WildMatch;

use crate::admin::problem::ApiError;
use crate::config::settings::{Role, TokenSettings};

/// The length of a key of session signatures, in bytes.
pub(super) const KEY_LENGTH: usize = 32;

/// An authenticated caller.
pub struct Principal {
    name: String,
    role: Role,
    /// `None` for all rotations.
    rotations: Option<Vec<WildMatch>>,
    /// The hash of its token, the key of its sessions' signatures.
    key: [u8; KEY_LENGTH],
}

impl Principal {
    pub(super) fn new(settings: &TokenSettings, key: [u8; KEY_LENGTH]) -> Self {
        let patterns =
            |rotations: &Vec<String>| rotations.iter().map(|p| WildMatch::new(p)).collect();
        Self {
            name: settings.name.clone(),
            role: settings.role,
            rotations: settings.rotations.as_ref().map(patterns),
            key,
        }
    }

    /// The caller of an endpoint without tokens.
    pub(super) fn anonymous(key: [u8; KEY_LENGTH]) -> Self {
        Self {
            name: crate::config::settings::token::ANONYMOUS.to_owned(),
            role: Role::Operator,
            rotations: None,
            key,
        }
    }

    /// The actor of audit log lines.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it may change something.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        self.role == Role::Operator
    }

    /// Whether it sees only some of the rotations.
    #[must_use]
    pub const fn is_scoped(&self) -> bool {
        self.rotations.is_some()
    }

    /// The patterns of the rotations that it sees; `None` for all.
    #[must_use]
    pub fn patterns(&self) -> Option<Vec<String>> {
        let patterns = self.rotations.as_ref()?;
        Some(patterns.iter().map(WildMatch::pattern).collect())
    }

    /// Whether it may see a rotation.
    #[must_use]
    pub fn sees(&self, rotation: &str) -> bool {
        let matches = |patterns: &Vec<WildMatch>| patterns.iter().any(|p| p.matches(rotation));
        self.rotations.as_ref().is_none_or(matches)
    }

    /// Refuses a viewer.
    ///
    /// # Errors
    /// 403
    pub fn require_operator(&self) -> Result<(), ApiError> {
        if self.is_operator() {
            return Ok(());
        }
        Err(ApiError::new(
            StatusCode::FORBIDDEN,
            format!(
                "the token {:?} is a viewer, which changes nothing",
                self.name
            ),
            "use a token with role = \"operator\", or change its [[token]] in the config",
        ))
    }

    /// Refuses a caller that sees only some of the rotations.
    ///
    /// # Errors
    /// 403
    pub fn require_all_rotations(&self) -> Result<(), ApiError> {
        if !self.is_scoped() {
            return Ok(());
        }
        Err(ApiError::new(
            StatusCode::FORBIDDEN,
            format!("the token {:?} is limited to some rotations", self.name),
            "use a token without `rotations`: these are metrics of all rotations",
        ))
    }

    /// The HMAC of `text` under the token's hash; it changes when the token changes.
    pub(super) fn sign(&self, text: &str) -> hmac::Tag {
        hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, &self.key),
            text.as_bytes(),
        )
    }

    pub(super) const fn key(&self) -> &[u8; KEY_LENGTH] {
        &self.key
    }
}

/// The principal of a request, which the middleware of its route has authenticated.
#[derive(Clone)]
pub struct Authenticated(pub Arc<Principal>);

impl<S: Sync> FromRequestParts<S> for Authenticated {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            ApiError::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "this route has no authentication",
                "report this defect of twinkey",
            )
        })
    }
}
