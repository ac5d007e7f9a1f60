//! Login-time settings of the two users (`ALTER ROLE … SET`): pure. The base user is the source.

use super::super::inspect::{Facts, SettingKey};
use super::super::quote::{ident, setting_value};
use super::attributes::differs;
use crate::{Change, ChangeKind, Finding, PostgresOptions};
use twinkey_core::secret::pair::{Pair, PairMember};

/// Adds the statements that make the standby's settings equal.
pub(super) fn compare(
    facts: &Facts,
    pair: &Pair,
    options: &PostgresOptions,
    differences: &mut Vec<Change>,
    findings: &mut Vec<Finding>,
) {
    let is_role = |key: &SettingKey| key.1 == "role";
    let mut wanted = facts.settings_of(pair.active_user());
    let mut has = facts.settings_of(pair.standby_user());
    wanted.retain(|key, _| !is_role(key));
    if pair.active == PairMember::Base {
        if options.set_role {
            wanted.insert((None, "role".to_owned()), pair.base.clone());
        }
    } else {
        // A role setting of the base user is not the pair's: an administrator chose it.
        has.retain(|key, _| !is_role(key));
    }
    for (key, value) in &wanted {
        match has.get(key) {
            Some(same) if same == value => {}
            Some(own) if pair.active == PairMember::Clone => {
                findings.push(differs(&scoped(key), value, own));
            }
            _ => {
                let why = if is_role(key) {
                    "every session of the clone becomes the base user".to_owned()
                } else {
                    format!("{} is as the active user's", key.1)
                };
                let value = setting_value(&key.1, value);
                differences.push(setting(
                    pair,
                    key,
                    &format!("SET {} TO {value}", ident(&key.1)),
                    why,
                ));
            }
        }
    }
    for (key, value) in has.iter().filter(|(key, _)| !wanted.contains_key(*key)) {
        if pair.active == PairMember::Clone {
            findings.push(differs(&scoped(key), "not set", value));
        } else {
            let why = format!("the active user has no {} of its own", key.1);
            differences.push(setting(pair, key, &format!("RESET {}", ident(&key.1)), why));
        }
    }
}

/// `work_mem in "orders"`
fn scoped((database, name): &SettingKey) -> String {
    database.as_ref().map_or_else(
        || name.clone(),
        |database| format!("{name} in {database:?}"),
    )
}

fn setting(pair: &Pair, key: &SettingKey, what: &str, why: String) -> Change {
    let database = key
        .0
        .as_ref()
        .map(|database| format!(" IN DATABASE {}", ident(database)))
        .unwrap_or_default();
    let user = ident(pair.standby_user());
    Change::plain(
        ChangeKind::Setting,
        format!("ALTER ROLE {user}{database} {what}"),
        why,
    )
}
