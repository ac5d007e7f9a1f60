//! Facts about a pair and its server: plain data.

use std::collections::{BTreeMap, BTreeSet};

use super::account::{Definition, Expiry, PasswordAges};
use crate::PasswordForm;
use crate::mysql::dialect::Dialect;
use crate::mysql::grants::{Account, Grants, NOTHING, Object, Privileges};

/// Facts that the plan needs.
#[derive(Debug, Clone)]
pub(in crate::mysql) struct Facts {
    pub dialect: Dialect,
    pub master: Master,
    /// The master may read accounts; otherwise the fields below are empty.
    pub readable: bool,
    /// The hosts of the pair's accounts in the config; `None`: all accounts are the pair's. The
    /// fields below have no others.
    pub listed: Option<Vec<String>>,
    /// Hosts of all accounts of the active user, listed or not.
    pub active_hosts: Vec<String>,
    /// The same of the standby.
    pub standby_hosts: Vec<String>,
    pub active: Vec<User>,
    pub standby: Vec<User>,
    pub password_ages: PasswordAges,
    /// Rounds of `caching_sha2_password`'s digest, in thousands.
    pub digest_thousands: u16,
    /// Methods to sign in that the active user's accounts need and the server has not loaded.
    pub unloaded: BTreeSet<String>,
    /// The server refuses hashes (MariaDB's strict_password_validation with a validating plugin).
    pub hashes_refused: bool,
    /// `read_only` or `super_read_only` is on, and the master may not change accounts.
    pub read_only: bool,
    pub existing: ExistingObjects,
    pub definers: Vec<Definer>,
}

impl Facts {
    /// The facts before any account is read.
    pub(super) fn unread(dialect: Dialect, master: Master, listed: Option<Vec<String>>) -> Self {
        Self {
            dialect,
            readable: master.reads_accounts(),
            master,
            listed,
            active_hosts: Vec::new(),
            standby_hosts: Vec::new(),
            active: Vec::new(),
            standby: Vec::new(),
            password_ages: PasswordAges::default(),
            digest_thousands: 5,
            unloaded: BTreeSet::new(),
            hashes_refused: false,
            read_only: false,
            existing: ExistingObjects::default(),
            definers: Vec::new(),
        }
    }
}

/// The master's account and privileges.
#[derive(Debug, Clone)]
pub(in crate::mysql) struct Master {
    pub account: Account,
    /// The worker's host, as the server shows it.
    pub client: String,
    /// Those of the account and of its active roles.
    pub grants: Grants,
    /// MySQL's partial_revokes is on, so `%`, `_` and `\` in schema names are literal.
    pub schemas_are_literal: bool,
}

/// One account of a user.
#[derive(Debug, Clone)]
pub(in crate::mysql) struct User {
    pub account: Account,
    pub definition: Definition,
    pub grants: Grants,
    pub default_roles: BTreeSet<Account>,
}

/// Tables and routines of the schemas that were read.
#[derive(Debug, Clone, Default)]
pub(in crate::mysql) struct ExistingObjects {
    pub schemas: BTreeSet<String>,
    /// By schema and name; views too.
    pub tables: BTreeMap<(String, String), Table>,
    /// (kind, schema, name in lower case)
    pub routines: BTreeSet<(String, String, String)>,
}

/// A table or view, as the master sees it.
#[derive(Debug, Clone, Default)]
pub(in crate::mysql) struct Table {
    /// In lower case; empty if the master has no privilege on columns, or the view is broken.
    pub columns: BTreeSet<String>,
    pub is_view: bool,
    /// It selects from a table or column that does not exist.
    pub is_broken: bool,
    /// The server refuses the master's grants on its columns.
    pub refuses_columns: bool,
}

impl ExistingObjects {
    /// Whether the schema was read, and the table was not seen there.
    pub(in crate::mysql) fn is_unseen(&self, object: &Object) -> bool {
        let Object::Table { schema, table } = object else {
            return false;
        };
        let key = (schema.clone(), table.clone());
        self.schemas.contains(schema) && !self.tables.contains_key(&key)
    }
}

/// An object that runs as one of the pair's users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mysql) struct Definer {
    /// For messages: `view shop.v`.
    pub object: String,
    pub user: String,
    pub host: String,
}

impl Facts {
    pub(in crate::mysql) fn standby_at(&self, host: Option<&String>) -> Option<&User> {
        self.standby
            .iter()
            .find(|user| user.account.host.as_ref() == host)
    }

    /// Password form of an account with this plugin; `None`: twinkey cannot set its password.
    pub(in crate::mysql) fn password_form(&self, plugin: &str) -> Option<PasswordForm> {
        match (plugin, self.dialect.is_mariadb()) {
            ("mysql_native_password", _) => Some(PasswordForm::MysqlNative),
            ("caching_sha2_password", false) => Some(PasswordForm::CachingSha2 {
                thousands: self.digest_thousands,
            }),
            ("ed25519", true) => Some(PasswordForm::MariadbEd25519),
            _ => None,
        }
    }

    /// Tables, views and routines on which the two users differ.
    pub(super) fn differing(&self) -> BTreeSet<&Object> {
        let mut all = BTreeSet::new();
        for (active, has) in self.twins() {
            let objects = active.on.keys().chain(has.on.keys());
            all.extend(objects.filter(|object| active.on.get(*object) != has.on.get(*object)));
        }
        all.retain(|object| matches!(object, Object::Table { .. } | Object::Routine { .. }));
        all
    }

    /// Whether a plan grants privileges on columns of this object.
    pub(super) fn grants_columns(&self, object: &Object) -> bool {
        let nothing = Privileges::default();
        self.twins().any(|(active, has)| {
            let has = has.on.get(object).unwrap_or(&nothing);
            let wanted = active.on.get(object);
            wanted.is_some_and(|wanted| !wanted.columns_to_grant(has).is_empty())
        })
    }

    /// The grants of each account of the active user, and those of its twin.
    fn twins(&self) -> impl Iterator<Item = (&Grants, &Grants)> {
        self.active.iter().map(|active| {
            let standby = self.standby_at(active.account.host.as_ref());
            let has = standby.map_or(&NOTHING, |user| &user.grants);
            (&active.grants, has)
        })
    }

    /// Why the password of this account is expired.
    pub(in crate::mysql) fn expiry(&self, user: &User) -> Option<Expiry> {
        self.password_ages.expiry(&user.definition)
    }

    /// Whether an object runs as this account.
    pub(in crate::mysql) fn is_definer(&self, account: &Account) -> bool {
        self.definers
            .iter()
            .any(|d| d.user == account.user && Some(&d.host) == account.host.as_ref())
    }

    /// Whether the active user has no account at the host of this one.
    pub(in crate::mysql) fn is_surplus(&self, standby: &User) -> bool {
        let host = &standby.account.host;
        !self
            .active
            .iter()
            .any(|active| &active.account.host == host)
    }

    /// The standby's accounts at hosts where the active user has none.
    pub(in crate::mysql) fn surplus(&self) -> impl Iterator<Item = &User> {
        self.standby.iter().filter(|user| self.is_surplus(user))
    }
}

/// Facts of tests: MariaDB, without accounts.
#[cfg(test)]
pub(in crate::mysql) mod fixture {
    use super::*;

    pub(in crate::mysql) fn facts() -> Facts {
        let master = Master {
            account: Account::new("master", "%"),
            client: "10.0.0.7".into(),
            grants: Grants::default(),
            schemas_are_literal: false,
        };
        let dialect = Dialect::of("10.11.19-MariaDB").unwrap();
        Facts {
            readable: true,
            ..Facts::unread(dialect, master, None)
        }
    }
}
