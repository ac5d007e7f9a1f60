//! Accounts of MariaDB.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Definition, Settings, StoredPassword, expire, limits, specified};

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
            changed: Some(self.password_last_changed),
            lifetime,
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
