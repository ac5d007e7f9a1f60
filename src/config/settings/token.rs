//! Named tokens of the admin endpoint.

use super::TokenSource;

/// The name of the token in `server.admin_token`.
pub const ADMIN: &str = "admin";
/// The name of a caller of an endpoint without tokens.
pub const ANONYMOUS: &str = "anonymous";

/// What a token permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Every request that changes nothing: `/metrics`, `check` and `plan` included.
    Viewer,
    /// Every request.
    Operator,
}

impl Role {
    /// The name in the config.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }
}

/// `[[token]]`
#[derive(Debug, Clone)]
pub struct TokenSettings {
    /// The actor of audit log lines.
    pub name: String,
    pub role: Role,
    pub source: TokenSource,
    /// Patterns of the names of its rotations; `None` for all.
    pub rotations: Option<Vec<String>>,
}
