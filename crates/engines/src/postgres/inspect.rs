//! What is so in the cluster now: read-only, plain data, one query in the rotation's own database.
//!
//! What can go wrong, and what prevents it:
//! - a catalogue that RDS hides (`pg_authid`) fails the whole: everything comes from public views,
//!   and the stored form of the password is asked for only where it may be read;
//! - facts from different moments contradict each other: one statement, one snapshot;
//! - latency: other databases are visited only if `pg_shdepend` says that grants to the clone are
//!   there, which is so once in a pair's life if at all.
//!
//! The answer is one JSON document, so that a version's columns (`inherit_option` and `set_option`
//! came with 16) may be missing from it.

use std::collections::BTreeMap;

use serde::Deserialize;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};

use super::connect::Peer;
use crate::EngineError;
use crate::proof::answer;
use twinkey_core::secret::pair::{Pair, Which};

/// The cluster as the plan needs it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Facts {
    /// `160004`
    pub version: u32,
    /// `16.4`
    pub version_text: String,
    /// The database that the admin connection is in.
    pub database: String,
    pub master: Role,
    /// `has_privs_of_role` and the like, of the master over the two users.
    pub over_base: Power,
    pub over_clone: Power,
    pub base: Option<Role>,
    pub clone: Option<Role>,
    pub password_encryption: String,
    /// `rds.restrict_password_commands` is on and the master is not a member of `rds_password`.
    pub password_commands_denied: bool,
    pub sees_sessions: bool,
    pub authid_readable: bool,
    /// Direct memberships of the two users.
    pub memberships: Vec<Membership>,
    /// Login-time settings of the two users.
    pub settings: Vec<Settings>,
    /// Of the settings' names, those that the master may not set.
    pub unsettable: Vec<String>,
    /// Databases in which the clone owns objects, and how many. Shared objects count for
    /// `database`.
    pub owned: Vec<Owned>,
    /// Databases in which something was granted to the clone itself.
    pub granted_in: Vec<String>,
    /// Filled by [`grants`].
    #[serde(default)]
    pub grants: Vec<Grant>,
    /// Filled by [`stored_as_md5`]; `None` where it may not be read.
    #[serde(default)]
    pub active_is_md5: Option<bool>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Role {
    pub name: String,
    pub superuser: bool,
    pub inherit: bool,
    pub createrole: bool,
    pub createdb: bool,
    pub login: bool,
    pub replication: bool,
    pub bypassrls: bool,
    pub connection_limit: i32,
    /// `None`: for ever.
    pub valid_until: Option<String>,
}

