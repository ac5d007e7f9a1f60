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

mod mariadb;
mod mysql;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};
use zeroize::Zeroizing;

pub(in crate::mysql) use self::mariadb::MariadbRow;
pub(in crate::mysql) use self::mysql::MysqlRow;
use crate::mysql::grants::Account;
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
    /// When its password was set, in Unix time; `None`: its age does not count.
    pub changed: Option<i64>,
    /// The days after which its password expires. 0: never; `None`: the server's default.
    pub lifetime: Option<u64>,
    /// An older password still signs in (MySQL's RETAIN CURRENT PASSWORD).
    pub second_password: bool,
    pub settings: Settings,
}

/// Why the server accepts a password for its own change only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mysql) enum Expiry {
    /// An administrator expired it.
    Set,
    /// The account's PASSWORD EXPIRE INTERVAL, in days.
    Interval(u64),
    /// The server's default_password_lifetime, in days.
    Default(u64),
}

impl Expiry {
    /// What happened to the password of an account.
    pub(in crate::mysql) fn describe(self, account: &Account) -> String {
        match self {
            Self::Set => format!("an administrator expired the password of {account}"),
            Self::Interval(days) => format!(
                "the password of {account} expired: it is older than the PASSWORD EXPIRE INTERVAL {days} DAY of the account"
            ),
            Self::Default(days) => format!(
                "the password of {account} expired: it is older than default_password_lifetime of the server, which is {days} days"
            ),
        }
    }
}

/// The server's time and policy for the age of passwords.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::mysql) struct PasswordAges {
    /// Unix time.
    pub now: i64,
    /// `default_password_lifetime` in days; 0: they do not expire.
    pub default_lifetime: u64,
}

impl PasswordAges {
    /// Why the password of an account is expired (sql_acl.cc, `check_password_lifetime`).
    pub(in crate::mysql) fn expiry(self, definition: &Definition) -> Option<Expiry> {
        if definition.expired {
            return Some(Expiry::Set);
        }
        let (days, expiry) = match definition.lifetime {
            Some(days) => (days, Expiry::Interval(days)),
            None => (
                self.default_lifetime,
                Expiry::Default(self.default_lifetime),
            ),
        };
        let age = (self.now - definition.changed?) / DAY;
        (days > 0 && age >= i64::try_from(days).unwrap_or(i64::MAX)).then_some(expiry)
    }
}

/// In seconds.
const DAY: i64 = 86_400;

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
