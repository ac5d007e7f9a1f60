//! Privileges of the master, and those that it lacks: pure.
//!
//! # Failure modes
//! - A privilege counts as missing that the master has on a higher level, so a run is refused: all
//!   levels count (global, schema, a pattern of schemas, ALL PRIVILEGES).
//! - A privilege counts although a partial revoke excludes it, so a run fails half-way:
//!   restrictions are subtracted.

use std::collections::BTreeSet;

use super::accounts;
use super::dialect::Dialect;
use super::diff::{self, Requirement, Step};
use super::grants::{ALL, Account, CREATE, GRANT_OPTION, Object};
use super::inspect::facts::{Facts, Master, User};
use crate::Finding;

/// MySQL: only users with this privilege may alter users that have it.
const SYSTEM_USER: &str = "SYSTEM_USER";

impl Master {
    /// Whether it may read accounts and their grants.
    pub(super) fn reads_accounts(&self) -> bool {
        self.has(&Object::Schema("mysql".to_owned()), "SELECT")
    }

    /// Whether it sees the sessions of other users.
    pub(super) fn sees_sessions(&self) -> bool {
        self.has(&Object::Global, "PROCESS")
    }

    /// Whether it may end the sessions of other users: by a static privilege of MariaDB, a dynamic
    /// one of MySQL, or SUPER.
    pub(super) fn ends_sessions(&self) -> bool {
        ["CONNECTION ADMIN", "SUPER"]
            .iter()
            .any(|name| self.has(&Object::Global, name))
            || self.grants.dynamic.contains_key("CONNECTION_ADMIN")
    }

    /// Whether it may change a server whose `read_only` is on: by a static privilege of MariaDB, a
    /// dynamic one of MySQL, or SUPER, which MariaDB 10.11 and later do not count.
    pub(super) fn writes_on_readers(&self, dialect: &Dialect) -> bool {
        let by_super = !dialect.is_mariadb() || dialect.version < (10, 11);
        self.has(&Object::Global, "READ_ONLY ADMIN")
            || (by_super && self.has(&Object::Global, "SUPER"))
            || self.grants.dynamic.contains_key("CONNECTION_ADMIN")
    }

    /// Whether it may call RDS's procedure that ends a session, if the server has that.
    pub(super) fn calls_rds_kill(&self) -> bool {
        let procedure = Object::Routine {
            kind: "PROCEDURE".to_owned(),
            schema: "mysql".to_owned(),
            name: "rds_kill".to_owned(),
        };
        self.has(&procedure, "EXECUTE")
    }

    /// Whether it has the privilege and GRANT OPTION, on the object or above it.
    pub(super) fn may_grant(&self, dialect: &Dialect, object: &Object, name: &str) -> bool {
        let has_each = || diff::all(dialect, object).all(|one| self.has(object, one));
        let has_it = self.has(object, name) || (name == ALL && has_each());
        has_it && self.has(object, GRANT_OPTION)
    }

    /// Whether it has the privilege, on the object or above it.
    fn has(&self, object: &Object, name: &str) -> bool {
        let schema = match object {
            Object::Global => None,
            Object::Schema(schema)
            | Object::Table { schema, .. }
            | Object::Routine { schema, .. } => Some(schema),
        };
        let restricted = schema.is_some_and(|schema| {
            let restriction = (schema.clone(), name.to_owned());
            self.grants.restrictions.contains(&restriction)
        });
        self.grants.on.iter().any(|(level, privileges)| {
            let covers = match (level, object) {
                (Object::Global, _) => !restricted,
                (Object::Schema(pattern), Object::Schema(wanted)) => {
                    pattern == wanted
                        || literal_name(wanted).is_some_and(|name| self.reaches(pattern, &name))
                }
                (
                    Object::Schema(pattern),
                    Object::Table { schema, .. } | Object::Routine { schema, .. },
                ) => self.reaches(pattern, schema),
                (level, object) => level == object,
            };
            let named = privileges.names.contains(name)
                || (name != GRANT_OPTION && privileges.names.contains(ALL));
            covers && named
        })
    }

    /// Whether a grant on this pattern of schemas applies to this schema.
    fn reaches(&self, pattern: &str, schema: &str) -> bool {
        if self.schemas_are_literal {
            pattern == schema
        } else {
            like(pattern, schema)
        }
    }
}

