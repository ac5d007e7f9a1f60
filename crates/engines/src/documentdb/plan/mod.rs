//! Facts to changes: pure.
//!
//! What can go wrong, and what prevents it:
//! - commands about users are not transactional: a standby is created with all that the active user has and
//!   a password that nobody knows, and the pending one is given last of all. Whoever signs in with it is
//!   complete, wherever the run was cut;
//! - roles are looked at once and drift apart afterwards: they are compared as sets on every run, and what
//!   is too much is revoked;
//! - the standby is left without a mechanism that the application's driver needs: the mechanisms come with the
//!   password, and a server that kept other ones is found out ([`Inspection::holds_password`]);
//! - the active user is changed under a running application: every command is about the standby.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::facts::{Facts, Role, User, Users};
use super::powers::{self, Need};
use super::preflight;
use super::quote::{command, command_with_password, roles};
use crate::{Change, ChangeKind, Inspection, Slot, Statement};
use twinkey_core::secret::pair::Pair;

/// What would make the standby equal, and what to tell about it.
pub(super) fn plan(facts: &Facts, pair: &Pair) -> Inspection {
    let users = facts.users.clone().unwrap_or_default();
    let differences = differences(facts, pair, &users);
    let set_password: Vec<Change> = (users.active.iter())
        .map(|active| set_password(facts, pair, active))
        .collect();
    Inspection {
        server: format!("MongoDB-compatible {}", facts.version),
        // Nothing is known of it where nothing may be read; the run is refused then.
        standby_exists: facts.users.is_none() || users.standby.is_some(),
        missing: powers::missing(facts, needs(facts, &users)),
        differences,
        set_password,
        retire: (users.standby.iter())
            .map(|standby| retire(facts, standby))
            .collect(),
        holds_password: lacks_a_mechanism(&users).then_some(false),
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
            "from where it may sign in, as the active user",
        );
    }
    if active.custom_data != standby.custom_data {
        let wanted = active.custom_data.clone().unwrap_or_else(|| json!({}));
        add(
            ChangeKind::Setting,
            "updateUser",
            vec![("customData", wanted)],
            "as the active user's",
        );
    }
    let lacking: Vec<&Role> = active.roles.difference(&standby.roles).collect();
    if !lacking.is_empty() {
        add(
            ChangeKind::Grant,
            "grantRolesToUser",
            vec![("roles", roles(lacking))],
            "the active user has these roles, and the standby has not",
        );
    }
    let surplus: Vec<&Role> = standby.roles.difference(&active.roles).collect();
    if !surplus.is_empty() {
        add(
            ChangeKind::Revoke,
            "revokeRolesFromUser",
            vec![("roles", roles(surplus))],
            "the standby has these roles, and the active user has not",
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
    change(
        facts,
        ChangeKind::Create,
        command_with_password("createUser", name, Slot::Throwaway, fields),
        "there is no standby yet; nobody knows this password, so that nobody signs in before the last command".to_owned(),
    )
}

fn set_password(facts: &Facts, pair: &Pair, active: &User) -> Change {
    let fields = mechanisms(active).into_iter().collect();
    let name = pair.standby_user();
    change(
        facts,
        ChangeKind::Password,
        command_with_password("updateUser", name, Slot::Clear, fields),
        "the pending password, in clear because the server takes no other form; last, so that whoever signs in is complete".to_owned(),
    )
}

fn retire(facts: &Facts, standby: &User) -> Change {
    let fields = mechanisms(standby).into_iter().collect();
    change(
        facts,
        ChangeKind::Retire,
        command_with_password("updateUser", &standby.name, Slot::Throwaway, fields),
        "nobody lives on it any more, and nobody knows this password; the server locks no users"
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
        database: (facts.home != facts.own).then(|| facts.home.clone()),
        statement,
        why,
    }
}

/// Whether a sign-in of the standby proves less than one of the active user does: it has another set of
/// mechanisms, and so another set of what is stored of its password.
fn lacks_a_mechanism(users: &Users) -> bool {
    match (&users.active, &users.standby) {
        (Some(active), Some(standby)) => active.mechanisms != standby.mechanisms,
        _ => false,
    }
}

/// What the master must be able to do for all of it (MongoDB manual, "Privilege Actions").
fn needs(facts: &Facts, users: &Users) -> BTreeSet<Need> {
    let home = facts.home.as_str();
    let mut all = BTreeSet::from([Need::users("viewUser", home), Need::Lock]);
    let Some(active) = &users.active else {
        return all;
    };
    let nothing = User::default();
    let standby = users.standby.as_ref().unwrap_or(&nothing);
    if users.standby.is_none() {
        all.insert(Need::users("createUser", home));
    }
    all.insert(Need::users("changePassword", home));
    if active.restrictions != standby.restrictions {
        all.insert(Need::users("setAuthenticationRestriction", home));
    }
    if active.custom_data != standby.custom_data && users.standby.is_some() {
        all.insert(Need::users("changeCustomData", home));
    }
    let lacking = active.roles.difference(&standby.roles);
    all.extend(lacking.map(|role| Need::users("grantRole", &role.db)));
    let surplus = standby.roles.difference(&active.roles);
    all.extend(surplus.map(|role| Need::users("revokeRole", &role.db)));
    all
}

#[cfg(test)]
mod tests;