/// What the master may do with a role.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Power {
    /// It may grant the role.
    pub admin: bool,
    /// It has the role's privileges without SET ROLE.
    pub usage: bool,
    /// It may make the role an owner.
    pub set: bool,
    /// The master granted the role to itself before, with whichever options.
    pub own_grant: Option<OwnGrant>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(super) struct OwnGrant {
    pub inherit: bool,
    pub set: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Membership {
    pub role: String,
    pub member: String,
    pub grantor: String,
    /// `None` before 16, where the member's INHERIT decides.
    pub inherit: Option<bool>,
    pub set: Option<bool>,
    /// The master may revoke it.
    pub revocable: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Settings {
    pub role: String,
    /// `None`: in all databases.
    pub database: Option<String>,
    /// `name=value`
    pub values: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Owned {
    pub database: String,
    pub count: i64,
}

/// Something granted to the clone itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Grant {
    pub database: String,
    /// As `REVOKE … ON` takes it, for example `TABLE public.t`; `None`: of a kind that is not handled.
    pub object: Option<String>,
    /// For people.
    pub description: String,
    pub owner: Option<String>,
    /// All grantors of these privileges are the owner.
    pub by_owner: bool,
    /// The master has the owner's privileges.
    pub as_owner: bool,
}

/// (database, name in lower case) -> value
pub(super) type Values = BTreeMap<(Option<String>, String), String>;

impl Facts {
    pub(super) const fn role(&self, which: Which) -> Option<&Role> {
        match which {
            Which::Base => self.base.as_ref(),
            Which::Clone => self.clone.as_ref(),
        }
    }

    /// A user's login-time settings.
    pub(super) fn settings_of(&self, user: &str) -> Values {
        self.settings
            .iter()
            .filter(|settings| settings.role == user)
            .flat_map(|settings| {
                settings.values.iter().filter_map(|pair| {
                    let (name, value) = pair.split_once('=')?;
                    let key = (settings.database.clone(), name.to_ascii_lowercase());
                    Some((key, value.to_owned()))
                })
            })
            .collect()
    }

    /// Every session of the clone becomes the base user already.
    pub(super) fn becomes_base(&self, pair: &Pair) -> bool {
        self.settings_of(&pair.clone)
            .get(&(None, "role".to_owned()))
            == Some(&pair.base)
    }
}

const FACTS: &str = include_str!("facts.sql");
const GRANTS: &str = include_str!("grants.sql");
/// `GRANT SET ON PARAMETER` came with 15.
const MAY_SET: &str = "has_parameter_privilege(s.name, 'SET')";

/// Reads everything about the pair.
pub(super) async fn facts(
    connection: &mut PgConnection,
    peer: &Peer,
    version: u32,
    pair: &Pair,
) -> Result<Facts, EngineError> {
    let may_set = if version >= 150_000 { MAY_SET } else { "false" };
    let sql = FACTS.replace("{may_set}", may_set).replace(
        "{set_mode}",
        if version >= 160_000 { "SET" } else { "MEMBER" },
    );
    let asked = sqlx::query(AssertSqlSafe(sql))
        .bind(&pair.base)
        .bind(&pair.clone)
        .fetch_one(&mut *connection);
    let row = answer(asked)
        .await
        .and_then(|row| row.try_get::<String, _>(0))
        .map_err(|error| peer.explain("reading the pair's roles", false, error))?;
    let mut facts: Facts = read(&row)?;
    if facts.authid_readable {
        facts.active_is_md5 = stored_as_md5(connection, peer, pair.active_user()).await?;
    }
    for database in facts.granted_in.clone() {
        let found = if database == facts.database {
            grants(connection, peer, &pair.clone, true).await?
        } else {
            let mut other = peer.in_database(&database).connect().await?;
            grants(&mut other, peer, &pair.clone, false).await?
        };
        facts.grants.extend(found);
    }
    Ok(facts)
}

async fn grants(
    connection: &mut PgConnection,
    peer: &Peer,
    clone: &str,
    shared: bool,
) -> Result<Vec<Grant>, EngineError> {
    let asked = sqlx::query(GRANTS)
        .bind(clone)
        .bind(shared)
        .fetch_one(connection);
    let text = answer(asked)
        .await
        .and_then(|row| row.try_get::<String, _>(0))
        .map_err(|error| peer.explain("reading the grants to the clone", false, error))?;
    read(&text)
}

async fn stored_as_md5(
    connection: &mut PgConnection,
    peer: &Peer,
    user: &str,
) -> Result<Option<bool>, EngineError> {
    let asked =
        sqlx::query("SELECT rolpassword LIKE 'md5%' FROM pg_catalog.pg_authid WHERE rolname = $1")
            .bind(user)
            .fetch_optional(connection);
    answer(asked)
        .await
        .and_then(|row| row.map_or(Ok(None), |row| row.try_get(0)))
        .map_err(|error| peer.explain("reading the stored form of the password", false, error))
}

fn read<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, EngineError> {
    serde_json::from_str(json).map_err(|error| EngineError::Refused {
        what: "reading the catalogue".into(),
        reason: format!("the server's answer is not understood: {error}"),
        hint: "this server may be a fork of PostgreSQL, or a version that is not supported".into(),
    })
}
