//! Login-time settings of the two users (`ALTER ROLE … SET`): pure. The base user is the source.
//!
//! # Failure modes
//! - The master may not set a parameter, and the run fails in its middle: a statement that the master
//!   may not execute is a missing privilege. A parameter that is equal needs none.

use super::super::inspect::{Facts, SettingKey, SettingValues};
use super::super::quote::{ident, setting_value};
use super::attributes::differs;
use crate::{Change, ChangeKind, Finding, PostgresOptions};
use twinkey_core::secret::pair::{Pair, PairMember};

/// Adds the statements that make the standby's settings equal. Returns those that the master may not
/// execute, each with the name of the parameter.
pub(super) fn compare(
    facts: &Facts,
    pair: &Pair,
    options: &PostgresOptions,
    differences: &mut Vec<Change>,
    findings: &mut Vec<Finding>,
) -> Vec<(String, String)> {
    let has = facts.settings_of(pair.standby_user());
    let wanted = wanted(facts, pair, options);
    let to_base = pair.active == PairMember::Clone;
    let mut changes: Vec<(&SettingKey, String, String)> = Vec::new();
    for (key, setting) in &wanted {
        let own = has.get(key);
        if own.is_some_and(|own| own.value == setting.value) {
            continue;
        }
        if let Some(own) = own.filter(|_| to_base) {
            findings.push(differs(&scoped(key), &setting.value, &own.value));
            continue;
        }
        let why = if key.1 == "role" {
            format!(
                "sessions of the clone have the role {:?}, as the base user's",
                setting.value
            )
        } else {
            format!("{} is as the active user's", key.1)
        };
        let name = ident(&own.unwrap_or(setting).name);
        let value = setting_value(&key.1, &setting.value);
        changes.push((key, format!("SET {name} TO {value}"), why));
    }
    // An administrator chose the role of the base user: it is not the clone's to set.
    for (key, own) in has.iter().filter(|(key, _)| !wanted.contains_key(*key)) {
        if !to_base {
            let why = format!("the active user has no {} of its own", key.1);
            changes.push((key, format!("RESET {}", ident(&own.name)), why));
        } else if key.1 != "role" {
            findings.push(differs(&scoped(key), "not set", &own.value));
        }
    }
    let mut refused = Vec::new();
    for (key, what, why) in changes {
        let statement = alter(pair, key, &what);
        if facts.unsettable.contains(&key.1) {
            refused.push((key.1.clone(), statement.clone()));
        }
        differences.push(Change::plain(ChangeKind::Setting, statement, why));
    }
    refused
}

/// The settings that the standby should have, of which the base user as the standby gets only those
/// that it lacks.
fn wanted(facts: &Facts, pair: &Pair, options: &PostgresOptions) -> SettingValues {
    let mut wanted = facts.settings_of(pair.active_user());
    let to_base = pair.active == PairMember::Clone;
    // Without `set_role` the clone is a plain member: a role of the base user is a setting as any.
    if to_base || options.set_role {
        wanted.retain(|key, _| key.1 != "role");
    }
    if !to_base && options.set_role {
        wanted.extend(facts.clone_roles(pair));
    }
    wanted
}

/// The role that a new session of the standby must have in the rotation's database.
pub(super) fn session_role(facts: &Facts, pair: &Pair, options: &PostgresOptions) -> String {
    let role = facts.session_role(pair, Some(&facts.database));
    let is_member = pair.active == PairMember::Base && !options.set_role && role == pair.base;
    let role = if is_member { &pair.clone } else { role };
    role.to_owned()
}

/// The privileges that the master lacks for `refused`, the result of [`compare`].
pub(super) fn missing(facts: &Facts, pair: &Pair, refused: &[(String, String)]) -> Vec<Finding> {
    let master = &facts.master.name;
    let exists = facts.role(pair.active.other()).is_some();
    let may_be_granted = facts.version >= 150_000;
    refused
        .chunk_by(|(one, _), (other, _)| one == other)
        .filter_map(|same| {
            let (name, _) = same.first()?;
            let statements: Vec<&str> = same.iter().map(|(_, text)| text.as_str()).collect();
            let statements = statements.join("; ");
            let what =
                format!("the users differ in {name:?}, which the master {master:?} may not set");
            Some(match (may_be_granted, exists) {
                (true, true) => Finding::lacks(
                    format!("{what}; a superuser may instead execute {statements}"),
                    grant_set(name, master),
                ),
                (true, false) => Finding::lacks(what, grant_set(name, master)),
                (false, _) => Finding::lacks(what, statements),
            })
        })
        .collect()
}

/// `GRANT SET ON PARAMETER` came with 15.
fn grant_set(name: &str, master: &str) -> String {
    format!(
        "GRANT SET ON PARAMETER {} TO {}",
        ident(name),
        ident(master)
    )
}

/// `work_mem in "orders"`
fn scoped((database, name): &SettingKey) -> String {
    database.as_ref().map_or_else(
        || name.clone(),
        |database| format!("{name} in {database:?}"),
    )
}

fn alter(pair: &Pair, (database, _): &SettingKey, what: &str) -> String {
    let database = database
        .as_ref()
        .map(|database| format!(" IN DATABASE {}", ident(database)))
        .unwrap_or_default();
    format!("ALTER ROLE {}{database} {what}", ident(pair.standby_user()))
}
