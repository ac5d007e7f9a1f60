//! Findings before a run: pure.

use super::accounts::{self, Passwords};
use super::grants::{Account, NOTHING};
use super::inspect::facts::{Facts, User};
use super::objects::{self, Cause};
use super::quote::ident;
use crate::{Finding, Severity};
use twinkey_core::code::Code;
use twinkey_core::secret::pair::{Pair, PairMember};

/// The findings about the pair.
pub(super) fn findings(facts: &Facts, pair: &Pair, passwords: Passwords<'_>) -> Vec<Finding> {
    let mut all = Vec::new();
    if !facts.readable {
        return all;
    }
    if facts.active.is_empty() && facts.listed.is_none() {
        let name = pair.active_user();
        all.push(Finding::new(
            Severity::Error,
            format!("the active user {name:?} does not exist"),
            Some("make the secret's user name that of a user of this server".into()),
        ));
    }
    if facts.read_only {
        all.push(Finding::new(
            Severity::Error,
            "the server is read-only (read_only or super_read_only is on), so no account can be changed".into(),
            Some("use the writer's endpoint: this host is a reader".into()),
        ));
    }
    all.extend(accounts::findings(facts, pair, passwords));
    for user in facts.active.iter().chain(&facts.standby) {
        refusals(facts, user, &mut all);
    }
    for user in &facts.active {
        sign_in(facts, user, &mut all);
        unverified(facts, pair, user, &mut all);
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
    } else if let Some(what) = user.grants.of_administrator() {
        refuse(
            &format!("has {what}"),
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
    let leave_out = if facts.active.len() > 1 {
        ", or list the hosts of the other accounts in accounts"
    } else {
        ""
    };
    let mut refuse = |what: String, fix: &str| {
        let fix = format!("{fix}{leave_out}");
        all.push(Finding::new(Severity::Error, what, Some(fix)));
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
    if facts.unloaded.contains(&definition.plugin) {
        let plugin = &definition.plugin;
        let load = if plugin == "ed25519" {
            "INSTALL SONAME 'auth_ed25519'".to_owned()
        } else {
            format!("start the server with {plugin} = ON")
        };
        refuse(
            format!("{name} signs in with {plugin}, which the server has not loaded"),
            &format!("{load}, or give both users another method"),
        );
    }
    if let Some(expiry) = facts.expiry(user) {
        all.push(Finding::new(
            Severity::Warning,
            format!(
                "{}; its twin's is not expired, nor is its own after its next rotation",
                expiry.describe(name)
            ),
            None,
        ));
    }
}

/// Findings about grants on objects that cannot be read.
fn unverified(facts: &Facts, pair: &Pair, user: &User, all: &mut Vec<Finding>) {
    let standby = facts.standby_at(user.account.host.as_ref());
    let has = standby.map_or(&NOTHING, |standby| &standby.grants);
    let name = &user.account;
    let wanted = objects::wanted(facts, &user.grants, has);
    all.extend(wanted.unverified.into_iter().map(|one| {
        let (list, object) = (one.privileges.list(true), &one.object);
        let is_granted = format!("{name} is granted {list} on {object}");
        let revoke = format!("REVOKE {list} ON {object} FROM {name}");
        match one.cause {
            Cause::AbsentTable => Finding::new(
                Severity::Note,
                format!("{is_granted}, which does not exist: its twin gets the same grant"),
                Some(revoke),
            ),
            Cause::DroppedColumn => Finding::new(
                Severity::Note,
                format!("{is_granted}, which does not exist: its twin cannot get that grant, which has no effect"),
                Some(revoke),
            ),
            Cause::Missing => not_copied(
                format!("{is_granted}, which does not exist, so its twin cannot get that grant"),
                format!("create {object} again, or {revoke}"),
            ),
            Cause::InvalidView => not_copied(
                format!("{is_granted}, a view that the server cannot open for the master, so its twin cannot get that grant"),
                format!("create or grant what CHECK TABLE {object} names, or {revoke}"),
            ),
        }
    }));
    let standby = pair.standby_user();
    all.extend(wanted.surplus.into_iter().map(|one| {
        let (list, object) = (one.privileges.list(true), &one.object);
        let account = Account {
            user: standby.to_owned(),
            host: name.host.clone(),
        };
        let what = match one.cause {
            Cause::InvalidView => "a view whose tables are missing",
            Cause::AbsentTable | Cause::DroppedColumn | Cause::Missing => "which does not exist",
        };
        Finding::new(
            Severity::Note,
            format!("{account} is granted {list} on {object}, {what}, and {name} is not: the grant stays"),
            Some(format!("REVOKE {list} ON {object} FROM {account}")),
        )
    }));
}

/// A grant that a run must copy and cannot.
fn not_copied(what: String, fix: String) -> Finding {
    Finding {
        code: Some(Code::PrivilegesDiffer),
        ..Finding::new(Severity::Error, what, Some(fix))
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
