//! Grants of an account as sets: the result of `SHOW GRANTS` without its order and syntax.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::quote::ident;

pub(super) const ALL: &str = "ALL PRIVILEGES";
pub(super) const CREATE: &str = "CREATE";
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
    /// For statements: every part in backquotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&ident(&self.user))?;
        match &self.host {
            Some(host) => write!(f, "@{}", ident(host)),
            None => Ok(()),
        }
    }
}

/// Object of a grant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Object {
    Global,
    /// A schema or a pattern of schemas, as the server stores it, with `%`, `_` and `\`.
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

impl Object {
    /// The schema of a table, view or routine.
    pub(super) fn schema(&self) -> Option<&String> {
        match self {
            Self::Table { schema, .. } | Self::Routine { schema, .. } => Some(schema),
            Self::Global | Self::Schema(_) => None,
        }
    }
}

impl fmt::Display for Object {
    /// For `GRANT … ON`.
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
    pub(super) const fn of_columns(columns: BTreeSet<(String, String)>) -> Self {
        Self {
            names: BTreeSet::new(),
            columns,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.columns.is_empty()
    }

    /// The privileges on columns that must be granted to an account that has `has`. REVOKE of a
    /// privilege on a table also revokes it on the columns.
    pub(super) fn columns_to_grant(&self, has: &Self) -> BTreeSet<(String, String)> {
        let holds = |all: &Self, name: &String| all.names.contains(name) || all.names.contains(ALL);
        let missing = |column: &&(String, String)| {
            let name = &column.0;
            !has.columns.contains(*column) || (holds(has, name) && !holds(self, name))
        };
        self.columns.iter().filter(missing).cloned().collect()
    }

    /// The list before `ON`, columns grouped by privilege.
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

/// Grants of the account itself, without those of its roles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Grants {
    pub on: BTreeMap<Object, Privileges>,
    /// MySQL's dynamic privileges -> WITH GRANT OPTION.
    pub dynamic: BTreeMap<String, bool>,
    /// MySQL's partial revokes: (schema, privilege) that the global privilege excludes.
    pub restrictions: BTreeSet<(String, String)>,
    /// Role -> with ADMIN OPTION.
    pub roles: BTreeMap<Account, bool>,
    /// Accounts for which it may act as proxy -> WITH GRANT OPTION.
    pub proxies: BTreeMap<Account, bool>,
}

/// The grants of an account that does not exist.
pub(super) static NOTHING: Grants = Grants {
    on: BTreeMap::new(),
    dynamic: BTreeMap::new(),
    restrictions: BTreeSet::new(),
    roles: BTreeMap::new(),
    proxies: BTreeMap::new(),
};

impl Grants {
    /// Adds other grants.
    pub(super) fn extend(&mut self, other: Self) {
        for (object, privileges) in other.on {
            let all = self.on.entry(object).or_default();
            all.names.extend(privileges.names);
            all.columns.extend(privileges.columns);
        }
        for (name, option) in other.dynamic {
            *self.dynamic.entry(name).or_default() |= option;
        }
        self.restrictions.extend(other.restrictions);
        for (role, admin) in other.roles {
            *self.roles.entry(role).or_default() |= admin;
        }
        for (of, option) in other.proxies {
            *self.proxies.entry(of).or_default() |= option;
        }
    }

    pub(super) fn names(&self, object: &Object) -> impl Iterator<Item = &String> {
        self.on.get(object).into_iter().flat_map(|p| &p.names)
    }

    pub(super) fn has(&self, object: &Object, name: &str) -> bool {
        self.names(object).any(|n| n == name)
    }

    /// What makes these an administrator's grants, which no application needs.
    ///
    /// On RDS nobody has SUPER. Its administrators have the role `rds_superuser_role`, or may give it to
    /// themselves ("Role-based privilege model" in the Amazon RDS user guide).
    pub(super) fn of_administrator(&self) -> Option<&'static str> {
        let everything = self.has(&Object::Global, ALL) || self.has(&Object::Global, "SUPER");
        let is_rds = |role: &Account| role.user == "rds_superuser_role";
        let creates = self.has(&Object::Global, "CREATE USER");
        if everything {
            Some("SUPER or ALL PRIVILEGES on everything")
        } else if self.roles.keys().any(is_rds) {
            Some("the role rds_superuser_role")
        } else if self.dynamic.contains_key("ROLE_ADMIN") {
            Some("ROLE_ADMIN, and so every role")
        } else if creates && self.has(&Object::Global, GRANT_OPTION) {
            Some("CREATE USER and GRANT OPTION on everything")
        } else {
            None
        }
    }
}
