//! Facts about the pair in the cluster: read-only, plain data, one query in the rotation's
//! database.
//!
//! # Failure modes
//! - RDS hides a catalogue (`pg_authid`), and the query fails: all facts come from public views,
//!   and the stored form of the password is read only where the master may read it.
//! - Facts of different moments contradict each other: one statement reads one snapshot.
//! - Visits to other databases take long: they happen only if `pg_shdepend` lists grants to the
//!   clone or objects of it there, which is at most once in a pair's life.
//! - REASSIGN OWNED is refused in the middle of a run: what the server would refuse is read first.
//!
//! The result is one JSON document, so that it can lack the columns of newer versions
//! (`inherit_option` and `set_option` came with 16).

use std::collections::BTreeMap;

use serde::Deserialize;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};

use super::connect::Connector;
use crate::{EngineError, timeouts};
use twinkey_core::secret::pair::{Pair, PairMember};

/// Facts that the plan needs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Facts {
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
    pub password_encryption: String,
    /// `rds.restrict_password_commands` is on and the master is not a member of `rds_password`.
    pub password_commands_denied: bool,
    pub sees_sessions: bool,
    pub authid_readable: bool,
    /// Direct memberships of the two users.
    pub memberships: Vec<Membership>,
    /// Login-time settings of the two users.
    pub settings: Vec<Settings>,
    /// Names, in lower case, of settings that the master may not set.
    pub unsettable: Vec<String>,
    /// Databases with objects of the clone, with grants to it or with row policies for it.
    pub databases: Vec<Database>,
    /// Databases in which the clone owns objects, with their number. Shared objects count for
    /// `database`.
    pub owned: Vec<Owned>,
    /// Databases with grants to the clone itself, or row policies for it.
    pub granted_in: Vec<String>,
    /// Set by [`grants`].
    #[serde(default)]
    pub grants: Vec<Grant>,
    /// Set by [`obstacles`].
    #[serde(default)]
    pub obstacles: Vec<Obstacle>,
    /// Set by [`stored_as_md5`]; `None` where the master may not read it.
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
    /// `None`: it does not expire.
    pub valid_until: Option<String>,
    /// `valid_until` has passed.
    pub expired: bool,
}

/// The master's rights on a role.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(super) struct RoleRights {
    /// It may grant the role.
    pub admin: bool,
    /// It has the role's privileges without SET ROLE.
    pub usage: bool,
    /// It may make the role the owner of an object.
    pub set: bool,
    /// An earlier grant of the role by the master to itself.
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
    pub admin: bool,
    /// A membership of the clone that gives it nothing which the base user lacks.
    pub held: bool,
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

/// A database that depends on the clone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Database {
    pub name: String,
    /// `ALLOW_CONNECTIONS`
    pub allows_connections: bool,
    /// The master has CONNECT.
    pub may_connect: bool,
}

/// An object of the clone that cannot be given to the base user yet.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Obstacle {
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
pub(super) struct Grant {
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
}

/// (database, name in lower case)
pub(super) type SettingKey = (Option<String>, String);
pub(super) type SettingValues = BTreeMap<SettingKey, Setting>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// As it is stored: the server compares the names of custom parameters with case.
    pub name: String,
    pub value: String,
}

impl Facts {
    pub(super) const fn role(&self, which: PairMember) -> Option<&Role> {
        match which {
            PairMember::Base => self.base.as_ref(),
            PairMember::Clone => self.clone.as_ref(),
        }
    }

