//! The cluster as the plan needs it: plain data.

use std::collections::{BTreeMap, BTreeSet};

use super::defaults::DefaultPrivilege;
use super::grants::{Grants, Object};

/// What is so now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// For messages, for example `Redshift 1.0.54052`.
    pub server: String,
    /// The secret's database.
    pub database: String,
    /// As the server calls the admin.
    pub master: String,
    pub superuser: bool,
    /// Whether the admin has a role, which may give it what a superuser has.
    pub has_roles: bool,
    /// Whether the admin sees all rows of svv_* views.
    pub sees_all: bool,
    pub active: Option<User>,
    pub standby: Option<User>,
    /// The secret's database first.
    pub places: Vec<Place>,
}

/// One user, as it is in all databases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct User {
    pub id: i64,
    pub createdb: bool,
    pub superuser: bool,
    /// `None`: for ever.
    pub valid_until: Option<String>,
    /// Login-time settings.
    pub settings: BTreeMap<String, String>,
    /// `None`: the admin may not see it.
    pub limits: Option<Limits>,
    pub groups: BTreeSet<String>,
    /// With ADMIN OPTION or without.
    pub roles: BTreeMap<String, bool>,
    /// What it has that no statement of ours copies, as text.
    pub beyond: BTreeSet<String>,
    /// In which form its password is stored, where that may be read.
    pub form: Option<Form>,
}

/// Only in `svv_user_info`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Limits {
    /// `None`: unlimited.
    pub connections: Option<i64>,
    /// In seconds; `None`: the cluster's.
    pub session_timeout: Option<i64>,
    /// SYSLOG ACCESS UNRESTRICTED.
    pub syslog: bool,
}

/// A stored form of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Md5,
    Sha256,
}

/// One database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub database: String,
    pub active: Rights,
    pub standby: Rights,
    /// Default privileges of, or for, one of the two.
    pub defaults: Vec<DefaultPrivilege>,
}

/// What a user has in one database; on what all databases share, in the secret's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rights {
    /// To the user itself.
    pub granted: Grants,
    /// Whether it is a view.
    pub owned: BTreeMap<Object, bool>,
    /// What it has that no statement of ours copies, as text.
    pub beyond: BTreeSet<String>,
    /// Privileges that are granted and not known here.
    pub unknown: Vec<String>,
}
