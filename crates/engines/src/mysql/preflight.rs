//! Findings before a run: pure.

use super::grants::{ALL, Grants, Object, Privileges};
use super::inspect::facts::{Facts, User};
use super::quote::ident;
use crate::{Finding, Severity};
use twinkey_core::code::Code;
use twinkey_core::secret::pair::{Pair, PairMember};

/// The findings about the pair.
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
        if facts.is_definer(&surplus.account) {
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
    if !facts.master.sees_sessions() {
        all.push(Finding::new(
            Severity::Note,
            "the master does not see sessions: a consumer that still uses the standby goes unnoticed".into(),
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
            "use a master secret with another user, or rotate the master by its own managed rotation".into(),
        );
    } else if user.grants.is_administrator() {
        refuse(
            "has SUPER or ALL PRIVILEGES on everything",
            format!(
                "REVOKE ALL PRIVILEGES, GRANT OPTION FROM {name}, and grant what the application needs"
            ),
        );
    }
}

/// Findings about sign-in methods other than one password.
fn sign_in(facts: &Facts, user: &User, all: &mut Vec<Finding>) {
    let name = &user.account;
    let definition = &user.definition;
    let mut refuse = |what: String, fix: &str| {
        all.push(Finding::new(Severity::Error, what, Some(fix.to_owned())));
    };
    if definition.other_ways {
        refuse(
            format!(
                "{name} signs in with more than one password or factor, which its twin would lack"
            ),
            "let it sign in with one password only",
        );
    } else if facts.password_form(&definition.plugin).is_none() {
        refuse(
            format!(
                "{name} signs in with the plugin {:?}, whose passwords twinkey cannot rotate",
                definition.plugin
            ),
            "use caching_sha2_password (MySQL), or mysql_native_password or ed25519 (MariaDB)",
        );
    }
    if definition.expired {
        all.push(Finding::new(
            Severity::Warning,
            format!(
                "an administrator expired the password of {name}; its twin's is not expired, nor is its own after its next rotation"
            ),
            None,
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
            format!("{} is granted {list} on {object}, which does not exist: its twin cannot get that grant, which has no effect", user.account),
            Some(format!("REVOKE {list} ON {object} FROM {}", user.account)),
        )
    }));
}

/// The active user's grants without those on objects that do not exist, and the latter.
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
        // The master does not see objects that it has no rights on, so they may exist.
        let visible = |name: &String| facts.master.may_grant(&facts.dialect, object, name);
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

/// Keeps the privileges on tables, columns and routines that do not exist.
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
                // With CREATE, the server accepts grants on a table that does not exist yet.
                None => gone.names.contains("CREATE") || gone.names.contains(ALL),
            }
        }
    };
    if nothing_is_gone {
        *gone = Privileges::default();
    }
}

fn definers(facts: &Facts, pair: &Pair, all: &mut Vec<Finding>) {
    for (which, severity) in [
        (PairMember::Base, Severity::Note),
        (PairMember::Clone, Severity::Warning),
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
            format!("{name:?} is the DEFINER of {}{and}: they run with its privileges, whichever user is active", first.join(", ")),
            (which == PairMember::Clone).then(|| format!("create them again with DEFINER = {}, or with SQL SECURITY INVOKER, so that the clone can be dropped later", ident(&pair.base))),
        ));
    }
}
