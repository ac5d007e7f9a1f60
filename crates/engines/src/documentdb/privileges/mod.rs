//! Privileges of the master, and the privileges that a plan requires. Pure.
//!
//! If the server lists privileges, they decide. If it lists roles only, the privileges of the
//! built-in ones are known (MongoDB manual, "Built-In Roles").
//!
//! # Failure modes
//! - A run is refused although a custom role contains the privilege. A custom role counts as
//!   containing every privilege.

use std::collections::BTreeSet;

use serde_json::json;

use super::connect::ADMIN;
use super::lock;
use super::role::DatabaseRole;

/// The privileges of a user, in the form that the server reports.
#[derive(Debug, Clone)]
pub(super) enum Privileges {
    Listed(Vec<Privilege>),
    OfRoles(BTreeSet<DatabaseRole>),
}

/// Actions that are permitted on a resource.
#[derive(Debug, Clone)]
pub(super) struct Privilege {
    pub resource: Resource,
    pub actions: BTreeSet<String>,
}

/// The resource of a privilege.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resource {
    /// `{ db: "", collection: "" }`, `{ anyResource: true }`: every database.
    Everything,
    Database(String),
    /// Database and collection; an empty database means all databases.
    Collection(String, String),
    Cluster,
}

/// A privilege that the master needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RequiredPrivilege {
    /// An action on users in this database.
    Users { action: &'static str, db: String },
    /// Writing the collection of locks.
    Lock,
}

impl RequiredPrivilege {
    pub(super) fn users(action: &'static str, db: &str) -> Self {
        Self::Users {
            action,
            db: db.to_owned(),
        }
    }

    /// The least built-in role with this privilege, on a server with or without `userAdmin`.
    pub(super) fn role(&self, has_user_admin: bool) -> DatabaseRole {
        match self {
            Self::Users { db, .. } if has_user_admin => DatabaseRole::new("userAdmin", db),
            Self::Users { .. } => DatabaseRole::new("userAdminAnyDatabase", ADMIN),
            Self::Lock => DatabaseRole::new("readWrite", lock::DATABASE),
        }
    }
}

impl Privileges {
    /// Whether these privileges include a required one.
    pub(super) fn include(&self, required: &RequiredPrivilege) -> bool {
        match self {
            Self::Listed(all) => match required {
                RequiredPrivilege::Users { action, db } => {
                    allows(all, &Resource::Database(db.clone()), action)
                }
                RequiredPrivilege::Lock => {
                    let locks =
                        Resource::Collection(lock::DATABASE.into(), lock::COLLECTION.into());
                    let mut actions = ["find", "insert", "update", "remove"].into_iter();
                    actions.all(|action| allows(all, &locks, action))
                }
            },
            Self::OfRoles(all) => {
                let wanted = required.role(true);
                all.iter()
                    .any(|role| role_includes(role, required, &wanted.db))
            }
        }
    }

    /// Whether they depend on the role `dbOwner`, which administers users on MongoDB only.
    pub(super) fn depend_on_db_owner(&self) -> bool {
        matches!(self, Self::OfRoles(all) if all.iter().any(|role| role.role == "dbOwner"))
    }

    /// The privileges on a server whose `dbOwner` is `dbAdmin` and `readWrite` only.
    pub(super) fn without_user_administration(&mut self) {
        if let Self::OfRoles(all) = self {
            let owned: Vec<String> = (all.iter().filter(|role| role.role == "dbOwner"))
                .map(|role| role.db.clone())
                .collect();
            all.retain(|role| role.role != "dbOwner");
            for db in owned {
                all.extend(["dbAdmin", "readWrite"].map(|role| DatabaseRole::new(role, &db)));
            }
        }
    }
}

fn allows(all: &[Privilege], wanted: &Resource, action: &str) -> bool {
    all.iter().any(|privilege| {
        let covers = match (&privilege.resource, wanted) {
            (Resource::Everything, _) => true,
            (Resource::Database(db), Resource::Collection(wanted, _)) => db == wanted,
            (Resource::Collection(db, one), Resource::Collection(_, wanted)) if db.is_empty() => {
                one == wanted
            }
            (resource, wanted) => resource == wanted,
        };
        let any_action = privilege.actions.contains("anyAction");
        covers && (any_action || privilege.actions.contains(action))
    })
}

/// Built-in roles in every database.
const DATABASE_ROLES: [&str; 5] = ["read", "readWrite", "dbAdmin", "userAdmin", "dbOwner"];
/// Built-in roles in `admin`.
const ADMIN_ROLES: [&str; 11] = [
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

fn role_includes(role: &DatabaseRole, required: &RequiredPrivilege, db: &str) -> bool {
    let name = role.role.as_str();
    let is_built_in = DATABASE_ROLES.contains(&name) || ADMIN_ROLES.contains(&name);
    let same_database = role.db == db;
    match required {
        _ if !is_built_in || name == "root" => true,
        RequiredPrivilege::Users { .. } => {
            name == "userAdminAnyDatabase"
                || (same_database && ["userAdmin", "dbOwner"].contains(&name))
        }
        RequiredPrivilege::Lock => {
            name == "readWriteAnyDatabase"
                || (same_database && ["readWrite", "dbOwner"].contains(&name))
        }
    }
}

/// Parses the privileges in a response to `connectionStatus`; `None` if there are none.
pub(super) fn parse(listed: &[serde_json::Value]) -> Option<Vec<Privilege>> {
    let all: Vec<Privilege> = listed
        .iter()
        .filter_map(|one| {
            let resource = &one["resource"];
            let resource_kind = if resource["cluster"] == json!(true) {
                Resource::Cluster
            } else if resource["anyResource"] == json!(true) {
                Resource::Everything
            } else {
                match (resource["db"].as_str()?, resource["collection"].as_str()?) {
                    ("", "") => Resource::Everything,
                    (db, "") => Resource::Database(db.to_owned()),
                    (db, collection) => Resource::Collection(db.to_owned(), collection.to_owned()),
                }
            };
            let actions = one["actions"].as_array()?;
            let actions = actions.iter().filter_map(|a| Some(a.as_str()?.to_owned()));
            Some(Privilege {
                resource: resource_kind,
                actions: actions.collect(),
            })
        })
        .collect();
    (!all.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests;
