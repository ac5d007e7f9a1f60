//! Facts about a pair and its server that the plan needs. Plain data.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::privileges::Privileges;
use super::role::DatabaseRole;

/// The current state of the server and of the pair.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    /// The server's version.
    pub version: String,
    /// The database in which the pair's users are defined.
    pub auth_database: String,
    /// The rotation's own database.
    pub own: String,
    pub master: MasterFacts,
    /// `None` if the master may not read users.
    pub users: Option<Users>,
    /// Users with the pair's names that are defined in another database.
    pub duplicates: Vec<User>,
    /// Features that this version does not support.
    pub unsupported: BTreeSet<Unsupported>,
    /// `None`: not read.
    pub sessions: Option<SessionReport>,
}

/// How much of the sessions the server reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SessionReport {
    /// The users of all connections.
    Listed,
    /// No users of idle connections. Their number, and the names of their applications.
    WithoutUsers {
        connections: usize,
        applications: BTreeSet<String>,
    },
    /// The version does not support the query.
    Unsupported,
    /// The master may not read sessions.
    Denied,
}

/// A feature that some versions do not support.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unsupported {
    /// `showAuthenticationRestrictions`.
    Restrictions,
}

/// The pair's users, as far as they exist.
#[derive(Debug, Clone, Default)]
pub(super) struct Users {
    pub active: Option<User>,
    pub standby: Option<User>,
}

/// The master's user and privileges.
#[derive(Debug, Clone)]
pub(super) struct MasterFacts {
    pub user: String,
    pub auth_database: String,
    pub privileges: Privileges,
    /// Whether the server has the role `userAdmin`; `None` if unknown. Amazon DocumentDB has only
    /// `userAdminAnyDatabase`, and its `dbOwner` does not administer users.
    pub has_user_admin: Option<bool>,
    /// The master may not write the pair's lock.
    pub lock_denied: bool,
    /// The connection is not encrypted.
    pub plain_text: bool,
}

/// A user in the server's answer to `usersInfo`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct User {
    pub name: String,
    pub auth_database: String,
    pub roles: BTreeSet<DatabaseRole>,
    /// `None`: not reported (Amazon DocumentDB before 5.0.1 has only one).
    pub mechanisms: Option<BTreeSet<String>>,
    /// `authenticationRestrictions`; empty if there are none or the server reports none.
    pub restrictions: Vec<Json>,
    /// `customData`, if not empty.
    pub custom_data: Option<Json>,
}
