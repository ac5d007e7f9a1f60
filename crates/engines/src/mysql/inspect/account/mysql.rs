//! Accounts of MySQL.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Definition, Settings, StoredPassword, expire, limits, specified};

/// A row of MySQL's `mysql.user`, as `queries.rs` selects it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::mysql) struct MysqlRow {
    plugin: String,
    /// In hexadecimal: the salt may be any bytes.
    stored: Option<String>,
    ssl_type: String,
    ssl_cipher: String,
    x509_issuer: String,
    x509_subject: String,
    max_questions: u64,
    max_updates: u64,
    max_connections: u64,
    max_user_connections: i64,
    expired: bool,
    changed: Option<i64>,
    lifetime: Option<u64>,
    locked: bool,
    history: Option<u64>,
    reuse_days: Option<u64>,
    /// `Y`, `N`, or NULL for the server's default.
    require_current: Option<String>,
    attributes: Option<Attributes>,
}

/// `mysql.user.User_attributes` (MySQL's sql/auth/user_table.cc).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Attributes {
    metadata: Map<String, Value>,
    additional_password: Option<String>,
    multi_factor_authentication: Option<Value>,
    #[serde(rename = "Password_locking")]
    locking: Locking,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Locking {
    failed_login_attempts: u64,
    /// -1: until an administrator unlocks it.
    password_lock_time_days: i64,
}

impl MysqlRow {
    pub(in crate::mysql) fn definition(self) -> Definition {
        let attributes = self.attributes.unwrap_or_default();
        let or_default = |value: Option<u64>, unit: &str| {
            value.map_or_else(|| "DEFAULT".to_owned(), |n| format!("{n}{unit}"))
        };
        let require = match self.ssl_type.as_str() {
            "" => "NONE".to_owned(),
            "ANY" => "SSL".to_owned(),
            "X509" => "X509".to_owned(),
            _ => specified(&self.ssl_cipher, &self.x509_issuer, &self.x509_subject),
        };
        let current = match self.require_current.as_deref() {
            Some("Y") => "",
            Some(_) => "OPTIONAL",
            None => "DEFAULT",
        };
        let days = attributes.locking.password_lock_time_days;
        let policies = BTreeMap::from([
            ("PASSWORD EXPIRE", expire(self.lifetime)),
            ("PASSWORD HISTORY", or_default(self.history, "")),
            (
                "PASSWORD REUSE INTERVAL",
                or_default(self.reuse_days, " DAY"),
            ),
            ("PASSWORD REQUIRE CURRENT", current.to_owned()),
            (
                "FAILED_LOGIN_ATTEMPTS",
                attributes.locking.failed_login_attempts.to_string(),
            ),
            (
                "PASSWORD_LOCK_TIME",
                if days < 0 {
                    "UNBOUNDED".to_owned()
                } else {
                    days.to_string()
                },
            ),
        ]);
        Definition {
            plugin: self.plugin,
            stored: StoredPassword::new(bytes(&self.stored.unwrap_or_default())),
            other_ways: attributes.multi_factor_authentication.is_some(),
            locked: self.locked,
            expired: self.expired,
            changed: self.changed,
            lifetime: self.lifetime,
            second_password: attributes.additional_password.is_some(),
            settings: Settings {
                require,
                limits: limits(
                    [self.max_questions, self.max_updates, self.max_connections],
                    self.max_user_connections,
                ),
                policies,
                attribute: attributes.metadata,
            },
        }
    }
}

/// The bytes of hexadecimal digits, up to the first other character.
fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .chars()
        .map_while(|c| c.to_digit(16))
        .map_while(|d| u8::try_from(d).ok())
        .collect();
    digits.chunks_exact(2).map(|d| d[0] << 4 | d[1]).collect()
}
