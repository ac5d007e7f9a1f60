//! Preflight of the sign-in that proves a new password.

use super::Login;
use crate::error::TLS_SETTINGS;
use crate::mysql::inspect::facts::User;
use crate::{Finding, Severity};
use twinkey_core::code::Code;

impl Login {
    /// A finding for each account whose new password could not be proved on such a connection: the
    /// server requests the password itself after a change.
    pub(in crate::mysql) fn unprovable(&self, users: &[User]) -> Vec<Finding> {
        if self.has_verified_tls() {
            return Vec::new();
        }
        let with_cache = |user: &&User| user.definition.plugin == "caching_sha2_password";
        let finding = |user: &User| Finding {
            code: Some(Code::TlsFailed),
            ..Finding::new(
                Severity::Error,
                format!(
                    "{} signs in with caching_sha2_password, whose first sign-in after a change of password needs verified TLS",
                    user.account
                ),
                Some(TLS_SETTINGS.into()),
            )
        };
        users.iter().filter(with_cache).map(finding).collect()
    }
}
