//! The one user of `strategy = "single"`: the changes of its password, pure.
//!
//! MySQL 8.0.14 and later keep the replaced password as the secondary one (MySQL manual, "Dual
//! Password Support"), so that both sign in until the next change. MariaDB replaces it.
//!
//! # Failure modes
//! - A change is repeated after its answer was lost, and retains the pending password instead of
//!   AWSCURRENT's: only accounts without the pending password are changed.
//! - AWSCURRENT's password is the secondary one, and a change drops it. It is made the primary one
//!   first (`restore_current`).
//! - Another consumer's account gets the password: without the config key `accounts` each account
//!   must hold AWSCURRENT's or the pending password, else `account_differs` is reported.
//! - A locked account is unlocked: the statement names the password only.
//! - The second password of an account hides which one is AWSCURRENT's. The stored form of the primary
//!   one is compared, and nothing is assumed about the secondary one.

use super::accounts::{self, Passwords};
use super::inspect::facts::{Facts, User};
use super::plan::{Identified, identified};
use super::privileges;
use crate::{
    Change, ChangeKind, Finding, PasswordChange, Severity, Statement, UserInspection, UserRequest,
};
use twinkey_core::code::Code;
use twinkey_core::secret::Sensitive;
use twinkey_core::secret::pair::Pair;

/// The changes of the user's password. `facts` have its accounts as the active ones.
pub(super) fn plan(facts: &Facts, request: &UserRequest<'_>) -> UserInspection {
    let retains = facts.dialect.retains_passwords();
    let has = |user: &User, password: Option<&Sensitive>| {
        password.and_then(|password| holds(facts, user, password)) == Some(true)
    };
    let is_current = |user: &User| has(user, Some(request.current));
    let lacking: Vec<&User> = (facts.active.iter())
        .filter(|user| !has(user, request.pending))
        .collect();
    let to_restore = |user: &&&User| retains && !is_current(user);
    UserInspection {
        server: facts.dialect.text.clone(),
        change: if !retains {
            PasswordChange::Replaces
        } else if lacking.iter().any(|user| to_restore(&user)) {
            PasswordChange::RetainsOther
        } else {
            PasswordChange::Retains
        },
        set_password: (lacking.iter())
            .filter_map(|user| {
                let why = if retains {
                    "the pending password; AWSCURRENT's goes on signing in"
                } else {
                    "the pending password; AWSCURRENT's stops"
                };
                change(facts, user, retains, why)
            })
            .collect(),
        other_form: None,
        restore_current: (lacking.iter())
            .filter(to_restore)
            .filter_map(|user| {
                let why =
                    "AWSCURRENT's password is the secondary one, which the next change would drop";
                change(facts, user, retains, why)
            })
            .collect(),
        discard: (facts.active.iter())
            .filter(|user| user.definition.second_password && is_current(user))
            .map(|user| {
                Change::plain(
                    ChangeKind::Retire,
                    format!("ALTER USER {} DISCARD OLD PASSWORD", user.account),
                    "no application uses the replaced password",
                )
            })
            .collect(),
        holds_password: request.pending.and_then(|pending| {
            let all: Option<Vec<bool>> = (facts.active.iter())
                .map(|user| holds(facts, user, pending))
                .collect();
            all.map(|all| !all.is_empty() && all.into_iter().all(|holds| holds))
        }),
        findings: findings(facts, request),
        missing: privileges::missing(facts, &[]),
    }
}

/// Whether this is the primary password of an account; `None` where that is not known.
fn holds(facts: &Facts, user: &User, password: &Sensitive) -> Option<bool> {
    let definition = &user.definition;
    let form = facts.password_form(&definition.plugin)?;
    form.holds(definition.stored.bytes(), password)
}

fn change(facts: &Facts, user: &User, retains: bool, why: &str) -> Option<Change> {
    let Identified { how, form, quote } = identified(facts, &user.definition.plugin)?;
    let retain = if retains {
        " RETAIN CURRENT PASSWORD"
    } else {
        ""
    };
    Some(Change {
        kind: ChangeKind::Password,
        database: None,
        statement: Statement::with_password(
            format!("ALTER USER {} IDENTIFIED {how}", user.account),
            form,
            format!("{quote}{retain}"),
        ),
        why: why.to_owned(),
    })
}

fn findings(facts: &Facts, request: &UserRequest<'_>) -> Vec<Finding> {
    let mut all = Vec::new();
    if !facts.readable {
        return all;
    }
    let error = |what: String, fix: &str| Finding::new(Severity::Error, what, Some(fix.to_owned()));
    if facts.read_only {
        all.push(error(
            "the server is read-only (read_only or super_read_only is on), so no account can be changed".into(),
            "use the writer's endpoint: this host is a reader",
        ));
    }
    if facts.listed.is_some() {
        let pair = Pair::of_one(request.user);
        all.extend(accounts::findings(facts, &pair, Passwords::default()));
    } else if facts.active.is_empty() {
        all.push(error(
            format!("the user {:?} does not exist", request.user),
            "make the secret's user name that of a user of this server",
        ));
    }
    for user in &facts.active {
        let name = &user.account;
        let plugin = &user.definition.plugin;
        if user.definition.other_ways {
            all.push(error(
                format!("{name} signs in with more than one password or factor"),
                "let it sign in with one password only",
            ));
        } else if facts.password_form(plugin).is_none() {
            all.push(error(
                format!("{name} signs in with the plugin {plugin:?}, whose passwords twinkey cannot rotate"),
                "use caching_sha2_password (MySQL), or mysql_native_password or ed25519 (MariaDB)",
            ));
        }
        if facts.unloaded.contains(plugin) {
            all.push(error(
                format!("{name} signs in with {plugin}, which the server has not loaded"),
                "load the plugin, or give the user another method",
            ));
        }
        all.extend(of_other_consumer(facts, user, request));
    }
    all
}

/// An account with a password that no version of this run has.
fn of_other_consumer(facts: &Facts, user: &User, request: &UserRequest<'_>) -> Option<Finding> {
    // The sign-ins prove the only account, and the config says whose the listed ones are.
    if facts.listed.is_some() || facts.active.len() < 2 || user.definition.second_password {
        return None;
    }
    let known = [Some(request.current), request.pending];
    let held: Vec<Option<bool>> = (known.into_iter().flatten())
        .map(|password| holds(facts, user, password))
        .collect();
    held.iter().all(|held| *held == Some(false)).then(|| Finding {
        code: Some(Code::AccountDiffers),
        ..Finding::new(
            Severity::Error,
            format!(
                "{} does not hold the password in AWSCURRENT, so another consumer may use it",
                user.account
            ),
            Some("list the hosts of this secret's accounts in accounts; else give all of them the password in AWSCURRENT".into()),
        )
    })
}

#[cfg(test)]
mod tests;
