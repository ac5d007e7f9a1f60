//! What an account has been granted, as sets: the answer of `SHOW GRANTS`, without its order and form.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::quote::ident;

pub(super) const ALL: &str = "ALL PRIVILEGES";
pub(super) const GRANT_OPTION: &str = "GRANT OPTION";

/// `user@host`; a role of MariaDB has no host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Account {
    pub user: String,
    pub host: Option<String>,
}

impl Account {
    pub(super) fn new(user: &str, host: &str) -> Self {
        Self {
            user: user.to_owned(),
            host: Some(host.to_owned()),
        }
    }
}

impl fmt::Display for Account {
    /// As statements name it: every part in backquotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&ident(&self.user))?;
        match &self.host {
            Some(host) => write!(f, "@{}", ident(host)),
            None => Ok(()),
        }
    }
}

/// What privileges are granted on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Object {
    Global,
    /// A schema, or a pattern of schemas: the text as the server keeps it, with `%`, `_` and `\`.
    Schema(String),
    Table {
        schema: String,
        table: String,
    },
    Routine {
        /// `PROCEDURE`, `FUNCTION`, `PACKAGE`, `PACKAGE BODY`, `LIBRARY`.
        kind: String,
        schema: String,
        name: String,
    },
}

impl fmt::Display for Object {
    /// As `GRANT … ON` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global => f.write_str("*.*"),
            Self::Schema(schema) => write!(f, "{}.*", ident(schema)),
            Self::Table { schema, table } => write!(f, "{}.{}", ident(schema), ident(table)),
            Self::Routine { kind, schema, name } => {
                write!(f, "{kind} {}.{}", ident(schema), ident(name))
            }
        }
    }
}

/// Privileges on one object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Privileges {
    /// `SELECT`, `ALL PRIVILEGES`, `GRANT OPTION`, … on the whole object.
    pub names: BTreeSet<String>,
    /// (privilege, column)
    pub columns: BTreeSet<(String, String)>,
}

impl Privileges {
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.columns.is_empty()
    }

    /// As the list before `ON`, columns grouped by privilege. Without `GRANT OPTION` unless `with` it.
    pub(super) fn list(&self, with_grant_option: bool) -> String {
        let mut parts: Vec<String> = self
            .names
            .iter()
            .filter(|name| with_grant_option || *name != GRANT_OPTION)
            .cloned()
            .collect();
        let mut by_privilege: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (privilege, column) in &self.columns {
            by_privilege
                .entry(privilege)
                .or_default()
                .push(ident(column));
        }
        parts.extend(
            by_privilege
                .iter()
                .map(|(privilege, columns)| format!("{privilege} ({})", columns.join(", "))),
        );
        parts.join(", ")
    }
}

/// Everything that an account has been granted itself (not what it has through roles).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Grants {
    pub on: BTreeMap<Object, Privileges>,
    /// MySQL's dynamic privileges -> whether they may be granted on.
    pub dynamic: BTreeMap<String, bool>,
    /// MySQL's partial revokes: (schema, privilege) that the global privilege does not reach.
    pub restrictions: BTreeSet<(String, String)>,
    /// Role -> with ADMIN OPTION.
    pub roles: BTreeMap<Account, bool>,
    /// For whom the account may act as proxy -> WITH GRANT OPTION.
    pub proxies: BTreeMap<Account, bool>,
}

impl Grants {
    pub(super) fn names(&self, object: &Object) -> impl Iterator<Item = &String> {
        self.on.get(object).into_iter().flat_map(|p| &p.names)
    }

    pub(super) fn has(&self, object: &Object, name: &str) -> bool {
        self.names(object).any(|n| n == name)
    }

    /// Whether these are what no application's user has.
    pub(super) fn is_mighty(&self) -> bool {
        self.has(&Object::Global, ALL) || self.has(&Object::Global, "SUPER")
    }
}
