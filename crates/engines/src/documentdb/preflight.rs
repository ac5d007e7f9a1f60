//! Findings about the pair, and privileges that the master lacks. Pure.

use std::collections::BTreeSet;

use super::connect::ADMIN;
use super::facts::{Facts, SessionReport, Unsupported, User, Users};
use super::lock;
use super::privileges::RequiredPrivilege;
use super::quote::{command, in_shell, roles};
use super::role::DatabaseRole;
use crate::{Finding, Severity};
use twinkey_core::code::Code;
use twinkey_core::secret::pair::Pair;

/// Roles that can grant themselves everything (MongoDB manual, "Superuser Roles"). `restore` writes
/// and creates users on both servers.
const SUPERUSER_ROLES: [(&str, Option<&str>); 6] = [
    ("root", None),
    ("__system", None),
    ("userAdminAnyDatabase", None),
    ("restore", None),
    ("userAdmin", Some("admin")),
    ("dbOwner", Some("admin")),
];

/// Roles with privileges beyond an application's database.
const BROAD_ROLES: [&str; 7] = [
    "readAnyDatabase",
    "readWriteAnyDatabase",
    "dbAdminAnyDatabase",
    "backup",
    "clusterAdmin",
    "clusterManager",
    "hostManager",
];

/// Reasons to refuse a rotation, warnings and notes.
pub(super) fn findings(facts: &Facts, pair: &Pair, users: &Users) -> Vec<Finding> {
    let mut all = Vec::new();
    if facts.users.is_none() {
        return all;
    }
    if users.active.is_none() {
        all.push(Finding::new(
            Severity::Error,
            format!(
                "the active user {:?} does not exist in {:?}",
                pair.active_user(),
                facts.auth_database
            ),
            Some(
                "set the secret's user name to an existing user, and dbname to the database in which it was created, unless that is admin"
                    .into(),
            ),
        ));
    }
    for user in users.active.iter().chain(&users.standby) {
        refusals(facts, user, &mut all);
    }
    for duplicate in &facts.duplicates {
        all.push(Finding::new(
            Severity::Error,
            format!(
                "a user {:?} exists in {:?} too, and the pair is defined in {:?}: a client selects one of them by its authSource",
                duplicate.name, duplicate.auth_database, facts.auth_database
            ),
            Some(format!(
                "if no client has authSource={}, drop it: db.getSiblingDB({:?}).dropUser({:?})",
                duplicate.auth_database, duplicate.auth_database, duplicate.name
            )),
        ));
    }
    if let Some(active) = &users.active {
        broad(active, &mut all);
    }
    for user in users.active.iter().chain(&users.standby) {
        all.extend(may_write_locks(user));
    }
    if facts.master.plain_text {
        all.push(Finding::new(
            Severity::Warning,
            "the new password crosses the network in clear: the server accepts no hash, and TLS is off".into(),
            Some("set tls.mode = \"verify-full\"".into()),
        ));
    }
    all.extend(
        facts
            .unsupported
            .iter()
            .map(|what| unsupported(facts, *what)),
    );
    all.extend(sessions(facts));
    all
}

/// Why the server refuses the sign-in of the active user, as far as the master sees it.
pub(super) fn sign_in_causes(facts: &Facts, pair: &Pair, users: &Users) -> Vec<Finding> {
    if facts.users.is_none() || users.active.is_some() {
        return Vec::new();
    }
    vec![Finding::new(
        Severity::Note,
        format!(
            "the user {:?} does not exist in {:?}",
            pair.active_user(),
            facts.auth_database
        ),
        Some("make the secret's user name that of a user of this server".into()),
    )]
}

/// The privileges that the master lacks, each role with the command that grants it.
pub(super) fn missing(facts: &Facts, required: BTreeSet<RequiredPrivilege>) -> Vec<Finding> {
    let master = &facts.master;
    let mut by_role: Vec<(DatabaseRole, [Vec<&str>; 2])> = Vec::new();
    for privilege in &required {
        let denied = *privilege == RequiredPrivilege::Lock && master.lock_denied;
        let denied = denied || (facts.users.is_none() && reads_users(privilege, facts));
        if master.privileges.include(privilege) && !denied {
            continue;
        }
        let (action, db) = match privilege {
            RequiredPrivilege::Users { action, db } => (*action, db.as_str()),
            RequiredPrivilege::Lock => ("write the pair's lock", lock::DATABASE),
        };
        let role = role_with(facts, privilege);
        let at = by_role.iter().position(|(known, _)| *known == role);
        let at = at.unwrap_or_else(|| {
            by_role.push((role, [Vec::new(), Vec::new()]));
            by_role.len() - 1
        });
        for (list, text) in by_role[at].1.iter_mut().zip([action, db]) {
            if !list.contains(&text) {
                list.push(text);
            }
        }
    }
    let finding = |(role, [actions, databases]): (DatabaseRole, [Vec<&str>; 2])| {
        let quoted: Vec<String> = databases.iter().map(|db| format!("{db:?}")).collect();
        let noun = if quoted.len() == 1 {
            "database"
        } else {
            "databases"
        };
        let what = format!(
            "the master {:?} may not {} in the {noun} {}",
            master.user,
            actions.join(", "),
            quoted.join(", ")
        );
        Finding::lacks(what, grant_command(facts, &role))
    };
    by_role.into_iter().map(finding).collect()
}

/// The role that a master without this privilege is to be granted.
fn role_with(facts: &Facts, privilege: &RequiredPrivilege) -> DatabaseRole {
    match privilege {
        // The roles of unreadable users may be of any database. On MongoDB, a holder of userAdmin on
        // `admin` can grant itself this role.
        RequiredPrivilege::Users { .. } if facts.users.is_none() => {
            DatabaseRole::new("userAdminAnyDatabase", ADMIN)
        }
        _ => privilege.role(facts.master.has_user_admin == Some(true)),
    }
}

