//! What is known of a pair and its server: plain data.

use std::collections::{BTreeMap, BTreeSet};

use super::account::Definition;
use super::dialect::Dialect;
use super::grants::{Account, Grants};
use crate::Slot;

/// The server as the plan needs it.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub dialect: Dialect,
    pub master: Master,
    /// The master may read accounts; without that nothing below is known.
    pub readable: bool,
    pub active: Vec<User>,
    pub standby: Vec<User>,
    /// Rounds of `caching_sha2_password`'s digest, in thousands.
    pub digest_thousands: u16,
    /// Hashes are refused (MariaDB's strict_password_validation with a validating plugin).
    pub hashes_refused: bool,
    pub existing: Existing,
    pub definers: Vec<Definer>,
}

/// Who we are, and what we may.
#[derive(Debug, Clone)]
pub(super) struct Master {
    pub account: Account,
    /// Its own and its active roles'.
    pub grants: Grants,
    /// MySQL's partial_revokes is on: `%`, `_` and `\` in the names of schemas mean only themselves.
    pub schemas_are_literal: bool,
}

/// One account of a user.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub account: Account,
    pub definition: Definition,
    pub grants: Grants,
    pub default_roles: BTreeSet<Account>,
}

/// What there is in the schemas that were looked into.
#[derive(Debug, Clone, Default)]
pub(super) struct Existing {
    pub schemas: BTreeSet<String>,
    /// (schema, table) -> columns in lower case.
    pub tables: BTreeMap<(String, String), BTreeSet<String>>,
    /// (kind, schema, name)
    pub routines: BTreeSet<(String, String, String)>,
}

/// An object that runs as one of the pair's users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definer {
    /// For people: `view shop.v`.
    pub object: String,
    pub user: String,
    pub host: String,
}

impl Facts {
    pub(super) fn standby_at(&self, host: Option<&String>) -> Option<&User> {
        self.standby
            .iter()
            .find(|user| user.account.host.as_ref() == host)
    }

    /// In which form an account with this plugin takes its password; `None`: it takes none from us.
    pub(super) fn slot(&self, plugin: &str) -> Option<Slot> {
        match (plugin, self.dialect.is_mariadb()) {
            ("mysql_native_password", _) => Some(Slot::MysqlNative),
            ("caching_sha2_password", false) => Some(Slot::CachingSha2 {
                thousands: self.digest_thousands,
            }),
            ("ed25519", true) => Some(Slot::MariadbEd25519),
            _ => None,
        }
    }

    /// Whether an object runs as this account.
    pub(super) fn is_definer(&self, account: &Account) -> bool {
        self.definers
            .iter()
            .any(|d| d.user == account.user && Some(&d.host) == account.host.as_ref())
    }

    /// The standby's accounts at hosts where the active user has none.
    pub(super) fn surplus(&self) -> impl Iterator<Item = &User> {
        self.standby.iter().filter(|user| {
            let same_host = |active: &&User| active.account.host == user.account.host;
            !self.active.iter().any(|active| same_host(&active))
        })
    }
}
