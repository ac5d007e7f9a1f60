//! Definition of an account: its sign-in method, limits and policies, as in `SHOW CREATE USER`.
//! They are read from the tables behind it, because MySQL 9.7 prints a quote in REQUIRE SUBJECT
//! unescaped.
//!
//! # Failure modes
//! - A log shows the stored form of a password: it is in a type whose Debug output hides it.
//! - A clause that twinkey does not know is lost: the whole row is read, and sign-in methods other
//!   than one password are reported, so that the plan refuses them.
//! - Servers print one clause differently: clauses are compared by meaning, and only those that
//!   differ are written.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::mysql::quote::literal;

/// The stored form of a password.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::mysql) struct StoredPassword(Zeroizing<Vec<u8>>);

impl StoredPassword {
    pub(in crate::mysql) fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(in crate::mysql) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for StoredPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredPassword(***)")
    }
}

/// Sign-in method, limits and policies of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mysql) struct Definition {
    pub plugin: String,
    pub stored: StoredPassword,
    /// More factors, or alternatives to the password.
    pub other_ways: bool,
    pub locked: bool,
    /// An administrator expired its password.
    pub expired: bool,
    /// An older password still signs in (MySQL's RETAIN CURRENT PASSWORD).
    pub second_password: bool,
    pub settings: Settings,
}

/// Settings of `ALTER USER` besides the password and the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mysql) struct Settings {
    /// `SSL`, `X509`, `SUBJECT '…'`, `NONE`
    require: String,
    /// `MAX_QUERIES_PER_HOUR` -> `9`; without limits of 0, which mean none.
    limits: BTreeMap<&'static str, String>,
    /// Policy -> clause, for example `PASSWORD EXPIRE` -> `NEVER`; the server's defaults included.
    policies: BTreeMap<&'static str, String>,
    /// MySQL's user attribute, its comment included.
    attribute: Map<String, Value>,
}

impl Settings {
    /// `NONE`, `SSL`, `X509`, or the demanded certificate.
    pub(in crate::mysql) fn require(&self) -> &str {
        &self.require
    }

    /// The clauses that make `has` equal to this; empty where they are equal. `lock` adds ACCOUNT
    /// LOCK at its place in the syntax.
    pub(in crate::mysql) fn clauses(&self, has: &Self, lock: bool) -> String {
        let mut all = Vec::new();
        if self.require != has.require {
            all.push(format!("REQUIRE {}", self.require));
        }
        let mut limits: Vec<String> = self
            .limits
            .iter()
            .filter(|(name, value)| has.limits.get(*name) != Some(value))
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        let unlimited = has.limits.keys().filter(|n| !self.limits.contains_key(*n));
        limits.extend(unlimited.map(|name| format!("{name} 0")));
        if !limits.is_empty() {
            all.push(format!("WITH {}", limits.join(" ")));
        }
        if lock {
            all.push("ACCOUNT LOCK".to_owned());
        }
        for (what, clause) in &self.policies {
            if has.policies.get(what) != Some(clause) {
                all.push(format!("{what} {clause}"));
            }
        }
        let patch = patch(&has.attribute, &self.attribute);
        if !patch.is_empty() {
            all.push(format!(
                "ATTRIBUTE {}",
                literal(&Value::Object(patch).to_string())
            ));
        }
        all.join(" ")
    }
}

/// The JSON merge patch (RFC 7396) from one object to another, as `ALTER USER … ATTRIBUTE` applies
/// it.
fn patch(from: &Map<String, Value>, to: &Map<String, Value>) -> Map<String, Value> {
    let mut patch = Map::new();
    for (key, value) in to {
        match (from.get(key), value) {
            (Some(old), new) if old == new => {}
            (Some(Value::Object(old)), Value::Object(new)) => {
                patch.insert(key.clone(), Value::Object(self::patch(old, new)));
            }
            _ => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    let removed = from.keys().filter(|key| !to.contains_key(*key));
    patch.extend(removed.map(|key| (key.clone(), Value::Null)));
    patch
}

/// `mysql.global_priv.Priv` of MariaDB (sql_acl.cc, `User_table_json`). Absent keys have the
/// default.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(in crate::mysql) struct MariadbRow {
    plugin: String,
    authentication_string: String,
    auth_or: Vec<Value>,
    ssl_type: u8,
    ssl_cipher: String,
    x509_issuer: String,
    x509_subject: String,
    max_questions: u64,
    max_updates: u64,
    max_connections: u64,
    max_user_connections: i64,
    max_statement_time: f64,
    password_last_changed: i64,
    password_lifetime: i64,
    account_locked: bool,
    pub default_role: String,
    pub is_role: bool,
}

impl Default for MariadbRow {
    fn default() -> Self {
        Self {
            plugin: String::new(),
            authentication_string: String::new(),
            auth_or: Vec::new(),
            ssl_type: 0,
            ssl_cipher: String::new(),
            x509_issuer: String::new(),
            x509_subject: String::new(),
            max_questions: 0,
            max_updates: 0,
            max_connections: 0,
            max_user_connections: 0,
            max_statement_time: 0.0,
            password_last_changed: -1,
            password_lifetime: -1,
            account_locked: false,
            default_role: String::new(),
            is_role: false,
        }
    }
}

impl MariadbRow {
    pub(in crate::mysql) fn definition(self) -> Definition {
        let require = match self.ssl_type {
            0 => "NONE".to_owned(),
            1 => "SSL".to_owned(),
            2 => "X509".to_owned(),
            _ => specified(&self.ssl_cipher, &self.x509_issuer, &self.x509_subject),
        };
        let seconds = (self.max_statement_time != 0.0).then(|| self.max_statement_time.to_string());
        let mut limits = limits(
            [self.max_questions, self.max_updates, self.max_connections],
            self.max_user_connections,
        );
        limits.extend(seconds.map(|s| ("MAX_STATEMENT_TIME", s)));
        let lifetime = u64::try_from(self.password_lifetime).ok();
        Definition {
            plugin: self.plugin,
            stored: StoredPassword::new(self.authentication_string.into_bytes()),
            other_ways: !self.auth_or.is_empty(),
            locked: self.account_locked,
            expired: self.password_last_changed == 0,
            second_password: false,
            settings: Settings {
                require,
                limits,
                policies: BTreeMap::from([("PASSWORD EXPIRE", expire(lifetime))]),
                attribute: Map::new(),
            },
        }
    }
}

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

/// The limits that are set: 0 means none.
fn limits(per_hour: [u64; 3], at_once: i64) -> BTreeMap<&'static str, String> {
    let [queries, updates, connections] = per_hour.map(|limit| limit.to_string());
    [
        ("MAX_QUERIES_PER_HOUR", queries),
        ("MAX_UPDATES_PER_HOUR", updates),
        ("MAX_CONNECTIONS_PER_HOUR", connections),
        ("MAX_USER_CONNECTIONS", at_once.to_string()),
    ]
    .into_iter()
    .filter(|(_, value)| value != "0")
    .collect()
}

fn specified(cipher: &str, issuer: &str, subject: &str) -> String {
    let parts: Vec<String> = [("SUBJECT", subject), ("ISSUER", issuer), ("CIPHER", cipher)]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name} {}", literal(value)))
        .collect();
    if parts.is_empty() {
        "NONE".to_owned()
    } else {
        parts.join(" AND ")
    }
}

/// `None`: the server's default. 0: never.
fn expire(lifetime: Option<u64>) -> String {
    match lifetime {
        None => "DEFAULT".to_owned(),
        Some(0) => "NEVER".to_owned(),
        Some(days) => format!("INTERVAL {days} DAY"),
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
