//! What a person should know before a run, and what the master lacks: pure.

use std::collections::BTreeSet;

use super::dialect::Dialect;
use super::diff::{self, Need, Step};
use super::grants::{ALL, Account, GRANT_OPTION, Grants, Object, Privileges};
use super::inspect::{Facts, User};
use super::plan;
use super::quote::ident;
use crate::code::Code;
use crate::engine::{Finding, Severity};
use crate::secret::pair::{Pair, Which};

/// Whether somebody with these grants may read accounts and what was granted to them.
pub(super) fn reads_accounts(grants: &Grants) -> bool {
    let mysql = Object::Schema("mysql".to_owned());
    has(grants, &mysql, "SELECT")
}

/// Whether somebody with these grants sees the sessions of others.
pub(super) fn sees_sessions(grants: &Grants) -> bool {
    has(grants, &Object::Global, "PROCESS")
}

/// What is refused, and what is worth knowing.
pub(super) fn findings(facts: &Facts, pair: &Pair) -> Vec<Finding> {
    let mut all = Vec::new();
    if !facts.readable {
        return all;
    }
    if facts.active.is_empty() {
        let name = pair.active_user();
        all.push(Finding::new(
            Severity::Error,
            format!("the active user {name:?} does not exist"),
            Some("make the secret's user name that of a user of this server".into()),
        ));
    }
    for user in facts.active.iter().chain(&facts.standby) {
        refusals(facts, user, &mut all);
    }
    for user in &facts.active {
        sign_in(facts, user, &mut all);
        inert(facts, user, &mut all);
    }
    for surplus in facts.surplus() {
        if is_definer(facts, &surplus.account) {
            all.push(Finding {
                code: Some(Code::PrivilegesDiffer),
                ..Finding::new(
                    Severity::Error,
                    format!("{} has no counterpart among the active user's accounts, and cannot be dropped: objects run as it", surplus.account),
                    Some(format!("give those objects another DEFINER, then DROP USER {}", surplus.account)),
                )
            });
        }
    }
    definers(facts, pair, &mut all);
    if !sees_sessions(&facts.master.grants) {
        all.push(Finding::new(
            Severity::Note,
            "the master does not see who is signed in: a consumer that still lives on the standby goes unnoticed".into(),
            Some(format!("GRANT PROCESS ON *.* TO {}", facts.master.account)),
        ));
    }
    all
}

fn refusals(facts: &Facts, user: &User, all: &mut Vec<Finding>) {
    let name = &user.account;
    let mut refuse = |what: &str, fix: String| {
        all.push(Finding::new(
            Severity::Error,
            format!("{name} {what}, and is not rotated as an application's user"),
            Some(fix),
        ));
    };
    if name.user == facts.master.account.user {
        refuse(
            "is the master itself",
            "give a master secret with another user, or rotate the master by its own managed rotation".into(),
        );
    } else if plan::is_mighty(&user.grants) {
        refuse(
            "has SUPER or ALL PRIVILEGES on everything",
            format!(
                "REVOKE ALL PRIVILEGES, GRANT OPTION FROM {name}, and grant what the application needs"
            ),
        );
    }
}

/// Ways of signing in that are not one password.
fn sign_in(facts: &Facts, user: &User, all: &mut Vec<Finding>) {
    let name = &user.account;
    let definition = &user.definition;
    let mut refuse = |what: String, fix: &str| {
        all.push(Finding::new(Severity::Error, what, Some(fix.to_owned())));
    };
    if definition.other_ways {
        refuse(
            format!(
                "{name} signs in with more than one password or factor, which would be lost on its twin"
            ),
            "leave it one way to sign in, a password",
        );
    } else if plan::slot(facts, &definition.plugin).is_none() {
        refuse(
            format!(
                "{name} signs in with the plugin {:?}, which takes no password that could be rotated here",
                definition.plugin
            ),
            "use caching_sha2_password (MySQL), or mysql_native_password or ed25519 (MariaDB)",
        );
    }
    if definition.expired {
        all.push(Finding::new(
            Severity::Warning,
            format!("the password of {name} has been expired by hand; its twin's will not be"),
            Some(format!(
                "ALTER USER {name} PASSWORD EXPIRE DEFAULT does not undo it: the next rotation does"
            )),
        ));
    }
}

