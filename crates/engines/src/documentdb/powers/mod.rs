//! What the master may, and what it lacks: pure.
//!
//! What can go wrong: a power is taken for missing that the master has through something above it, or for
//! there although it is not; then a run is refused that would pass, or fails half-way. What the server tells
//! of privileges is believed; where it tells roles only, the built-in ones are known (MongoDB manual,
//! "Built-In Roles"), and a custom role may hold anything: then nothing is called missing beforehand.

use std::collections::BTreeSet;

use serde_json::json;

use super::facts::{Facts, Role};
use super::lock;
use super::quote::{command, in_shell, roles};
use crate::Finding;

/// What somebody may, as far as the server tells.
#[derive(Debug, Clone)]
pub(super) enum Powers {
    Privileges(Vec<Privilege>),
    Roles(BTreeSet<Role>),
}

/// Actions on a resource.
#[derive(Debug, Clone)]
pub(super) struct Privilege {
    pub on: On,
    pub actions: BTreeSet<String>,
}

/// What a privilege reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum On {
    /// `{ db: "", collection: "" }`, `{ anyResource: true }`: every database.
    Everything,
    Database(String),
    /// Of this database, or of all where that is empty.
    Collection(String, String),
    Cluster,
}

/// Something that the master must be able to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    /// An action about users, in this database.
    Users { action: &'static str, db: String },
    /// To write to the collection of locks.
    Lock,
    /// To see the sessions of others.
    Sessions,
}

impl Need {
    pub(super) fn users(action: &'static str, db: &str) -> Self {
        Self::Users {
            action,
            db: db.to_owned(),
        }
    }

    /// The built-in role that gives it, and nothing that is not needed.
    fn role(&self) -> Role {
        match self {
            Self::Users { db, .. } => Role::new("userAdmin", db),
            Self::Lock => Role::new("readWrite", lock::DATABASE),
            Self::Sessions => Role::new("clusterMonitor", super::connect::ADMIN),
        }
    }
}

impl Powers {
    pub(super) fn have(&self, need: &Need) -> bool {
        match self {
            Self::Privileges(all) => match need {
                Need::Users { action, db } => reaches(all, &On::Database(db.clone()), action),
                Need::Lock => {
                    let locks = On::Collection(lock::DATABASE.into(), lock::COLLECTION.into());
                    let mut actions = ["find", "insert", "update", "remove"].into_iter();
                    actions.all(|action| reaches(all, &locks, action))
                }
                Need::Sessions => reaches(all, &On::Cluster, "inprog"),
            },
            Self::Roles(all) => {
                let wanted = need.role();
                all.iter().any(|role| gives(role, need, &wanted.db))
            }
        }
    }
}

fn reaches(all: &[Privilege], wanted: &On, action: &str) -> bool {
    all.iter().any(|privilege| {
        let covers = match (&privilege.on, wanted) {
            (On::Everything, _) => true,
            (On::Database(db), On::Collection(wanted, _)) => db == wanted,
            (On::Collection(db, one), On::Collection(_, wanted)) if db.is_empty() => one == wanted,
            (on, wanted) => on == wanted,
        };
        let any_action = privilege.actions.contains("anyAction");
        covers && (any_action || privilege.actions.contains(action))
    })
}

/// Built-in roles of every database.
const OF_A_DATABASE: [&str; 5] = ["read", "readWrite", "dbAdmin", "userAdmin", "dbOwner"];
/// Built-in roles of `admin`.
const OF_ALL: [&str; 11] = [
    "root",
    "readAnyDatabase",
    "readWriteAnyDatabase",
    "dbAdminAnyDatabase",
    "userAdminAnyDatabase",
    "clusterAdmin",
    "clusterManager",
    "clusterMonitor",
    "hostManager",
    "backup",
    "restore",
];

fn gives(role: &Role, need: &Need, db: &str) -> bool {
    let name = role.role.as_str();
    let is_built_in = OF_A_DATABASE.contains(&name) || OF_ALL.contains(&name);
    let here = role.db == db;
    match need {
        _ if !is_built_in || name == "root" => true,
        Need::Users { .. } => {
            name == "userAdminAnyDatabase" || (here && ["userAdmin", "dbOwner"].contains(&name))
        }
        Need::Lock => {
            name == "readWriteAnyDatabase" || (here && ["readWrite", "dbOwner"].contains(&name))
        }
        Need::Sessions => ["clusterMonitor", "clusterAdmin"].contains(&name),
    }
}

/// What the master lacks to carry out what has these needs, each with the command that mends it.
pub(super) fn missing(facts: &Facts, needs: BTreeSet<Need>) -> Vec<Finding> {
    let master = &facts.master;
    let mut by_role: Vec<(Role, Vec<&'static str>)> = Vec::new();
    for need in &needs {
        let denied = *need == Need::Lock && master.lock_denied;
        let denied = denied || (facts.users.is_none() && is_to_read_users(need, facts));
        if master.powers.have(need) && !denied {
            continue;
        }
        let action = match need {
            Need::Users { action, .. } => action,
            Need::Lock => "keep the pair's lock",
            Need::Sessions => "inprog",
        };
        let role = need.role();
        match by_role.iter_mut().find(|(known, _)| *known == role) {
            Some((_, actions)) => actions.push(action),
            None => by_role.push((role, vec![action])),
        }
    }
    by_role
        .into_iter()
        .map(|(role, actions)| {
            Finding::lacks(
                format!(
                    "the master {:?} may not {} in the database {:?}",
                    master.user,
                    actions.join(", "),
                    role.db
                ),
                grant(facts, &role),
            )
        })
        .collect()
}

fn is_to_read_users(need: &Need, facts: &Facts) -> bool {
    matches!(need, Need::Users { action: "viewUser", db } if *db == facts.home)
}

/// The command by which a DBA gives the master a role.
pub(super) fn grant(facts: &Facts, role: &Role) -> String {
    let master = &facts.master;
    let statement = command(
        "grantRolesToUser",
        &master.user,
        vec![("roles", roles([role]))],
    );
    in_shell(&master.home, &statement)
}

/// The privileges in the answer to `connectionStatus`; `None` where it names none.
pub(super) fn privileges(told: &[serde_json::Value]) -> Option<Vec<Privilege>> {
    let all: Vec<Privilege> = told
        .iter()
        .filter_map(|one| {
            let resource = &one["resource"];
            let on = if resource["cluster"] == json!(true) {
                On::Cluster
            } else if resource["anyResource"] == json!(true) {
                On::Everything
            } else {
                match (resource["db"].as_str()?, resource["collection"].as_str()?) {
                    ("", "") => On::Everything,
                    (db, "") => On::Database(db.to_owned()),
                    (db, collection) => On::Collection(db.to_owned(), collection.to_owned()),
                }
            };
            let actions = one["actions"].as_array()?;
            let actions = actions.iter().filter_map(|a| Some(a.as_str()?.to_owned()));
            Some(Privilege {
                on,
                actions: actions.collect(),
            })
        })
        .collect();
    (!all.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests;
