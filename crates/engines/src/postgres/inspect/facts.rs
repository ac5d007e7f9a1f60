//! The facts about a pair: plain data.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::roles::{Cycle, RoleChoice};
use twinkey_core::secret::pair::PairMember;

/// Facts that the plan needs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(in super::super) struct Facts {
    /// `160004`
    pub version: u32,
    /// `16.4`
    pub version_text: String,
    /// Database of the admin connection.
    pub database: String,
    pub master: Role,
    /// Rights of the master on the two users (`has_privs_of_role` and similar functions).
    pub over_base: RoleRights,
    pub over_clone: RoleRights,
    pub base: Option<Role>,
    pub clone: Option<Role>,
    /// The base user has CONNECT on `database`. The server checks it before a session takes its role.
    pub base_connects: bool,
    /// The server is a reader.
    pub in_recovery: bool,
    /// Memberships in the clone that the base user has, directly or through the member.
    pub in_clone: Vec<InClone>,
    /// Other roles that have privileges of the clone as its direct members, without the master and
    /// superusers.
    pub members_of_clone: Vec<MemberOfClone>,
    pub password_encryption: String,
    /// `rds.restrict_password_commands` is on and the master is not a member of `rds_password`.
    pub password_commands_denied: bool,
    pub sees_sessions: bool,
    pub authid_readable: bool,
    /// Direct memberships of the two users.
    pub memberships: Vec<Membership>,
    /// Login-time settings of the two users.
    pub settings: Vec<Settings>,
    /// Roles that settings choose for sessions of the pair.
    pub role_choices: Vec<RoleChoice>,
    /// Roles of the active clone that cannot be granted to the base user or to the role of its sessions.
    pub cycles: Vec<Cycle>,
    /// Names, in lower case, of settings that the master may not set.
    pub unsettable: Vec<String>,
    /// Databases with objects of the clone, with grants to it or with row policies for it.
    pub databases: Vec<Database>,
    /// Databases in which the clone owns objects, with their number. Shared objects count for
    /// `database`.
    pub owned: Vec<Owned>,
    /// Databases with grants to the clone itself, or row policies for it.
    pub granted_in: Vec<String>,
    /// Set by `super::visit`.
    #[serde(default)]
    pub grants: Vec<Grant>,
    /// Set by `super::visit`.
    #[serde(default)]
    pub obstacles: Vec<Obstacle>,
    /// Set by `super::through_roles`.
    #[serde(default)]
    pub through: Vec<Through>,
    /// Set by `super::stored_as_md5`; `None` where the master may not read it.
    #[serde(default)]
    pub active_is_md5: Option<bool>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(in super::super) struct Role {
    pub name: String,
    pub superuser: bool,
    pub inherit: bool,
    pub createrole: bool,
    pub createdb: bool,
    pub login: bool,
    pub replication: bool,
    pub bypassrls: bool,
    pub connection_limit: i32,
    /// `None`: it does not expire.
    pub valid_until: Option<String>,
    /// `valid_until` has passed.
    pub expired: bool,
}

