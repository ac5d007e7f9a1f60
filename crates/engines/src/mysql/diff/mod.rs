//! From what an account has to what it shall have: pure.
//!
//! What can go wrong, and what prevents it:
//! - one statement does more than it says (a table's REVOKE takes the columns' privileges with it, a
//!   PROXY WITH GRANT OPTION shows as the global GRANT OPTION): each step is also carried out on a
//!   model of what the account has, and the next step starts from that;
//! - more statements than differ: privileges of one object that are missing are one GRANT, those too
//!   many are one REVOKE;
//! - a privilege is taken away that the two have in common, because the account has ALL PRIVILEGES
//!   and shall have less: ALL PRIVILEGES is then taken for the list that it stands for.

use std::collections::{BTreeMap, BTreeSet};

use super::dialect::Dialect;
use super::grants::{ALL, Account, GRANT_OPTION, Grants, Object, Privileges};
use crate::ChangeKind;

/// One statement, and what its executor must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub kind: ChangeKind,
    pub text: String,
    pub why: String,
    pub needs: Vec<Need>,
}

/// What the executor of a statement must have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    /// The privilege on the object or above it, and GRANT OPTION there.
    ToGrant { object: Object, name: String },
    /// The global privilege.
    Global(&'static str),
    /// The dynamic privilege WITH GRANT OPTION.
    Dynamic(String),
    /// The role WITH ADMIN OPTION.
    Role(Account),
    /// To be proxy WITH GRANT OPTION.
    Proxy(Account),
    /// To write MariaDB's own tables, which is what it asks of whoever sets another's default role.
    SystemTables,
}

/// The statements after which `to`, which has `has`, has `wanted`.
pub(super) fn steps(dialect: &Dialect, to: &Account, has: &Grants, wanted: &Grants) -> Vec<Step> {
    let mut work = Work {
        dialect,
        to,
        now: has.clone(),
        wanted,
        steps: Vec::new(),
    };
    work.proxies();
    work.take_dynamic();
    work.object(&Object::Global);
    work.give_dynamic();
    let mut objects: BTreeSet<&Object> = has.on.keys().chain(wanted.on.keys()).collect();
    objects.remove(&Object::Global);
    for object in objects {
        work.object(object);
    }
    work.restrictions();
    work.roles();
    work.steps
}

struct Work<'a> {
    dialect: &'a Dialect,
    to: &'a Account,
    now: Grants,
    wanted: &'a Grants,
    steps: Vec<Step>,
}

