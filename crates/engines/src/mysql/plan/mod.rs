//! Changes from facts: pure.
//!
//! Every account of the active user (`'app'@'%'`, `'app'@'10.%'`, …) has a twin at the same host,
//! which is made equal to it. Other accounts of the standby are dropped.
//!
//! # Failure modes
//! - Account statements are not transactional, and a crash leaves a half-made account: it is
//!   created locked with a hash that no password has, and one last statement sets the password and
//!   unlocks it.
//! - A crash between the passwords of two accounts goes unnoticed, because the sign-in tests only
//!   one of them: the stored hash of *every* account is compared with the pending password.
//! - A change affects the active user of a running application: every statement is about an account
//!   of the standby.
//! - A change affects another consumer's account of the same name: `accounts.rs` decides which
//!   accounts are the pair's.
//! - An older password still signs in (MySQL's RETAIN CURRENT PASSWORD): it is discarded.

use super::accounts::{self, Passwords};
use super::dialect::{Dialect, Family};
use super::diff::{self, Requirement, Step};
use super::grants::{Account, NOTHING};
use super::inspect::facts::{Facts, User};
use super::quote::{ident, literal};
use super::{objects, preflight, privileges};
use crate::{Change, ChangeKind, Inspection, PasswordForm, StandbyAccess, Statement};
use twinkey_core::secret::Sensitive;
use twinkey_core::secret::pair::Pair;

const NATIVE: &str = "mysql_native_password";
const CACHING_SHA2: &str = "caching_sha2_password";
/// A hash that no password has, as MySQL's reserved accounts (sql/auth/sql_authentication.cc).
const NO_PASSWORD_CACHING_SHA2: &str =
    "$A$005$THISISACOMBINATIONOFINVALIDSALTANDPASSWORDTHATMUSTNEVERBRBEUSED";
/// The same for `mysql_native_password` (scripts/mysql_system_tables_data.sql of MySQL 5.7).
const NO_PASSWORD_NATIVE: &str = "*THISISNOTAVALIDPASSWORDTHATCANBEUSEDHERE";
/// The same for MariaDB (MariaDB, "Authentication Plugin - mysql_native_password").
const NO_PASSWORD_MARIADB: &str = "invalid";

/// The method and the stored form of a new account without a password.
///
/// MySQL: the active account's method, because a server need not have another. Aurora MySQL 3 creates
/// accounts with `mysql_native_password`, and MySQL 9 has none.
fn no_password(dialect: &Dialect, plugin: &str) -> (&'static str, &'static str) {
    match (dialect.family, plugin) {
        (Family::Mariadb, _) => (NATIVE, NO_PASSWORD_MARIADB),
        (Family::Mysql, NATIVE) => (NATIVE, NO_PASSWORD_NATIVE),
        (Family::Mysql, _) => (CACHING_SHA2, NO_PASSWORD_CACHING_SHA2),
    }
}

/// Whether this is the stored form of a new account without a password.
pub(super) fn is_no_password(dialect: &Dialect, stored: &[u8]) -> bool {
    [NATIVE, CACHING_SHA2]
        .map(|plugin| no_password(dialect, plugin).1.as_bytes())
        .contains(&stored)
}

/// The changes that make the standby equal, and the findings.
pub(super) fn plan(facts: &Facts, pair: &Pair, passwords: Passwords<'_>) -> Inspection {
    let steps = steps(facts, pair, passwords);
    Inspection {
        session_role: None,
        server: facts.dialect.text.clone(),
        // Without the right to read accounts this is unknown, and the run is refused.
        standby_exists: !facts.readable || !facts.standby.is_empty(),
        readable: facts.readable,
        standby_access: access(facts),
        cloned_by_aws: false,
        missing: privileges::missing(facts, &steps),
        differences: steps
            .into_iter()
            .map(|step| Change::plain(step.kind, step.text, step.why))
            .collect(),
        set_password: facts
            .active
            .iter()
            .filter_map(|active| set_password(facts, pair, active))
            .collect(),
        retire: facts
            .standby
            .iter()
            .filter(|user| !facts.is_surplus(user) || is_droppable(facts, user, passwords))
            .filter_map(retire)
            .collect(),
        holds_password: passwords
            .pending
            .and_then(|password| holds(facts, password)),
        findings: preflight::findings(facts, pair, passwords),
        obstacles: Vec::new(),
        standby_obstacles: Vec::new(),
        other_form: None,
    }
}