fn inert(facts: &Facts, user: &User, all: &mut Vec<Finding>) {
    let nothing = Grants::default();
    let standby = facts.standby_at(user.account.host.as_ref());
    let has = standby.map_or(&nothing, |standby| &standby.grants);
    let (_, inert) = without_inert(facts, &user.grants, has);
    all.extend(inert.into_iter().map(|(object, privileges)| {
        let list = privileges.list(true);
        Finding::new(
            Severity::Note,
            format!("{} is granted {list} on {object}, which does not exist: that cannot be given to its twin, and is nothing", user.account),
            Some(format!("REVOKE {list} ON {object} FROM {}", user.account)),
        )
    }));
}

/// What the active user has, without what cannot be granted because there is nothing to grant it on.
pub(super) fn without_inert(
    facts: &Facts,
    active: &Grants,
    has: &Grants,
) -> (Grants, Vec<(Object, Privileges)>) {
    let mut wanted = active.clone();
    let mut inert = Vec::new();
    let nothing = Privileges::default();
    for (object, privileges) in &active.on {
        let standby = has.on.get(object).unwrap_or(&nothing);
        let mut gone = Privileges {
            names: privileges
                .names
                .difference(&standby.names)
                .cloned()
                .collect(),
            columns: privileges
                .columns
                .difference(&standby.columns)
                .cloned()
                .collect(),
        };
        // What the master has no rights on is hidden from it, and not to be taken for gone.
        let visible = |name: &String| may_grant(facts, object, name);
        gone.names.retain(visible);
        gone.columns.retain(|(name, _)| visible(name));
        retain_gone(facts, object, &mut gone);
        if gone.is_empty() {
            continue;
        }
        if let Some(kept) = wanted.on.get_mut(object) {
            kept.names.retain(|name| !gone.names.contains(name));
            kept.columns.retain(|column| !gone.columns.contains(column));
        }
        inert.push((object.clone(), gone));
    }
    wanted.on.retain(|_, privileges| !privileges.is_empty());
    (wanted, inert)
}

fn retain_gone(facts: &Facts, object: &Object, gone: &mut Privileges) {
    let existing = &facts.existing;
    let nothing_is_gone = match object {
        Object::Global | Object::Schema(_) => true,
        Object::Routine { kind, schema, name } => {
            let key = (kind.clone(), schema.clone(), name.clone());
            // Packages and libraries are not in information_schema.ROUTINES everywhere.
            !matches!(kind.as_str(), "PROCEDURE" | "FUNCTION")
                || !existing.schemas.contains(schema)
                || existing.routines.contains(&key)
        }
        Object::Table { schema, table } => {
            let columns = existing.tables.get(&(schema.clone(), table.clone()));
            match columns {
                _ if !existing.schemas.contains(schema) => true,
                Some(columns) => {
                    gone.names.clear();
                    gone.columns
                        .retain(|(_, column)| !columns.contains(&column.to_lowercase()));
                    gone.columns.is_empty()
                }
                // With CREATE among them, the server takes grants on a table that is yet to be made.
                None => gone.names.contains("CREATE") || gone.names.contains(ALL),
            }
        }
    };
    if nothing_is_gone {
        *gone = Privileges::default();
    }
}

/// Whether an object runs as this account.
pub(super) fn is_definer(facts: &Facts, account: &Account) -> bool {
    facts
        .definers
        .iter()
        .any(|d| d.user == account.user && Some(&d.host) == account.host.as_ref())
}

fn definers(facts: &Facts, pair: &Pair, all: &mut Vec<Finding>) {
    for (which, severity) in [
        (Which::Base, Severity::Note),
        (Which::Clone, Severity::Warning),
    ] {
        let name = pair.name(which);
        let objects: Vec<&str> = facts
            .definers
            .iter()
            .filter(|definer| definer.user == name)
            .map(|definer| definer.object.as_str())
            .collect();
        if objects.is_empty() {
            continue;
        }
        let first = objects.get(..5.min(objects.len())).unwrap_or_default();
        let more = objects.len() - first.len();
        let and = if more == 0 {
            String::new()
        } else {
            format!(" and {more} more")
        };
        all.push(Finding::new(
            severity,
            format!("{name:?} is the DEFINER of {}{and}: they run with its privileges, whoever is active", first.join(", ")),
            (which == Which::Clone).then(|| format!("create them anew with DEFINER = {}, or with SQL SECURITY INVOKER, so that the clone can be dropped some day", ident(&pair.base))),
        ));
    }
}