impl Work<'_> {
    fn push(&mut self, kind: ChangeKind, text: String, why: impl Into<String>, needs: Vec<Need>) {
        self.steps.push(Step {
            kind,
            text,
            why: why.into(),
            needs,
        });
    }

    fn give(&mut self, what: &str, object: Option<&Object>, option: &str, needs: Vec<Need>) {
        let on = object.map(|o| format!(" ON {o}")).unwrap_or_default();
        let to = self.to;
        let text = format!("GRANT {what}{on} TO {to}{option}");
        self.push(ChangeKind::Grant, text, "the active user has it", needs);
    }

    fn take(&mut self, what: &str, object: Option<&Object>, needs: Vec<Need>) {
        let on = object.map(|o| format!(" ON {o}")).unwrap_or_default();
        let from = self.to;
        let text = format!("REVOKE {what}{on} FROM {from}");
        let why = "the active user does not have it";
        self.push(ChangeKind::Revoke, text, why, needs);
    }

    fn object(&mut self, object: &Object) {
        let none = Privileges::default();
        let wanted = self.wanted.on.get(object).unwrap_or(&none);
        let mut now = self.now.on.get(object).cloned().unwrap_or_default();
        if now.names.contains(ALL) && !wanted.names.contains(ALL) {
            now.names.remove(ALL);
            now.names
                .extend(all(self.dialect, object).map(str::to_owned));
        }
        let surplus = surplus(&now, wanted);
        if !surplus.is_empty() {
            let needs = needs(object, &surplus);
            self.take(&surplus.list(true), Some(object), needs);
            now.names.retain(|name| !surplus.names.contains(name));
            // The whole's REVOKE takes the columns' with it (sql_acl.cc, replace_column_table).
            now.columns.retain(|(name, column)| {
                !surplus.names.contains(name)
                    && !surplus.columns.contains(&(name.clone(), column.clone()))
            });
            if object == &Object::Global {
                // A restriction of a privilege that is gone is gone too.
                self.now
                    .restrictions
                    .retain(|(_, name)| !surplus.names.contains(name));
            }
        }
        let missing = Privileges {
            // Who has all lacks at most the grant option, which is not among them.
            names: wanted
                .names
                .difference(&now.names)
                .filter(|name| !now.names.contains(ALL) || *name == GRANT_OPTION)
                .cloned()
                .collect(),
            columns: wanted.columns.difference(&now.columns).cloned().collect(),
        };
        if !missing.is_empty() {
            let option = if missing.names.contains(GRANT_OPTION) {
                " WITH GRANT OPTION"
            } else {
                ""
            };
            let list = match missing.list(false) {
                nothing if nothing.is_empty() => "USAGE".to_owned(),
                list => list,
            };
            self.give(&list, Some(object), option, needs(object, &missing));
        }
        self.now.on.insert(object.clone(), wanted.clone());
    }

    /// Before the global GRANT OPTION goes, every dynamic privilege that may be granted on goes too, and
    /// comes back after it: MySQL 9.7 otherwise forgets it in its tables and keeps it in memory.
    fn take_dynamic(&mut self) {
        let wanted = self.wanted;
        let option_goes = self.now.has(&Object::Global, GRANT_OPTION)
            && !wanted.has(&Object::Global, GRANT_OPTION);
        let too_much = |(name, grantable): (&String, &bool)| {
            let wanted = wanted.dynamic.get(name);
            let goes = wanted.is_none_or(|w| *grantable && (option_goes || !w));
            goes.then(|| name.clone())
        };
        let surplus: Vec<String> = self.now.dynamic.iter().filter_map(too_much).collect();
        if !surplus.is_empty() {
            let needs = surplus.iter().cloned().map(Need::Dynamic).collect();
            self.take(&surplus.join(", "), Some(&Object::Global), needs);
            self.now.dynamic.retain(|name, _| !surplus.contains(name));
        }
    }

    fn give_dynamic(&mut self) {
        let wanted = self.wanted;
        for (option, grantable) in [("", false), (" WITH GRANT OPTION", true)] {
            let missing: Vec<String> = wanted
                .dynamic
                .iter()
                .filter(|(name, wanted)| {
                    **wanted == grantable && self.now.dynamic.get(*name) != Some(wanted)
                })
                .map(|(name, _)| name.clone())
                .collect();
            if !missing.is_empty() {
                let needs = missing.iter().cloned().map(Need::Dynamic).collect();
                self.give(&missing.join(", "), Some(&Object::Global), option, needs);
            }
        }
    }

    fn restrictions(&mut self) {
        let lifted = by_schema(self.now.restrictions.difference(&self.wanted.restrictions));
        for (schema, names) in lifted {
            let object = Object::Schema(schema);
            let needs = to_grant(&object, &names);
            let text = format!("GRANT {} ON {object} TO {}", names.join(", "), self.to);
            let why = "the active user's global privilege is not revoked there";
            self.push(ChangeKind::Grant, text, why, needs);
        }
        let missing = by_schema(self.wanted.restrictions.difference(&self.now.restrictions));
        for (schema, names) in missing {
            let object = Object::Schema(schema);
            let needs = to_grant(&object, &names);
            let text = format!("REVOKE {} ON {object} FROM {}", names.join(", "), self.to);
            let why = "the active user's global privilege is revoked there";
            self.push(ChangeKind::Revoke, text, why, needs);
        }
    }

    fn proxies(&mut self) {
        for of in self.now.proxies.clone().into_keys() {
            if !self.wanted.proxies.contains_key(&of) {
                let what = format!("PROXY ON {of}");
                self.take(&what, None, vec![Need::Proxy(of)]);
            }
        }
        for (of, grantable) in self.wanted.proxies.clone() {
            if self.now.proxies.get(&of) == Some(&grantable) {
                continue;
            }
            let option = if grantable { " WITH GRANT OPTION" } else { "" };
            self.give(
                &format!("PROXY ON {of}"),
                None,
                option,
                vec![Need::Proxy(of)],
            );
            if grantable {
                // Tried on MariaDB 10.11 and MySQL 9.7: it shows as the global GRANT OPTION from then on.
                let global = self.now.on.entry(Object::Global).or_default();
                global.names.insert(GRANT_OPTION.to_owned());
            }
        }
    }

    fn roles(&mut self) {
        for (role, admin) in self.now.roles.clone() {
            let wanted = self.wanted.roles.get(&role).copied();
            if wanted == Some(admin) || (wanted == Some(true)) {
                continue;
            }
            let needs = vec![Need::Role(role.clone())];
            if wanted.is_some() && self.dialect.is_mariadb() {
                self.take(&format!("ADMIN OPTION FOR {role}"), None, needs);
                self.now.roles.insert(role, false);
            } else {
                self.take(&role.to_string(), None, needs);
                self.now.roles.remove(&role);
            }
        }
        for (role, admin) in self.wanted.roles.clone() {
            if self.now.roles.get(&role) != Some(&admin) {
                let option = if admin { " WITH ADMIN OPTION" } else { "" };
                let needs = vec![Need::Role(role.clone())];
                self.give(&role.to_string(), None, option, needs);
            }
        }
    }
}