    /// A user's login-time settings.
    pub(super) fn settings_of(&self, user: &str) -> SettingValues {
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

    /// Whether every session of the clone becomes the base user already.
    pub(super) fn becomes_base(&self, pair: &Pair) -> bool {
        self.settings_of(&pair.clone)
            .get(&(None, "role".to_owned()))
            .is_some_and(|setting| setting.value == pair.base)
    }
}

const FACTS: &str = include_str!("facts.sql");
const GRANTS: &str = include_str!("grants.sql");
const OWNED: &str = include_str!("owned.sql");
/// `GRANT SET ON PARAMETER` came with 15.
const MAY_SET: &str = "has_parameter_privilege(s.name, 'SET')";

/// Reads the facts about the pair.
pub(super) async fn facts(
    connection: &mut PgConnection,
    connector: &Connector,
    version: u32,
    pair: &Pair,
) -> Result<Facts, EngineError> {
    let may_set = if version >= 150_000 { MAY_SET } else { "false" };
    let sql = FACTS.replace("{may_set}", may_set).replace(
        "{set_mode}",
        if version >= 160_000 { "SET" } else { "MEMBER" },
    );
    let query = sqlx::query(AssertSqlSafe(sql))
        .bind(&pair.base)
        .bind(&pair.clone)
        .fetch_one(&mut *connection);
    let row = timeouts::statement(query)
        .await
        .and_then(|row| row.try_get::<String, _>(0))
        .map_err(|error| connector.explain("reading the pair's roles", false, error))?;
    let mut facts: Facts = read(&row)?;
    if facts.authid_readable {
        facts.active_is_md5 = stored_as_md5(connection, connector, pair.active_user()).await?;
    }
    for database in facts.databases.clone() {
        if database.allows_connections && database.may_connect {
            visit(connection, connector, pair, &database.name, &mut facts).await?;
        }
    }
    Ok(facts)
}

/// Reads what only a session in `database` can see.
async fn visit(
    own: &mut PgConnection,
    connector: &Connector,
    pair: &Pair,
    database: &str,
    facts: &mut Facts,
) -> Result<(), EngineError> {
    let granted = facts.granted_in.iter().any(|name| name == database);
    let owns = facts.owned.iter().any(|owned| owned.database == database);
    let is_own = database == facts.database;
    let mut other;
    let connection = if is_own {
        own
    } else {
        other = connector.in_database(database).connect().await?;
        &mut other
    };
    if granted {
        let found = grants(connection, connector, pair, is_own).await?;
        facts.grants.extend(found);
    }
    if owns {
        let found = obstacles(connection, connector, pair, is_own, facts.version).await?;
        facts.obstacles.extend(found);
    }
    Ok(())
}

async fn obstacles(
    connection: &mut PgConnection,
    connector: &Connector,
    pair: &Pair,
    shared: bool,
    version: u32,
) -> Result<Vec<Obstacle>, EngineError> {
    let superuser_subscription = if version >= 160_000 {
        "NOT s.subpasswordrequired"
    } else {
        "true"
    };
    let sql = OWNED.replace("{superuser_subscription}", superuser_subscription);
    let query = sqlx::query(AssertSqlSafe(sql))
        .bind(&pair.clone)
        .bind(shared)
        .bind(&pair.base)
        .fetch_one(connection);
    let text = timeouts::statement(query)
        .await
        .and_then(|row| row.try_get::<String, _>(0))
        .map_err(|error| connector.explain("reading the clone's objects", false, error))?;
    read(&text)
}

async fn grants(
    connection: &mut PgConnection,
    connector: &Connector,
    pair: &Pair,
    shared: bool,
) -> Result<Vec<Grant>, EngineError> {
    let query = sqlx::query(GRANTS)
        .bind(&pair.clone)
        .bind(shared)
        .bind(&pair.base)
        .fetch_one(connection);
    let text = timeouts::statement(query)
        .await
        .and_then(|row| row.try_get::<String, _>(0))
        .map_err(|error| connector.explain("reading the grants to the clone", false, error))?;
    read(&text)
}

async fn stored_as_md5(
    connection: &mut PgConnection,
    connector: &Connector,
    user: &str,
) -> Result<Option<bool>, EngineError> {
    let query =
        sqlx::query("SELECT rolpassword LIKE 'md5%' FROM pg_catalog.pg_authid WHERE rolname = $1")
            .bind(user)
            .fetch_optional(connection);
    timeouts::statement(query)
        .await
        .and_then(|row| row.map_or(Ok(None), |row| row.try_get(0)))
        .map_err(|error| connector.explain("reading the stored form of the password", false, error))
}

fn read<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, EngineError> {
    serde_json::from_str(json).map_err(|error| EngineError::Refused {
        what: "reading the catalogue".into(),
        reason: format!("the server's answer cannot be parsed: {error}"),
        hint: "check the server's version: it may be a fork of PostgreSQL, or not supported".into(),
    })
}
