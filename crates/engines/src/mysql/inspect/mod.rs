//! Facts about the pair on the server: read-only, plain data.
//!
//! # Failure modes
//! - The master may not read the accounts, and a query fails half-way: the master's privileges are
//!   checked first, and without them nothing else is read (`preflight.rs` names the missing grant).
//! - An object is missing or invalid, and a grant on it is lost (`objects.rs`): where the two users
//!   differ on an object, three queries for its schema list what exists.
//! - Reading DEFINER clauses takes as long as there are views and routines: they are read only for
//!   a thorough inspection, or before an account is dropped.

pub(super) mod account;
pub(super) mod facts;
pub(super) mod queries;

use std::collections::BTreeSet;

use sqlx::mysql::MySqlConnection;

use self::facts::{Facts, Master};
use self::queries::Queries;
use super::connect::Connector;
use super::dialect::Dialect;
use super::grants::{Grants, Object};
use crate::{EngineError, InspectRequest};

/// Reads the facts about the pair.
pub(super) async fn facts(
    connection: &mut MySqlConnection,
    connector: &Connector,
    dialect: &Dialect,
    master: &Master,
    listed: Option<&[String]>,
    request: &InspectRequest<'_>,
) -> Result<Facts, EngineError> {
    let pair = request.pair;
    let listed_hosts = listed.map(<[String]>::to_vec);
    let mut facts = Facts::unread(dialect.clone(), master.clone(), listed_hosts);
    if !facts.readable {
        return Ok(facts);
    }
    let mut queries = Queries {
        connection,
        connector,
    };
    (facts.active, facts.active_hosts) = queries.users(dialect, pair.active_user(), listed).await?;
    (facts.standby, facts.standby_hosts) =
        queries.users(dialect, pair.standby_user(), listed).await?;
    facts.read_only = queries.read_only(dialect, master).await?;
    if dialect.is_mariadb() {
        facts.hashes_refused = queries.hashes_refused().await?;
    } else if let Some(thousands) = queries.digest_thousands().await? {
        facts.digest_thousands = thousands;
    }
    let plugins = facts.active.iter().map(|user| &user.definition.plugin);
    let optional: BTreeSet<&String> = plugins.filter(|name| is_optional(dialect, name)).collect();
    for plugin in optional {
        if !queries.is_loaded(plugin).await? {
            facts.unloaded.insert(plugin.clone());
        }
    }
    for schema in schemas_to_read(&facts) {
        queries.schema(&schema, &mut facts.existing).await?;
    }
    if request.thorough || facts.surplus().next().is_some() {
        facts.definers = queries
            .definers(pair.active_user(), pair.standby_user())
            .await?;
    }
    Ok(facts)
}

/// Whether the server may run without this method to sign in. MySQL has mysql_native_password
/// disabled from 8.4 on, and no longer from 9.0 on.
fn is_optional(dialect: &Dialect, plugin: &str) -> bool {
    let built_in = if dialect.is_mariadb() {
        "mysql_native_password"
    } else {
        "caching_sha2_password"
    };
    !plugin.is_empty() && plugin != built_in
}

/// Schemas of the tables and routines on which the two users differ.
fn schemas_to_read(facts: &Facts) -> BTreeSet<String> {
    let nothing = Grants::default();
    let mut schemas = BTreeSet::new();
    for active in &facts.active {
        let standby = facts.standby_at(active.account.host.as_ref());
        let has = standby.map_or(&nothing, |user| &user.grants);
        let objects = active.grants.on.keys().chain(has.on.keys());
        let differ = objects.filter(|object| active.grants.on.get(object) != has.on.get(object));
        schemas.extend(differ.filter_map(|object| match object {
            Object::Table { schema, .. } | Object::Routine { schema, .. } => Some(schema.clone()),
            Object::Global | Object::Schema(_) => None,
        }));
    }
    schemas
}