/// The master's rights on a role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(in super::super) struct RoleRights {
    /// It has ADMIN OPTION, by any membership: it may alter the role.
    pub admin: bool,
    /// It has ADMIN OPTION itself, or inherits a role with it: it may grant the role.
    pub grants: bool,
    /// It has the role's privileges without SET ROLE.
    pub usage: bool,
    /// It may make the role the owner of an object.
    pub set: bool,
    /// The role by which the master may grant it, without an ADMIN OPTION of its own.
    pub grantor: Option<String>,
    /// An earlier grant of the role to the master, by the master or by `grantor`.
    pub own_grant: Option<OwnGrant>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(in super::super) struct OwnGrant {
    pub inherit: bool,
    pub set: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(in super::super) struct Membership {
    pub role: String,
    pub member: String,
    pub grantor: String,
    /// `None` before 16, where the member's INHERIT decides.
    pub inherit: Option<bool>,
    pub set: Option<bool>,
    pub admin: bool,
    /// A membership of the clone that gives it nothing which the base user lacks.
    pub held: bool,
    /// The member granted the role to others, and the server stores it (16 and later).
    pub handed_on: bool,
    /// The master may revoke it.
    pub revocable: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(in super::super) struct InClone {
    pub member: String,
    pub grantor: String,
    /// The member granted the clone to others, and the server stores it (16 and later).
    pub handed_on: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(in super::super) struct MemberOfClone {
    pub member: String,
    pub grantor: String,
    /// The member may take the clone's role, with its attributes.
    pub sets: bool,
    /// What a membership of the clone in the base user would give the member, it has.
    pub has_base: bool,
    /// As in [`InClone`].
    pub handed_on: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(in super::super) struct Settings {
    pub role: String,
    /// `None`: in all databases.
    pub database: Option<String>,
    /// `name=value`
    pub values: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(in super::super) struct Owned {
    pub database: String,
    pub count: i64,
}

/// A database that depends on the clone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(in super::super) struct Database {
    pub name: String,
    /// `ALLOW_CONNECTIONS`
    pub allows_connections: bool,
    /// The master has CONNECT.
    pub may_connect: bool,
}

/// What the active clone has by a role, in databases where sessions of the base user lack it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(in super::super) struct Through {
    /// The base user, whose sessions have another role, a role of [`Cycle::reaches`], or the clone.
    pub role: String,
    pub grants: Vec<Grant>,
    pub owned: Vec<Owned>,
    /// Objects that only a superuser may own.
    pub obstacles: Vec<Obstacle>,
    /// What it has on objects that all databases share, and sessions in other databases lack.
    pub shared: Vec<Shared>,
}

/// A privilege on an object that all databases share, or such an object.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(in super::super) struct Shared {
    /// For messages.
    pub what: String,
    /// The role of the sessions that lack it.
    pub works_as: String,
    /// Gives it to this role.
    pub statement: String,
    /// The role that has it loses it by the statement, unless it inherits [`Self::works_as`].
    pub moves: bool,
}

impl Through {
    /// Nothing.
    pub(super) fn of(role: &str) -> Self {
        Self {
            role: role.to_owned(),
            grants: Vec::new(),
            owned: Vec::new(),
            obstacles: Vec::new(),
            shared: Vec::new(),
        }
    }
}

/// A database that depends on a role.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct OfRole {
    #[serde(flatten)]
    pub database: Database,
    pub granted: bool,
    pub owned: i64,
}

/// An object of the clone that cannot be given to the base user yet.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(in super::super) struct Obstacle {
    pub database: String,
    /// For messages, for example `function f()`.
    pub object: String,
    /// What the base user lacks; `None`: only a superuser may own the object.
    pub lacks: Option<String>,
    /// The statement that removes the obstacle.
    pub fix: String,
}

/// A grant to the clone itself, or a row policy for it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(in super::super) struct Grant {
    pub database: String,
    /// For `REVOKE … ON`, for example `TABLE public.t`; `None` for kinds that are not revoked.
    pub object: Option<String>,
    /// For messages.
    pub description: String,
    pub owner: Option<String>,
    /// The owner granted all these privileges.
    pub by_owner: bool,
    /// The master has the owner's privileges.
    pub as_owner: bool,
    /// Sessions of the base user have it too: by a grant, a membership, as the owner or as PUBLIC.
    pub held: bool,
    /// Gives the base user what it lacks; `None` for kinds that have no such statement.
    pub missing: Option<String>,
    /// Gives the base user CONNECT on another database: the server checks it before a session takes
    /// its role.
    pub missing_at_login: Option<String>,
    /// The clone granted it to others.
    pub handed_on: bool,
    /// During the changes, the master has the privileges of another role with the grant option.
    pub other_grantor: bool,
    /// The master may take the owner's role.
    pub sets_owner: bool,
    /// Not a grant to the clone: its user mapping, or default privileges for objects that it creates.
    pub personal: bool,
}

/// (database, name in lower case)
pub(in super::super) type SettingKey = (Option<String>, String);
pub(in super::super) type SettingValues = BTreeMap<SettingKey, Setting>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Setting {
    /// As it is stored: the server compares the names of custom parameters with case.
    pub name: String,
    pub value: String,
}

impl Facts {
    pub(in super::super) const fn role(&self, which: PairMember) -> Option<&Role> {
        match which {
            PairMember::Base => self.base.as_ref(),
            PairMember::Clone => self.clone.as_ref(),
        }
    }

    /// A user's login-time settings.
    pub(in super::super) fn settings_of(&self, user: &str) -> SettingValues {
        self.settings
            .iter()
            .filter(|settings| settings.role == user)
            .flat_map(|settings| {
                settings.values.iter().filter_map(|pair| {
                    let (name, value) = pair.split_once('=')?;
                    let key = (settings.database.clone(), name.to_ascii_lowercase());
                    let setting = Setting {
                        name: name.to_owned(),
                        value: value.to_owned(),
                    };
                    Some((key, setting))
                })
            })
            .collect()
    }
}
