//! Groups, roles, attributes, limits and login-time settings of the standby. Pure.
//!
//! # Failure modes
//! - A statement fails although nothing had to change. Statements contain only what differs.
//! - Limits that the admin may not read look like absent limits. They are not compared, and
//!   `preflight.rs` reports it.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Facts, Limits, User};
use crate::postgres::list_elements;
use crate::redshift::quote::{ident, plain_literal};
use crate::{Change, ChangeKind, Finding, Severity};
use twinkey_core::secret::pair::Pair;

/// Settings whose stored value is a list of quoted names.
const LIST_SETTINGS: [&str; 1] = ["search_path"];

/// Changes of groups and roles, then of attributes, limits and settings.
pub(in crate::redshift) fn changes(facts: &Facts, pair: &Pair) -> Vec<Change> {
    let Some(active) = &facts.active else {
        return Vec::new();
    };
    let new = User {
        limits: Some(Limits::default()),
        ..User::default()
    };
    let standby = facts.standby.as_ref().unwrap_or(&new);
    let user = ident(pair.standby_user());
    let mut all = Vec::new();
    groups(active, standby, &user, &mut all);
    roles(&active.roles, &standby.roles, &user, &mut all);
    for (option, why) in attributes(active, standby) {
        let text = format!("ALTER USER {user} {option}");
        all.push(Change::plain(ChangeKind::Setting, text, why));
    }
    settings(active, standby, &user, &mut all);
    all
}

/// The roles that are granted to the standby or revoked from it.
pub(in crate::redshift) fn changed_roles(facts: &Facts) -> BTreeSet<String> {
    let nothing = BTreeMap::new();
    let of = |user: &Option<User>| {
        let user = user.as_ref();
        user.map_or_else(|| nothing.clone(), |user| user.roles.clone())
    };
    let (wanted, has) = (of(&facts.active), of(&facts.standby));
    let differs = |role: &&String| wanted.get(*role) != has.get(*role);
    let all = wanted.keys().chain(has.keys());
    all.filter(differs).cloned().collect()
}

fn groups(active: &User, standby: &User, user: &str, all: &mut Vec<Change>) {
    for group in active.groups.difference(&standby.groups) {
        let text = format!("ALTER GROUP {} ADD USER {user}", ident(group));
        let why = "the active user is in it";
        all.push(Change::plain(ChangeKind::Grant, text, why));
    }
    for group in standby.groups.difference(&active.groups) {
        let text = format!("ALTER GROUP {} DROP USER {user}", ident(group));
        let why = "the active user is not in it";
        all.push(Change::plain(ChangeKind::Revoke, text, why));
    }
}

fn roles(
    wanted: &BTreeMap<String, bool>,
    has: &BTreeMap<String, bool>,
    user: &str,
    all: &mut Vec<Change>,
) {
    for (role, option) in wanted {
        let role_name = ident(role);
        let (kind, text, why) = match (option, has.get(role)) {
            (true, Some(true)) | (false, Some(false)) => continue,
            (true, _) => (
                ChangeKind::Grant,
                format!("GRANT ROLE {role_name} TO {user} WITH ADMIN OPTION"),
                "the active user has it, with ADMIN OPTION",
            ),
            (false, None) => (
                ChangeKind::Grant,
                format!("GRANT ROLE {role_name} TO {user}"),
                "the active user has it",
            ),
            (false, Some(true)) => (
                ChangeKind::Revoke,
                format!("REVOKE ADMIN OPTION FOR ROLE {role_name} FROM {user}"),
                "the active user has it without ADMIN OPTION",
            ),
        };
        all.push(Change::plain(kind, text, why));
    }
    for role in has.keys().filter(|role| !wanted.contains_key(*role)) {
        let text = format!("REVOKE ROLE {} FROM {user}", ident(role));
        let why = "the active user does not have it";
        all.push(Change::plain(ChangeKind::Revoke, text, why));
    }
}

/// Options of `ALTER USER`, each with its reason.
fn attributes(active: &User, standby: &User) -> Vec<(String, &'static str)> {
    let mut all = Vec::new();
    if active.createdb != standby.createdb {
        let word = if active.createdb {
            "CREATEDB"
        } else {
            "NOCREATEDB"
        };
        all.push((word.to_owned(), "as for the active user"));
    }
    if active.valid_until != standby.valid_until {
        let until = active.valid_until.as_deref().unwrap_or("infinity");
        if let Some(until) = plain_literal(until) {
            let why = "the password expires as the active user's";
            all.push((format!("VALID UNTIL {until}"), why));
        }
    }
    let (Some(wanted), Some(has)) = (&active.limits, &standby.limits) else {
        return all;
    };
    if wanted.connections != has.connections {
        let limit = wanted
            .connections
            .map_or_else(|| "UNLIMITED".to_owned(), |limit| limit.to_string());
        let why = "the connection limit is as the active user's";
        all.push((format!("CONNECTION LIMIT {limit}"), why));
    }
    if wanted.session_timeout != has.session_timeout {
        let text = wanted.session_timeout.map_or_else(
            || "RESET SESSION TIMEOUT".to_owned(),
            |seconds| format!("SESSION TIMEOUT {seconds}"),
        );
        all.push((text, "sessions time out as the active user's"));
    }
    if wanted.syslog != has.syslog {
        let word = if wanted.syslog {
            "UNRESTRICTED"
        } else {
            "RESTRICTED"
        };
        all.push((
            format!("SYSLOG ACCESS {word}"),
            "its access to system tables is as the active user's",
        ));
    }
    all
}

fn settings(active: &User, standby: &User, user: &str, all: &mut Vec<Change>) {
    for (name, value) in &active.settings {
        if standby.settings.get(name) == Some(value) {
            continue;
        }
        if let Some(value) = setting_value(name, value) {
            let text = format!("ALTER USER {user} SET {name} TO {value}");
            let why = format!("{name} is as the active user's");
            all.push(Change::plain(ChangeKind::Setting, text, why));
        }
    }
    let surplus = standby.settings.keys();
    for name in surplus.filter(|name| !active.settings.contains_key(*name)) {
        let text = format!("ALTER USER {user} RESET {name}");
        let why = format!("the active user has no {name} of its own");
        all.push(Change::plain(ChangeKind::Setting, text, why));
    }
}

/// The SQL text that stores `value`; `None` if no such text exists.
fn setting_value(name: &str, value: &str) -> Option<String> {
    if LIST_SETTINGS.contains(&name) {
        let elements = list_elements(value);
        let elements: Option<Vec<String>> = elements.iter().map(|e| plain_literal(e)).collect();
        elements.map(|all| all.join(", "))
    } else {
        plain_literal(value)
    }
}

/// Findings about settings that cannot be copied.
pub(in crate::redshift) fn findings(facts: &Facts) -> Vec<Finding> {
    let settings = facts.active.iter().flat_map(|user| &user.settings);
    settings
        .filter(|(name, value)| setting_value(name, value).is_none())
        .map(|(name, _)| {
            Finding::new(
                Severity::Warning,
                format!("the active user's setting {name} contains a backslash and is not copied"),
                Some(format!("set {name} for both users manually")),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests;