fn surplus(now: &Privileges, wanted: &Privileges) -> Privileges {
    let covered = |name: &String| {
        wanted.names.contains(name) || (wanted.names.contains(ALL) && name != GRANT_OPTION)
    };
    Privileges {
        names: now.names.iter().filter(|n| !covered(n)).cloned().collect(),
        columns: now.columns.difference(&wanted.columns).cloned().collect(),
    }
}

fn needs(object: &Object, privileges: &Privileges) -> Vec<Need> {
    let columns = privileges.columns.iter().map(|(name, _)| name);
    let names: BTreeSet<String> = privileges.names.iter().chain(columns).cloned().collect();
    to_grant(object, names.iter())
}

fn to_grant<'a>(object: &Object, names: impl IntoIterator<Item = &'a String>) -> Vec<Need> {
    names
        .into_iter()
        .map(|name| Need::ToGrant {
            object: object.clone(),
            name: name.clone(),
        })
        .collect()
}

fn by_schema<'a>(
    pairs: impl Iterator<Item = &'a (String, String)>,
) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (schema, name) in pairs {
        all.entry(schema.clone()).or_default().push(name.clone());
    }
    all
}

/// What ALL PRIVILEGES stands for on a schema and on a table (MySQL 8.0 manual, table 15.11 "Permissible
/// Privileges for GRANT and REVOKE"; MariaDB, "GRANT", "Database Privileges" and "Table Privileges").
pub(super) fn all(dialect: &Dialect, object: &Object) -> impl Iterator<Item = &'static str> {
    const TABLE: &[&str] = &[
        "SELECT",
        "INSERT",
        "UPDATE",
        "DELETE",
        "CREATE",
        "DROP",
        "REFERENCES",
        "INDEX",
        "ALTER",
        "CREATE VIEW",
        "SHOW VIEW",
        "TRIGGER",
    ];
    const SCHEMA: &[&str] = &[
        "CREATE TEMPORARY TABLES",
        "LOCK TABLES",
        "EXECUTE",
        "CREATE ROUTINE",
        "ALTER ROUTINE",
        "EVENT",
    ];
    let on_schema = !matches!(object, Object::Table { .. });
    let history = dialect.is_mariadb().then_some("DELETE HISTORY");
    let show_routine = (dialect.is_mariadb() && on_schema && dialect.version >= (11, 3))
        .then_some("SHOW CREATE ROUTINE");
    TABLE
        .iter()
        .chain(SCHEMA.iter().filter(move |_| on_schema))
        .copied()
        .chain(history)
        .chain(show_routine)
}

#[cfg(test)]
mod tests;
