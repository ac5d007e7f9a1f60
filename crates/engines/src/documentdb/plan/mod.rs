//! Changes that make the standby equal to the active user, derived from facts. Pure.
//!
//! Every command affects the standby only.
//!
//! # Failure modes
//! - Commands on users are not transactional, and a run may stop between two of them. A standby is
//!   created with all roles and a throwaway password, and the pending password is the last change.
//! - Roles change after a run. They are compared on every run, and surplus roles are revoked.
//! - The standby lacks a mechanism that the application's driver needs. The password's command sets
//!   the mechanisms; a server that kept others is found by [`Inspection::holds_password`].

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::facts::{Facts, User, Users};
use super::preflight;
use super::privileges::RequiredPrivilege;
use super::quote::{command, command_with_password, roles};
use super::role::DatabaseRole;
use crate::{Change, ChangeKind, Inspection, PasswordForm, StandbyAccess, Statement};
use twinkey_core::secret::pair::Pair;

/// The changes that make the standby equal, and the findings.
pub(super) fn plan(facts: &Facts, pair: &Pair) -> Inspection {
    let users = facts.users.clone().unwrap_or_default();
    let differences = differences(facts, pair, &users);
    let set_password: Vec<Change> = (users.active.iter())
        .map(|active| set_password(facts, pair, active, users.standby.as_ref()))
        .collect();
    Inspection {
        session_role: None,
        obstacles: preflight::sign_in_causes(facts, pair, &users),
        standby_obstacles: Vec::new(),
        other_form: None,
        server: format!("MongoDB-compatible {}", facts.version),
        // If users are unreadable, the run is refused anyway.
        standby_exists: facts.users.is_none() || users.standby.is_some(),
        readable: facts.users.is_some(),
        // The server does not report it.
        standby_access: StandbyAccess::Unknown,
        cloned_by_aws: false,
        missing: preflight::missing(facts, required(facts, &users)),
        differences,
        set_password,
        retire: (users.standby.iter())
            .map(|standby| retire(facts, standby))
            .collect(),
        holds_password: has_other_mechanisms(&users).then_some(false),
        findings: preflight::findings(facts, pair, &users),
    }
}

fn differences(facts: &Facts, pair: &Pair, users: &Users) -> Vec<Change> {
    let Some(active) = &users.active else {
        return Vec::new();
    };
    let Some(standby) = &users.standby else {
        return vec![create(facts, pair, active)];
    };
    let name = pair.standby_user();
    let mut all = Vec::new();
    let mut add = |kind, verb, fields, why: &str| {
        let statement = command(verb, name, fields);
        all.push(change(facts, kind, statement, why.to_owned()));
    };
    if active.restrictions != standby.restrictions {
        let wanted = Json::from(active.restrictions.clone());
        add(
            ChangeKind::Setting,
            "updateUser",
            vec![("authenticationRestrictions", wanted)],
            "the authentication restrictions are as the active user's",
        );
    }
    if active.custom_data != standby.custom_data {
        let wanted = active.custom_data.clone().unwrap_or_else(|| json!({}));
        add(
            ChangeKind::Setting,
            "updateUser",
            vec![("customData", wanted)],
            "the custom data is as the active user's",
        );
    }
    let lacking: Vec<&DatabaseRole> = active.roles.difference(&standby.roles).collect();
    if !lacking.is_empty() {
        add(
            ChangeKind::Grant,
            "grantRolesToUser",
            vec![("roles", roles(lacking))],
            "the active user has these roles, and the standby does not",
        );
    }
    let surplus: Vec<&DatabaseRole> = standby.roles.difference(&active.roles).collect();
    if !surplus.is_empty() {
        add(
            ChangeKind::Revoke,
            "revokeRolesFromUser",
            vec![("roles", roles(surplus))],
            "the standby has these roles, and the active user does not",
        );
    }
    all
}

