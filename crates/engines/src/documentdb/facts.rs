//! What is known of a pair and its server: plain data.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::powers::Powers;

/// The server as the plan needs it.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    /// As it calls its version.
    pub version: String,
    /// The database in which the pair lives.
    pub home: String,
    /// The rotation's own database.
    pub own: String,
    pub master: Master,
    /// `None` where the master may not read users: then nothing below is known.
    pub users: Option<Users>,
    /// Users of the pair's names that live in another database than the pair.
    pub doubles: Vec<User>,
    /// What this version does not know, and what follows from it.
    pub unknown: BTreeSet<Unknown>,
}

/// What a version may not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unknown {
    Restrictions,
    CurrentOp,
}

/// The pair, as far as it is there.
#[derive(Debug, Clone, Default)]
pub(super) struct Users {
    pub active: Option<User>,
    pub standby: Option<User>,
}

/// Who we are, and what we may.
#[derive(Debug, Clone)]
pub(super) struct Master {
    pub user: String,
    pub home: String,
    pub powers: Powers,
    /// The server refused the pair's lock.
    pub lock_denied: bool,
    /// What it sends is not encrypted.
    pub plain_text: bool,
}

/// A user as the server tells of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct User {
    pub name: String,
    pub home: String,
    pub roles: BTreeSet<Role>,
    /// `None`: the server does not tell (Amazon DocumentDB before 5.0.1 has one only).
    pub mechanisms: Option<BTreeSet<String>>,
    /// `authenticationRestrictions`, as a list; empty where there are none, or the server tells none.
    pub restrictions: Vec<Json>,
    /// `customData`, where there is some.
    pub custom_data: Option<Json>,
}

/// A role, and the database that it is defined in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Role {
    pub role: String,
    pub db: String,
}

impl Role {
    pub(super) fn new(role: &str, db: &str) -> Self {
        Self {
            role: role.to_owned(),
            db: db.to_owned(),
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} on {}", self.role, self.db)
    }
}
