//! Facts about the cluster that the plan needs. Plain data.

use std::collections::{BTreeMap, BTreeSet};

use super::defaults::DefaultPrivilege;
use super::grants::{Grants, Object};
use crate::redshift::quote::ident;

/// The current state of the cluster and of the pair.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::redshift) struct Facts {
    /// The server's name and version, for example `Redshift 1.0.54052`.
    pub server: String,
    /// The secret's database.
    pub database: String,
    /// The admin's user name on the server.
    pub master: String,
    pub admin: AdminRights,
    /// The server's time at the admin's sign-in, as text like `2026-11-29 03:04:05`.
    pub now: String,
    /// What the server refused to show, as text with the reason.
    pub unanswered: Vec<String>,
    pub active: Option<User>,
    pub standby: Option<User>,
    /// The secret's database first.
    pub databases: Vec<DatabaseFacts>,
}

/// Rights of the admin. Those of a superuser are not read, because it may do everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::redshift) struct AdminRights {
    pub superuser: bool,
    /// Its own roles, each with its ADMIN OPTION.
    pub roles: BTreeMap<String, bool>,
    /// System privileges of its roles, and of the roles that these have.
    pub system: BTreeSet<String>,
    /// SYSLOG ACCESS UNRESTRICTED.
    pub syslog: bool,
    /// Own objects and privileges, by database.
    pub databases: BTreeMap<String, UserPrivileges>,
    pub locks: LockRights,
}

/// Rights on the table of locks, in the secret's database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::redshift) struct LockRights {
    /// CREATE on the database.
    pub creates_schemas: bool,
    /// `None`: the schema of the table does not exist.
    pub schema: Option<LockSchemaRights>,
}

/// Rights on the schema `twinkey`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::redshift) struct LockSchemaRights {
    pub usage: bool,
    pub create: bool,
    /// The table may be read and written; `None`: it does not exist.
    pub table: Option<bool>,
}

impl LockRights {
    /// The rights that a run needs and the admin lacks: privileges, and their object.
    pub(in crate::redshift) fn missing(&self, database: &str) -> Vec<(&'static str, String)> {
        let in_database = || ("CREATE", format!("DATABASE {}", ident(database)));
        let in_schema = |privilege| (privilege, "SCHEMA twinkey".to_owned());
        let table = || ("SELECT, INSERT, UPDATE, DELETE", "twinkey.locks".to_owned());
        let schema = self.schema.unwrap_or(LockSchemaRights {
            usage: true,
            create: true,
            table: None,
        });
        let exists = schema.table.is_some();
        [
            (!exists && !self.creates_schemas).then(in_database),
            (!schema.usage).then(|| in_schema("USAGE")),
            (!exists && !schema.create).then(|| in_schema("CREATE")),
            (schema.table == Some(false)).then(table),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl AdminRights {
    pub(in crate::redshift) fn has_system(&self, privilege: &str) -> bool {
        self.superuser || self.system.contains(privilege)
    }

    /// Whether it reads all rows of svv_relation_privileges and of the history of sessions.
    pub(in crate::redshift) fn reads_all_relations(&self) -> bool {
        self.superuser || self.syslog
    }

    /// Whether it reads all rows of the other svv_* views.
    pub(in crate::redshift) fn reads_all_views(&self) -> bool {
        self.has_system("ACCESS SYSTEM TABLE")
    }
}

/// One user, with what all databases share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::redshift) struct User {
    pub id: i64,
    pub createdb: bool,
    pub superuser: bool,
    /// `None`: no expiry.
    pub valid_until: Option<String>,
    /// Login-time settings.
    pub settings: BTreeMap<String, String>,
    /// `None`: not visible to the admin.
    pub limits: Option<Limits>,
    pub groups: BTreeSet<String>,
    /// Role names, each with its ADMIN OPTION.
    pub roles: BTreeMap<String, bool>,
    /// Grants that twinkey cannot copy, as text.
    pub uncopied: BTreeSet<String>,
    /// The stored form of its password; `None` if the admin may not read it.
    pub digest_form: Option<DigestForm>,
}

/// Limits of a user in `svv_user_info`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::redshift) struct Limits {
    /// `None`: unlimited.
    pub connections: Option<i64>,
    /// In seconds; `None`: the cluster's default.
    pub session_timeout: Option<i64>,
    /// SYSLOG ACCESS UNRESTRICTED.
    pub syslog: bool,
}

/// A form in which Redshift stores a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redshift) enum DigestForm {
    Md5,
    Sha256,
}

/// Privileges of the pair in one database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::redshift) struct DatabaseFacts {
    pub name: String,
    pub active: UserPrivileges,
    pub standby: UserPrivileges,
    /// Default privileges that one of the two users owns or receives.
    pub defaults: Vec<DefaultPrivilege>,
    /// Changes of owners that the server refused in this run, with the reasons.
    pub kept: BTreeMap<String, String>,
}

/// Privileges of one user in one database. The secret's database includes those on databases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::redshift) struct UserPrivileges {
    /// Direct grants to the user.
    pub granted: Grants,
    /// Owned objects; the value is true for a view.
    pub owned: BTreeMap<Object, bool>,
    /// Grants that twinkey cannot copy, as text.
    pub uncopied: BTreeSet<String>,
    /// Granted privileges that twinkey does not know, as text.
    pub unknown_privileges: Vec<String>,
}