/// One account without access is enough: a run that was interrupted, or a retirement, left it.
fn access(facts: &Facts) -> StandbyAccess {
    if !facts.readable {
        return StandbyAccess::Unknown;
    }
    let disabled = facts.standby.iter().any(|user| {
        let definition = &user.definition;
        definition.locked
            || facts.expiry(user).is_some()
            || is_no_password(&facts.dialect, definition.stored.bytes())
    });
    if disabled || facts.standby.is_empty() {
        StandbyAccess::Disabled
    } else {
        StandbyAccess::Enabled
    }
}

/// The statements that make the standby equal, each with its requirements.
fn steps(facts: &Facts, pair: &Pair, passwords: Passwords<'_>) -> Vec<Step> {
    let mut all = Vec::new();
    for active in &facts.active {
        account(facts, pair, active, &mut all);
    }
    for surplus in facts.surplus() {
        if !facts.is_definer(&surplus.account) && is_droppable(facts, surplus, passwords) {
            all.push(of_users(
                ChangeKind::Revoke,
                format!("DROP USER {}", surplus.account),
                "the active user has no account for this host",
            ));
        }
    }
    all
}

/// Whether an account that only the standby has is the pair's: the config says so, or its password.
fn is_droppable(facts: &Facts, surplus: &User, passwords: Passwords<'_>) -> bool {
    facts.listed.is_some() || accounts::is_of_pair(facts, surplus, passwords)
}

fn account(facts: &Facts, pair: &Pair, active: &User, all: &mut Vec<Step>) {
    let to = Account {
        user: pair.standby_user().to_owned(),
        host: active.account.host.clone(),
    };
    let standby = facts.standby_at(active.account.host.as_ref());
    match standby {
        None => all.push(create(&facts.dialect, &to, active)),
        Some(standby) => all.extend(alter(&to, active, standby)),
    }
    let has = standby.map_or(&NOTHING, |user| &user.grants);
    let wanted = objects::wanted(facts, &active.grants, has);
    let (grants, absent) = (&wanted.grants, &wanted.absent);
    let passed_on = &facts.master.grants.restrictions;
    all.extend(diff::steps(
        &facts.dialect,
        &to,
        has,
        grants,
        absent,
        passed_on,
    ));
    all.extend(default_roles(&facts.dialect, &to, active, standby));
}

fn create(dialect: &Dialect, to: &Account, active: &User) -> Step {
    let (plugin, hash) = no_password(dialect, &active.definition.plugin);
    let (how, fresh) = if dialect.is_mariadb() {
        (
            format!("VIA {plugin} USING '{hash}'"),
            super::inspect::account::MariadbRow::default().definition(),
        )
    } else {
        (
            format!("WITH '{plugin}' AS '{hash}'"),
            super::inspect::account::MysqlRow::default().definition(),
        )
    };
    let clauses = active.definition.settings.clauses(&fresh.settings, true);
    of_users(
        ChangeKind::Create,
        format!("CREATE USER {to} IDENTIFIED {how} {clauses}"),
        "the standby has no account for this host; it cannot sign in until it is complete",
    )
}

fn alter(to: &Account, active: &User, standby: &User) -> Vec<Step> {
    let mut all = Vec::new();
    let lock = active.definition.locked && !standby.definition.locked;
    let wanted = &active.definition.settings;
    let clauses = wanted.clauses(&standby.definition.settings, lock);
    if !clauses.is_empty() {
        all.push(of_users(
            ChangeKind::Setting,
            format!("ALTER USER {to} {clauses}"),
            "as the active user's",
        ));
    }
    if standby.definition.second_password {
        all.push(of_users(
            ChangeKind::Setting,
            format!("ALTER USER {to} DISCARD OLD PASSWORD"),
            "an older password would still sign in",
        ));
    }
    all
}

fn of_users(kind: ChangeKind, text: String, why: &str) -> Step {
    Step {
        kind,
        text,
        why: why.to_owned(),
        requires: vec![Requirement::Global("CREATE USER")],
    }
}