/// What the master lacks to carry the steps out, each with the statement that mends it.
pub(super) fn missing(facts: &Facts, steps: &[Step]) -> Vec<Finding> {
    let master = &facts.master.account;
    if !facts.readable {
        return vec![Finding::lacks(
            format!("the master {master} may not read accounts and their grants"),
            format!("GRANT SELECT ON `mysql`.* TO {master}"),
        )];
    }
    let mut needs: BTreeSet<&Need> = steps.iter().flat_map(|step| &step.needs).collect();
    // The password's own statement.
    needs.insert(&Need::Global("CREATE USER"));
    let mut all: Vec<Finding> = Vec::new();
    let mut on: Vec<(&Object, Vec<&str>)> = Vec::new();
    for need in needs.into_iter().filter(|need| !has_need(facts, need)) {
        let (what, fix) = match need {
            Need::ToGrant { object, name } => {
                match on.last_mut() {
                    Some((last, names)) if *last == object => names.push(name),
                    _ => on.push((object, vec![name])),
                }
                continue;
            }
            Need::Global(name) => (
                format!("has no {name}"),
                format!("GRANT {name} ON *.* TO {master}"),
            ),
            Need::Dynamic(name) => (
                format!("may not grant {name}"),
                format!("GRANT {name} ON *.* TO {master} WITH GRANT OPTION"),
            ),
            Need::Role(role) => (
                format!("may not grant the role {role}"),
                format!("GRANT {role} TO {master} WITH ADMIN OPTION"),
            ),
            Need::Proxy(of) => (
                format!("may not grant PROXY on {of}"),
                format!("GRANT PROXY ON {of} TO {master} WITH GRANT OPTION"),
            ),
            Need::SystemTables => (
                "may not set another user's default role, which MariaDB takes for writing to its own tables".to_owned(),
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
        let list = if list.is_empty() {
            "USAGE".to_owned()
        } else {
            list.join(", ")
        };
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
            "strict_password_validation is on, with a plugin that validates passwords: the server takes none as a hash".into(),
            "SET GLOBAL strict_password_validation = OFF".into(),
        ));
    }
    all
}

fn has_need(facts: &Facts, need: &Need) -> bool {
    let grants = &facts.master.grants;
    match need {
        Need::ToGrant { object, name } => may_grant(facts, object, name),
        Need::Global(name) => has(grants, &Object::Global, name),
        Need::Dynamic(name) => grants.dynamic.get(name) == Some(&true),
        Need::Role(role) => {
            grants.roles.get(role) == Some(&true)
                || grants.dynamic.contains_key("ROLE_ADMIN")
                || (!facts.dialect.is_mariadb() && has(grants, &Object::Global, "SUPER"))
        }
        Need::Proxy(of) => {
            let anybody = Account::new("", "");
            [of, &anybody]
                .iter()
                .any(|of| grants.proxies.get(of) == Some(&true))
        }
        Need::SystemTables => has(grants, &Object::Schema("mysql".to_owned()), "UPDATE"),
    }
}

/// Whether the master has the privilege and GRANT OPTION, on the object or above it.
fn may_grant(facts: &Facts, object: &Object, name: &str) -> bool {
    let grants = &facts.master.grants;
    let all_of = |dialect: &Dialect| diff::all(dialect, object).all(|one| has(grants, object, one));
    let has_it = match name {
        ALL => has(grants, object, ALL) || all_of(&facts.dialect),
        name => has(grants, object, name),
    };
    has_it && has(grants, object, GRANT_OPTION)
}

/// Whether a privilege is there on the object or above it.
fn has(grants: &Grants, object: &Object, name: &str) -> bool {
    let schema = match object {
        Object::Global => None,
        Object::Schema(schema) | Object::Table { schema, .. } | Object::Routine { schema, .. } => {
            Some(schema)
        }
    };
    let restricted = schema.is_some_and(|schema| {
        grants
            .restrictions
            .contains(&(schema.clone(), name.to_owned()))
    });
    grants.on.iter().any(|(level, privileges)| {
        let covers = match (level, object) {
            (Object::Global, _) => !restricted,
            (Object::Schema(pattern), Object::Schema(wanted)) => {
                pattern == wanted || literal_name(wanted).is_some_and(|name| like(pattern, &name))
            }
            (
                Object::Schema(pattern),
                Object::Table { schema, .. } | Object::Routine { schema, .. },
            ) => like(pattern, schema),
            (level, object) => level == object,
        };
        let named = privileges.names.contains(name)
            || (name != GRANT_OPTION && privileges.names.contains(ALL));
        covers && named
    })
}

/// The one schema that a pattern without wild cards means.
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
fn like(pattern: &str, text: &str) -> bool {
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
#[path = "preflight_tests.rs"]
mod tests;
