//! Credentials of a database user.

use super::Sensitive;

/// A user name with its password.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub username: String,
    pub password: Sensitive,
}