fn default_roles(
    dialect: &Dialect,
    to: &Account,
    active: &User,
    standby: Option<&User>,
) -> Option<Step> {
    // MariaDB keeps a default role that was revoked. It has no effect, and no statement sets it.
    let has_effect =
        |role: &&Account| !dialect.is_mariadb() || active.grants.roles.contains_key(*role);
    let wanted: Vec<&Account> = active.default_roles.iter().filter(has_effect).collect();
    // MySQL revokes the default with the role, even where the role is granted again.
    let keeps = |role: &&Account| {
        let granted = |user: &User| user.grants.roles.get(*role).copied();
        let regranted = standby.and_then(granted) == Some(true) && granted(active) != Some(true);
        dialect.is_mariadb() || !regranted
    };
    let now = standby.into_iter().flat_map(|user| &user.default_roles);
    if now.filter(keeps).eq(wanted.iter().copied()) {
        return None;
    }
    let roles: Vec<String> = wanted.iter().map(|role| role.to_string()).collect();
    let roles = if roles.is_empty() {
        "NONE".to_owned()
    } else {
        roles.join(", ")
    };
    let (text, requirement) = if dialect.is_mariadb() {
        (
            format!("SET DEFAULT ROLE {roles} FOR {to}"),
            Requirement::SystemTables,
        )
    } else {
        (
            format!("ALTER USER {to} DEFAULT ROLE {roles}"),
            Requirement::Global("CREATE USER"),
        )
    };
    Some(Step {
        kind: ChangeKind::Setting,
        text,
        why: "the default roles are as the active user's".to_owned(),
        requires: vec![requirement],
    })
}

/// The part of an account statement that sets a password.
pub(super) struct Identified {
    /// What stands between IDENTIFIED and the password.
    pub how: String,
    pub form: PasswordForm,
    /// What stands after the password.
    pub quote: &'static str,
}

/// How a statement sets a password for this plugin; `None`: twinkey cannot set it.
pub(super) fn identified(facts: &Facts, plugin: &str) -> Option<Identified> {
    let form = facts.password_form(plugin)?;
    let quote = if matches!(form, PasswordForm::CachingSha2 { .. }) {
        ""
    } else {
        "'"
    };
    let how = if facts.dialect.is_mariadb() {
        format!("VIA {} USING {quote}", ident(plugin))
    } else {
        format!("WITH {} AS {quote}", literal(plugin))
    };
    Some(Identified { how, form, quote })
}

fn set_password(facts: &Facts, pair: &Pair, active: &User) -> Option<Change> {
    let plugin = &active.definition.plugin;
    let Identified { how, form, quote } = identified(facts, plugin)?;
    let to = Account {
        user: pair.standby_user().to_owned(),
        host: active.account.host.clone(),
    };
    let unlock = if active.definition.locked {
        ""
    } else {
        " ACCOUNT UNLOCK"
    };
    Some(Change {
        kind: ChangeKind::Password,
        database: None,
        statement: Statement::with_password(
            format!("ALTER USER {to} IDENTIFIED {how}"),
            form,
            format!("{quote}{unlock}"),
        ),
        why: format!(
            "the pending password, as the hash that {plugin} stores; set last, so that only a complete standby signs in"
        ),
    })
}

fn retire(standby: &User) -> Option<Change> {
    let to = &standby.account;
    (!standby.definition.locked).then(|| {
        Change::plain(
            ChangeKind::Retire,
            format!("ALTER USER {to} ACCOUNT LOCK"),
            "no application uses it; setting its next password unlocks it",
        )
    })
}

/// Whether every account of the standby stores this password with the active user's plugin, is
/// locked only where the active user's is, and is not expired.
fn holds(facts: &Facts, password: &Sensitive) -> Option<bool> {
    let mut all = Some(!facts.active.is_empty());
    for active in &facts.active {
        let held = match facts.standby_at(active.account.host.as_ref()) {
            Some(standby)
                if facts.expiry(standby).is_none()
                    && standby.definition.plugin == active.definition.plugin
                    && standby.definition.locked == active.definition.locked =>
            {
                facts
                    .password_form(&active.definition.plugin)?
                    .holds(standby.definition.stored.bytes(), password)
            }
            _ => Some(false),
        };
        all = all.zip(held).map(|(all, held)| all && held);
    }
    all
}

#[cfg(test)]
mod tests;
