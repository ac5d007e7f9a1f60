//! Facts about the pair on the server: read-only, plain data.
//!
//! # Failure modes
//! - The master may not read the accounts, and a query fails half-way: the master's privileges are
//!   checked first, and without them nothing else is read (`preflight.rs` names the missing grant).
//! - An object is missing or invalid, and a grant on it is lost (`objects.rs`): where the two users
//!   differ on an object, three queries for its schema list what exists.
//! - A view counts as broken because the master sees none of its columns: one more query for each
//!   such view reads whether it selects from missing objects.
//! - The server refuses a grant on the columns of a view in the middle of a run: CHECK TABLE opens
//!   the view as that grant does, with the privileges of its DEFINER or of the master.
//! - Reading DEFINER clauses takes as long as there are views and routines: they are read only for
//!   a thorough inspection, or before an account is dropped.

pub(super) mod account;
pub(super) mod facts;
mod objects;
pub(super) mod queries;

use std::collections::BTreeSet;

use sqlx::mysql::MySqlConnection;

use self::facts::{ExistingObjects, Facts, Master};
use self::queries::Queries;
use super::connect::Connector;
use super::dialect::Dialect;
use super::grants::Object;
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
    facts.password_ages = queries.password_ages().await?;
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
    facts.existing = existing(&mut queries, &facts).await?;
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

/// Reads the tables and routines in the schemas of those on which the two users differ, and the
/// state of these views.
async fn existing(
    queries: &mut Queries<'_>,
    facts: &Facts,
) -> Result<ExistingObjects, EngineError> {
    let mut existing = ExistingObjects::default();
    let differing = facts.differing();
    let schemas: BTreeSet<&String> = differing.iter().filter_map(|o| o.schema()).collect();
    for schema in schemas {
        queries.schema(schema, &mut existing).await?;
    }
    for object in differing {
        let Object::Table {
            schema,
            table: name,
        } = object
        else {
            continue;
        };
        let key = (schema.clone(), name.clone());
        let Some(view) = existing.tables.get_mut(&key).filter(|table| table.is_view) else {
            continue;
        };
        view.is_broken = view.columns.is_empty() && queries.is_broken(schema, name).await?;
        view.refuses_columns =
            facts.grants_columns(object) && queries.refuses_columns(object).await?;
    }
    Ok(existing)
}