fn reads_users(privilege: &RequiredPrivilege, facts: &Facts) -> bool {
    matches!(privilege, RequiredPrivilege::Users { action: "viewUser", db } if *db == facts.auth_database)
}

/// The shell command that grants the master a role.
fn grant_command(facts: &Facts, role: &DatabaseRole) -> String {
    let master = &facts.master;
    let statement = command(
        "grantRolesToUser",
        &master.user,
        vec![("roles", roles([role]))],
    );
    in_shell(&master.auth_database, &statement)
}

fn unsupported(facts: &Facts, what: Unsupported) -> Finding {
    let what = match what {
        Unsupported::Restrictions => {
            "authentication restrictions (showAuthenticationRestrictions): they are not compared"
        }
    };
    let text = format!("version {} does not report {what}", facts.version);
    Finding::new(Severity::Note, text, None)
}

/// The limits of `in_use` on this server. The server's answer decides, not the list of privileges:
/// Amazon DocumentDB does not list `inprog` for `clusterMonitor`.
fn sessions(facts: &Facts) -> Option<Finding> {
    let undetected = "a consumer that still uses the standby is not detected";
    let (severity, what, fix) = match facts.sessions.as_ref()? {
        SessionReport::Listed | SessionReport::WithoutUsers { connections: 0, .. } => return None,
        SessionReport::WithoutUsers {
            connections,
            applications,
        } => {
            let names: Vec<String> = applications
                .iter()
                .take(5)
                .map(|a| format!("{a:?}"))
                .collect();
            let of = match names.is_empty() {
                true => String::new(),
                false => format!(" of {}", names.join(", ")),
            };
            (
                Severity::Warning,
                format!(
                    "the server does not report the users of {connections} idle connections{of}: if one is the standby's, in_use does not stop a run"
                ),
                Some("turn on the cluster's audit log (audit_logs), and search its authenticate events for the standby before you rotate".into()),
            )
        }
        SessionReport::Unsupported => (
            Severity::Note,
            format!(
                "version {} does not report the users of sessions (currentOp): {undetected}",
                facts.version
            ),
            None,
        ),
        SessionReport::Denied => (
            Severity::Note,
            format!("the master cannot read sessions: {undetected}"),
            Some(grant_command(
                facts,
                &DatabaseRole::new("clusterMonitor", "admin"),
            )),
        ),
    };
    Some(Finding::new(severity, what, fix))
}

fn refusals(facts: &Facts, user: &User, all: &mut Vec<Finding>) {
    let name = &user.name;
    let mut refuse = |what: String, fix: &str| {
        all.push(Finding::new(
            Severity::Error,
            format!("{name:?} {what} and cannot be rotated as an application's user"),
            Some(fix.to_owned()),
        ));
    };
    let ordinary = "create another user for the application, with roles in its own database";
    let superuser_role = user.roles.iter().find(|role| {
        let is = |(name, db): &(&str, Option<&str>)| {
            role.role == *name && db.is_none_or(|db| role.db == db)
        };
        SUPERUSER_ROLES.iter().any(is)
    });
    if *name == facts.master.user {
        refuse(
            "is the master itself".into(),
            "set a master secret with another user, or rotate the master by AWS's managed rotation",
        );
    } else if name == "serviceadmin" {
        refuse("is Amazon DocumentDB's own user".into(), ordinary);
    } else if let Some(role) = superuser_role {
        refuse(format!("has the role {role}"), ordinary);
    } else if let Some(other) = other_mechanism(user) {
        refuse(
            format!("signs in with {other}, which uses no password"),
            "use SCRAM-SHA-256 or SCRAM-SHA-1, or remove it from the rotations",
        );
    }
}

fn other_mechanism(user: &User) -> Option<&String> {
    let mut all = user.mechanisms.iter().flatten();
    all.find(|mechanism| !mechanism.starts_with("SCRAM-"))
}

/// A role with which a user of the pair may write the pair's lock.
fn may_write_locks(user: &User) -> Option<Finding> {
    let role = user.roles.iter().find(|role| {
        role.role == "readWriteAnyDatabase"
            || (role.db == lock::DATABASE && ["readWrite", "dbOwner"].contains(&role.role.as_str()))
    })?;
    let revoke = command(
        "revokeRolesFromUser",
        &user.name,
        vec![("roles", roles([role]))],
    );
    Some(Finding {
        code: Some(Code::AlreadyRunning),
        ..Finding::new(
            Severity::Warning,
            format!(
                "{:?} has the role {role}, and so may write the pair's lock in {:?}: its clients can prevent runs",
                user.name,
                lock::DATABASE
            ),
            Some(format!(
                "grant it roles on its own database instead, then {}",
                in_shell(&user.auth_database, &revoke)
            )),
        )
    })
}

fn broad(active: &User, all: &mut Vec<Finding>) {
    let names: Vec<String> = active
        .roles
        .iter()
        .filter(|role| BROAD_ROLES.contains(&role.role.as_str()))
        .map(DatabaseRole::to_string)
        .collect();
    if names.is_empty() {
        return;
    }
    all.push(Finding::new(
        Severity::Warning,
        format!(
            "{:?} has {}, beyond one application's database; the standby gets the same roles",
            active.name,
            names.join(", ")
        ),
        Some("grant roles on its own database only; Amazon DocumentDB granted broad roles by default before 26 March 2020".into()),
    ));
}