fn create(facts: &Facts, pair: &Pair, active: &User) -> Change {
    let mut fields = vec![("roles", roles(&active.roles))];
    fields.extend(mechanisms(active));
    if !active.restrictions.is_empty() {
        let all = Json::from(active.restrictions.clone());
        fields.push(("authenticationRestrictions", all));
    }
    fields.extend(active.custom_data.clone().map(|data| ("customData", data)));
    let name = pair.standby_user();
    let unfinished = PasswordForm::Unfinished(Box::new(PasswordForm::Clear));
    change(
        facts,
        ChangeKind::Create,
        command_with_password("createUser", name, unfinished, fields),
        "the standby does not exist; this password is not stored, so that no sign-in succeeds before the last command".to_owned(),
    )
}

fn set_password(facts: &Facts, pair: &Pair, active: &User, standby: Option<&User>) -> Change {
    let fields = mechanisms(active).into_iter().collect();
    let name = pair.standby_user();
    let mut why = "the pending password, in clear because the server accepts no other form; last, so that a user that can sign in is complete".to_owned();
    if let Some(standby) = standby.filter(|standby| standby.mechanisms != active.mechanisms) {
        why += &format!(
            "; the standby has the mechanisms {}, the active user {}",
            named_mechanisms(standby),
            named_mechanisms(active)
        );
    }
    change(
        facts,
        ChangeKind::Password,
        command_with_password("updateUser", name, PasswordForm::Clear, fields),
        why,
    )
}

fn named_mechanisms(user: &User) -> String {
    let all: Vec<&str> = user
        .mechanisms
        .iter()
        .flatten()
        .map(String::as_str)
        .collect();
    all.join(", ")
}

fn retire(facts: &Facts, standby: &User) -> Change {
    let fields = mechanisms(standby).into_iter().collect();
    change(
        facts,
        ChangeKind::Retire,
        command_with_password("updateUser", &standby.name, PasswordForm::Throwaway, fields),
        "it is no longer in use, and this password is not stored; the server cannot lock users"
            .to_owned(),
    )
}

fn mechanisms(user: &User) -> Option<(&'static str, Json)> {
    let all = user.mechanisms.as_ref().filter(|all| !all.is_empty())?;
    Some(("mechanisms", all.iter().map(String::as_str).collect()))
}

fn change(facts: &Facts, kind: ChangeKind, statement: Statement, why: String) -> Change {
    Change {
        kind,
        database: (facts.auth_database != facts.own).then(|| facts.auth_database.clone()),
        statement,
        why,
    }
}

/// Whether the standby has other mechanisms, and so other stored credentials, than the active user.
///
/// A sign-in as the standby then checks only a part of them.
fn has_other_mechanisms(users: &Users) -> bool {
    match (&users.active, &users.standby) {
        (Some(active), Some(standby)) => active.mechanisms != standby.mechanisms,
        _ => false,
    }
}

/// The privileges that the changes require (MongoDB manual, "Privilege Actions").
fn required(facts: &Facts, users: &Users) -> BTreeSet<RequiredPrivilege> {
    let auth_database = facts.auth_database.as_str();
    let mut all = BTreeSet::from([
        RequiredPrivilege::users("viewUser", auth_database),
        RequiredPrivilege::Lock,
    ]);
    let Some(active) = &users.active else {
        return all;
    };
    let nothing = User::default();
    let standby = users.standby.as_ref().unwrap_or(&nothing);
    if users.standby.is_none() {
        all.insert(RequiredPrivilege::users("createUser", auth_database));
    }
    all.insert(RequiredPrivilege::users("changePassword", auth_database));
    if active.restrictions != standby.restrictions {
        all.insert(RequiredPrivilege::users(
            "setAuthenticationRestriction",
            auth_database,
        ));
    }
    if active.custom_data != standby.custom_data && users.standby.is_some() {
        all.insert(RequiredPrivilege::users("changeCustomData", auth_database));
    }
    let lacking = active.roles.difference(&standby.roles);
    all.extend(lacking.map(|role| RequiredPrivilege::users("grantRole", &role.db)));
    let surplus = standby.roles.difference(&active.roles);
    all.extend(surplus.map(|role| RequiredPrivilege::users("revokeRole", &role.db)));
    all
}

#[cfg(test)]
mod tests;
