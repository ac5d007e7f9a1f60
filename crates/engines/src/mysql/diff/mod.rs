//! Statements that lead from an account's grants to the wanted ones: pure.
//!
//! # Failure modes
//! - One statement has a side effect (a table's REVOKE also revokes the columns' privileges, and
//!   PROXY WITH GRANT OPTION shows as the global GRANT OPTION): each step is applied to a model of
//!   the account, from which the next step starts.
//! - The list has more statements than differences: the missing privileges on one object are one
//!   GRANT, the surplus ones are one REVOKE.
//! - A common privilege is revoked, because the account has ALL PRIVILEGES and shall have fewer:
//!   ALL PRIVILEGES is replaced by the list that it stands for.
//! - A restart restores another grant option of PROXY, because a second GRANT changes it in the
//!   server's memory and not in its table: PROXY is revoked first.
//! - The server refuses a grant on a table that is missing for a moment: it takes the grant together
//!   with CREATE, which the next statement revokes.
//! - The server restricts what a restricted executor grants (MySQL, partial revokes): the model has
//!   these restrictions after the grant, so that no statement repeats them.
//! - The server takes grants on packages in `sql_mode = ORACLE` only: the statement sets the mode for
//!   itself.

use std::collections::{BTreeMap, BTreeSet};

use super::dialect::Dialect;
use super::grants::{ALL, Account, CREATE, GRANT_OPTION, Grants, Object, Privileges};
use super::quote::literal;
use crate::ChangeKind;

/// One statement, and the privileges that its executor must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub kind: ChangeKind,
    pub text: String,
    pub why: String,
    pub requires: Vec<Requirement>,
}

/// A privilege that the executor of a statement must have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Requirement {
    /// The privilege on the object or above it, and GRANT OPTION there.
    ToGrant { object: Object, name: String },
    /// The global privilege.
    Global(&'static str),
    /// The dynamic privilege WITH GRANT OPTION.
    Dynamic(String),
    /// The role WITH ADMIN OPTION.
    Role(Account),
    /// PROXY WITH GRANT OPTION.
    Proxy(Account),
    /// SYSTEM_USER, with which users that have it may be altered.
    SystemUser,
    /// UPDATE on MariaDB's system tables, which SET DEFAULT ROLE for another user requires.
    SystemTables,
}

/// The statements after which the account `to` has `wanted` instead of `has`.
///
/// `absent`: tables that do not exist. `passed_on`: the restrictions of the executor, which the server
/// adds to the global privileges that it grants (MySQL manual, "Privilege Restriction Using Partial
/// Revokes").
pub(super) fn steps(
    dialect: &Dialect,
    to: &Account,
    has: &Grants,
    wanted: &Grants,
    absent: &BTreeSet<Object>,
    passed_on: &BTreeSet<(String, String)>,
) -> Vec<Step> {
    let mut diff = Diff {
        dialect,
        to,
        now: has.clone(),
        wanted,
        absent,
        passed_on,
        steps: Vec::new(),
    };
    diff.proxies();
    diff.take_dynamic();
    diff.object(&Object::Global);
    diff.give_dynamic();
    let mut objects: BTreeSet<&Object> = has.on.keys().chain(wanted.on.keys()).collect();
    objects.remove(&Object::Global);
    for object in objects {
        diff.object(object);
    }
    diff.restrictions();
    diff.roles();
    diff.steps
}

struct Diff<'a> {
    dialect: &'a Dialect,
    to: &'a Account,
    now: Grants,
    wanted: &'a Grants,
    absent: &'a BTreeSet<Object>,
    passed_on: &'a BTreeSet<(String, String)>,
    steps: Vec<Step>,
}