/// Privileges that the master lacks for the steps, each with the statement that grants it.
pub(super) fn missing(facts: &Facts, steps: &[Step]) -> Vec<Finding> {
    let master = &facts.master.account;
    if !facts.readable {
        return vec![Finding::lacks(
            format!("the master {master} may not read accounts and their grants"),
            format!("GRANT SELECT ON `mysql`.* TO {master}"),
        )];
    }
    let mut requirements: BTreeSet<&Requirement> =
        steps.iter().flat_map(|step| &step.requires).collect();
    // For the statement that sets the password.
    requirements.insert(&Requirement::Global("CREATE USER"));
    let is_granted = |user: &User| user.grants.dynamic.contains_key(SYSTEM_USER);
    if facts.standby.iter().any(is_granted) {
        requirements.insert(&Requirement::SystemUser);
    }
    let mut all: Vec<Finding> = Vec::new();
    let mut on: Vec<(&Object, Vec<&str>)> = Vec::new();
    for requirement in requirements
        .into_iter()
        .filter(|requirement| !is_met(facts, requirement))
    {
        let (what, fix) = match requirement {
            Requirement::ToGrant { object, name } => {
                match on.last_mut() {
                    Some((last, names)) if *last == object => names.push(name),
                    _ => on.push((object, vec![name])),
                }
                continue;
            }
            Requirement::Global(name) => (
                format!("has no {name}"),
                format!("GRANT {name} ON *.* TO {master}"),
            ),
            Requirement::Dynamic(name) => (
                format!("may not grant {name}"),
                format!("GRANT {name} ON *.* TO {master} WITH GRANT OPTION"),
            ),
            Requirement::Role(role) => (
                format!("may not grant the role {role}"),
                format!("GRANT {role} TO {master} WITH ADMIN OPTION"),
            ),
            Requirement::Proxy(of) => (
                format!("may not grant PROXY on {of}"),
                format!(
                    "GRANT PROXY ON {} TO {master} WITH GRANT OPTION",
                    grantable_proxy(facts, of)
                ),
            ),
            Requirement::SystemUser => (
                "may not alter users that have SYSTEM_USER".to_owned(),
                format!("GRANT SYSTEM_USER ON *.* TO {master}"),
            ),
            Requirement::SystemTables => (
                "may not set another user's default role, for which MariaDB requires UPDATE on its system tables".to_owned(),
                format!("GRANT UPDATE ON `mysql`.* TO {master}"),
            ),
        };
        all.push(Finding::lacks(format!("the master {master} {what}"), fix));
    }
    for (object, names) in on {
        let list: Vec<&str> = names
            .iter()
            .copied()
            .filter(|n| *n != GRANT_OPTION)
            .collect();
        let mut list = if list.is_empty() {
            "USAGE".to_owned()
        } else if list.contains(&ALL) {
            // No other privilege may stand beside it.
            ALL.to_owned()
        } else {
            list.join(", ")
        };
        if facts.existing.is_unseen(object) && !names.contains(&ALL) && !names.contains(&CREATE) {
            // The table may be missing: the server then takes the grant only with CREATE.
            list = format!("{list}, {CREATE}").replace("USAGE, ", "");
        }
        all.push(Finding::lacks(
            format!(
                "the master {master} may not grant or revoke {} on {object}",
                names.join(", ")
            ),
            format!("GRANT {list} ON {object} TO {master} WITH GRANT OPTION"),
        ));
    }
    if facts.hashes_refused {
        all.push(Finding::lacks(
            "strict_password_validation is on, with a plugin that validates passwords: the server refuses hashes. On RDS it is a parameter of the DB parameter group".into(),
            "SET GLOBAL strict_password_validation = OFF".into(),
        ));
    }
    all
}

fn is_met(facts: &Facts, requirement: &Requirement) -> bool {
    let master = &facts.master;
    let grants = &master.grants;
    match requirement {
        Requirement::ToGrant { object, name } => master.may_grant(&facts.dialect, object, name),
        Requirement::Global(name) => master.has(&Object::Global, name),
        Requirement::Dynamic(name) => grants.dynamic.get(name) == Some(&true),
        Requirement::Role(role) => {
            grants.roles.get(role) == Some(&true)
                || grants.dynamic.contains_key("ROLE_ADMIN")
                || (!facts.dialect.is_mariadb() && master.has(&Object::Global, "SUPER"))
        }
        Requirement::Proxy(of) => grants.proxies.iter().any(|(held, grantable)| {
            let covers = held.user.is_empty() || held.user == of.user;
            *grantable && covers && is_grantable_proxy(facts, held)
        }),
        Requirement::SystemUser => {
            grants.dynamic.contains_key(SYSTEM_USER) || master.has(&Object::Global, "SUPER")
        }
        Requirement::SystemTables => master.has(&Object::Schema("mysql".to_owned()), "UPDATE"),
    }
}

/// Whether the server lets the master grant PROXY on accounts with this user, if it has this privilege
/// with the grant option. It compares the host with the one from which the master signs in
/// (sql_acl.cc, `acl_check_proxy_grant_access`).
fn is_grantable_proxy(facts: &Facts, held: &Account) -> bool {
    let host = held.host.as_deref().unwrap_or_default();
    accounts::matches(host, &facts.master.client)
}

/// The PROXY that the master needs for a grant of PROXY on this account.
fn grantable_proxy(facts: &Facts, of: &Account) -> Account {
    if is_grantable_proxy(facts, of) {
        of.clone()
    } else {
        Account::new(&of.user, "%")
    }
}

/// The schema of a pattern without wildcards.
fn literal_name(pattern: &str) -> Option<String> {
    let mut name = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '%' | '_' => return None,
            '\\' => name.push(chars.next().unwrap_or('\\')),
            c => name.push(c),
        }
    }
    Some(name)
}

/// SQL's LIKE, with `\` as escape.
pub(super) fn like(pattern: &str, text: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => text.is_empty(),
        Some('%') => {
            let tails = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            tails
                .filter_map(|at| text.get(at..))
                .any(|tail| like(rest.as_str(), tail))
        }
        Some(c) => {
            let wanted = match c {
                '_' => None,
                '\\' => rest.next().or(Some('\\')),
                c => Some(c),
            };
            let mut text = text.chars();
            text.next()
                .is_some_and(|first| wanted.is_none_or(|wanted| wanted == first))
                && like(rest.as_str(), text.as_str())
        }
    }
}

#[cfg(test)]
mod tests;