impl Diff<'_> {
    fn push(
        &mut self,
        kind: ChangeKind,
        text: String,
        why: impl Into<String>,
        requires: Vec<Requirement>,
    ) {
        self.steps.push(Step {
            kind,
            text,
            why: why.into(),
            requires,
        });
    }

    fn give(
        &mut self,
        what: &str,
        object: Option<&Object>,
        option: &str,
        requires: Vec<Requirement>,
    ) {
        let on = object.map(|o| format!(" ON {o}")).unwrap_or_default();
        let to = self.to;
        let text = format!("GRANT {what}{on} TO {to}{option}");
        let text = in_mode_of(object, text);
        self.push(ChangeKind::Grant, text, "the active user has it", requires);
    }

    fn take(&mut self, what: &str, object: Option<&Object>, requires: Vec<Requirement>) {
        let on = object.map(|o| format!(" ON {o}")).unwrap_or_default();
        let from = self.to;
        let text = format!("REVOKE {what}{on} FROM {from}");
        let text = in_mode_of(object, text);
        let why = "the active user does not have it";
        self.push(ChangeKind::Revoke, text, why, requires);
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
            let requires = requirements(object, &surplus);
            self.take(&surplus.list(true), Some(object), requires);
            now.names.retain(|name| !surplus.names.contains(name));
            // REVOKE on the table also revokes on its columns (sql_acl.cc, replace_column_table).
            now.columns.retain(|(name, column)| {
                !surplus.names.contains(name)
                    && !surplus.columns.contains(&(name.clone(), column.clone()))
            });
            if object == &Object::Global {
                // The restrictions of a privilege end with it.
                self.now
                    .restrictions
                    .retain(|(_, name)| !surplus.names.contains(name));
            }
        }
        let mut missing = Privileges {
            // ALL PRIVILEGES includes every privilege but the grant option.
            names: wanted
                .names
                .difference(&now.names)
                .filter(|name| !now.names.contains(ALL) || *name == GRANT_OPTION)
                .cloned()
                .collect(),
            columns: wanted.columns.difference(&now.columns).cloned().collect(),
        };
        if !missing.is_empty() {
            let has_create =
                |all: &Privileges| all.names.contains(CREATE) || all.names.contains(ALL);
            let lends_create = self.absent.contains(object) && !has_create(&missing);
            if lends_create {
                missing.names.insert(CREATE.to_owned());
            }
            let option = if missing.names.contains(GRANT_OPTION) {
                " WITH GRANT OPTION"
            } else {
                ""
            };
            let list = match missing.list(false) {
                nothing if nothing.is_empty() => "USAGE".to_owned(),
                list => list,
            };
            self.give(&list, Some(object), option, requirements(object, &missing));
            if object == &Object::Global {
                let granted = |(_, name): &&(String, String)| {
                    missing.names.contains(name) || missing.names.contains(ALL)
                };
                let added = self.passed_on.iter().filter(granted).cloned();
                self.now.restrictions.extend(added);
            }
            if lends_create && !has_create(wanted) {
                let text = format!("REVOKE {CREATE} ON {object} FROM {}", self.to);
                let why = "the table does not exist, so the server took the grant only with CREATE";
                let requires = to_grant(object, [&CREATE.to_owned()]);
                self.push(ChangeKind::Revoke, text, why, requires);
            }
        }
        self.now.on.insert(object.clone(), wanted.clone());
    }

    /// Revokes grantable dynamic privileges before the global GRANT OPTION; [`Self::give_dynamic`]
    /// grants them again. Otherwise MySQL 9.7 drops them from its tables and keeps them in memory.
    fn take_dynamic(&mut self) {
        let wanted = self.wanted;
        let option_is_revoked = self.now.has(&Object::Global, GRANT_OPTION)
            && !wanted.has(&Object::Global, GRANT_OPTION);
        let surplus_name = |(name, grantable): (&String, &bool)| {
            let wanted = wanted.dynamic.get(name);
            let goes = wanted.is_none_or(|w| *grantable && (option_is_revoked || !w));
            goes.then(|| name.clone())
        };
        let surplus: Vec<String> = self.now.dynamic.iter().filter_map(surplus_name).collect();
        if !surplus.is_empty() {
            let requires = surplus.iter().cloned().map(Requirement::Dynamic).collect();
            self.take(&surplus.join(", "), Some(&Object::Global), requires);
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
                let of_each = missing.iter().cloned().map(Requirement::Dynamic);
                let mut requires: Vec<Requirement> = of_each.collect();
                if grantable {
                    // The server also demands the grant option of the static privileges.
                    requires.extend(to_grant(&Object::Global, [&GRANT_OPTION.to_owned()]));
                }
                self.give(&missing.join(", "), Some(&Object::Global), option, requires);
            }
        }
    }

    fn restrictions(&mut self) {
        let lifted = by_schema(self.now.restrictions.difference(&self.wanted.restrictions));
        for (schema, names) in lifted {
            let object = Object::Schema(schema);
            let requires = to_grant(&object, &names);
            let text = format!("GRANT {} ON {object} TO {}", names.join(", "), self.to);
            let why = "the active user's global privilege is not revoked there";
            self.push(ChangeKind::Grant, text, why, requires);
        }
        let missing = by_schema(self.wanted.restrictions.difference(&self.now.restrictions));
        for (schema, names) in missing {
            let object = Object::Schema(schema);
            let requires = to_grant(&object, &names);
            let text = format!("REVOKE {} ON {object} FROM {}", names.join(", "), self.to);
            let why = "the active user's global privilege is revoked there";
            self.push(ChangeKind::Revoke, text, why, requires);
        }
    }

    fn proxies(&mut self) {
        for of in self.now.proxies.clone().into_keys() {
            if !self.wanted.proxies.contains_key(&of) {
                let what = format!("PROXY ON {of}");
                self.take(&what, None, vec![Requirement::Proxy(of)]);
            }
        }
        for (of, grantable) in self.wanted.proxies.clone() {
            if self.now.proxies.get(&of) == Some(&grantable) {
                continue;
            }
            if self.now.proxies.contains_key(&of) {
                self.push(
                    ChangeKind::Revoke,
                    format!("REVOKE PROXY ON {of} FROM {}", self.to),
                    "a second GRANT would not change the option in the server's table",
                    vec![Requirement::Proxy(of.clone())],
                );
            }
            let option = if grantable { " WITH GRANT OPTION" } else { "" };
            self.give(
                &format!("PROXY ON {of}"),
                None,
                option,
                vec![Requirement::Proxy(of)],
            );
            if grantable {
                // It then shows as the global GRANT OPTION (MariaDB 10.11 and MySQL 9.7).
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
            let requires = vec![Requirement::Role(role.clone())];
            if wanted.is_some() && self.dialect.is_mariadb() {
                self.take(&format!("ADMIN OPTION FOR {role}"), None, requires);
                self.now.roles.insert(role, false);
            } else {
                self.take(&role.to_string(), None, requires);
                self.now.roles.remove(&role);
            }
        }
        for (role, admin) in self.wanted.roles.clone() {
            if self.now.roles.get(&role) != Some(&admin) {
                let option = if admin { " WITH ADMIN OPTION" } else { "" };
                let requires = vec![Requirement::Role(role.clone())];
                self.give(&role.to_string(), None, option, requires);
            }
        }
    }
}

/// The statement in the `sql_mode` that its object needs. The parser of MariaDB's usual mode does not
/// have packages, and `SET STATEMENT` has no effect on the parsing of its own statement.
fn in_mode_of(object: Option<&Object>, text: String) -> String {
    match object {
        Some(Object::Routine { kind, .. }) if kind.starts_with("PACKAGE") => format!(
            "SET STATEMENT sql_mode = 'ORACLE' FOR EXECUTE IMMEDIATE {}",
            literal(&text)
        ),
        _ => text,
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

fn requirements(object: &Object, privileges: &Privileges) -> Vec<Requirement> {
    let columns = privileges.columns.iter().map(|(name, _)| name);
    let names: BTreeSet<String> = privileges.names.iter().chain(columns).cloned().collect();
    to_grant(object, names.iter())
}

fn to_grant<'a>(object: &Object, names: impl IntoIterator<Item = &'a String>) -> Vec<Requirement> {
    names
        .into_iter()
        .map(|name| Requirement::ToGrant {
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

/// The list that ALL PRIVILEGES stands for on a schema and on a table (MySQL 8.0 manual, table
/// 15.11 "Permissible Privileges for GRANT and REVOKE"; MariaDB, "GRANT", "Database Privileges" and
/// "Table Privileges").
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
