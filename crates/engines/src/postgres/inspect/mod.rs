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

mod facts;
mod roles;

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sqlx::postgres::{PgArguments, PgConnection, Postgres};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Row};

use super::connect::Connector;
use super::quote::{ident, list_elements};
use crate::{EngineError, timeouts};
use twinkey_core::secret::pair::{Pair, PairMember};

pub(super) use self::facts::*;
#[cfg(test)]
pub(super) use self::roles::Reached;
pub(super) use self::roles::{Cycle, RoleChoice};

const FACTS: &str = include_str!("facts.sql");
const GRANTS: &str = include_str!("grants.sql");
const OF_ROLE: &str = include_str!("of_role.sql");
const OWNED: &str = include_str!("owned.sql");
/// Objects of a role ($1) that all databases share.
const SHARED_OWNED: &str = "SELECT coalesce(json_agg(o ORDER BY o), '[]')::text \
    FROM (SELECT 'TABLESPACE ' || quote_ident(spcname), spcowner FROM pg_catalog.pg_tablespace \
        UNION ALL SELECT 'DATABASE ' || quote_ident(datname), datdba FROM pg_catalog.pg_database) \
        s(o, owner) \
    WHERE owner = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = $1::text)";
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
    if pair.active == PairMember::Clone && !facts.works_as_base(pair) {
        through_roles(connection, connector, pair, &mut facts).await?;
    }
    Ok(facts)
}

/// Reads what a clone without the role setting has by roles that sessions of the base user do not have:
/// by the base user, where its sessions have another role, and by roles that cannot be granted to them.
/// The queries about the clone itself compare it with sessions of one database: this reads what sessions
/// in others lack of it.
async fn through_roles(
    own: &mut PgConnection,
    connector: &Connector,
    pair: &Pair,
    facts: &mut Facts,
) -> Result<(), EngineError> {
    let mut roles = BTreeSet::new();
    if !facts.other_roles(pair).is_empty() {
        roles.insert(pair.base.clone());
    }
    let reached = facts.cycles.iter().flat_map(|cycle| &cycle.reaches);
    roles.extend(reached.filter(|r| r.is_member).map(|r| r.role.clone()));
    roles.insert(pair.clone.clone());
    for role in roles {
        let mut through = through_role(own, connector, pair, &role, facts).await?;
        through.shared = shared(own, connector, pair, &role, facts).await?;
        if through != Through::of(&role) {
            facts.through.push(through);
        }
    }
    Ok(())
}

async fn through_role(
    own: &mut PgConnection,
    connector: &Connector,
    pair: &Pair,
    role: &str,
    facts: &mut Facts,
) -> Result<Through, EngineError> {
    let mut through = Through::of(role);
    let what = "reading what a role of the clone has";
    let query = sqlx::query(AssertSqlSafe(OF_ROLE)).bind(role);
    for OfRole {
        database,
        granted,
        owned: count,
    } in rows(own, connector, what, query).await?
    {
        let name = &database.name;
        if !facts.is_lost(pair, role, name) || !database.allows_connections {
            continue;
        }
        if !database.may_connect {
            if facts.databases.iter().all(|known| known.name != *name) {
                facts.databases.push(database);
            }
            continue;
        }
        let mut other;
        let connection = if *name == facts.database {
            &mut *own
        } else {
            other = connector.in_database(name).connect().await?;
            &mut other
        };
        if granted {
            let query = about(GRANTS.to_owned(), role, pair, facts, name)
                .bind(&pair.base)
                .bind(&pair.clone);
            let mut found: Vec<Grant> = rows(connection, connector, what, query).await?;
            found.retain(|grant| !grant.held && !grant.personal);
            through.grants.extend(found);
        }
        if count > 0 {
            let query = about(owned_query(facts.version), role, pair, facts, name);
            let mut found: Vec<Obstacle> = rows(connection, connector, what, query).await?;
            found.retain(|obstacle| obstacle.lacks.is_none());
            through.obstacles.extend(found);
            let database = database.name;
            through.owned.push(Owned { database, count });
        }
    }
    Ok(through)
}

/// Reads what `role` has on objects that all databases share, and the base user's sessions in other
/// databases lack.
async fn shared(
    own: &mut PgConnection,
    connector: &Connector,
    pair: &Pair,
    role: &str,
    facts: &Facts,
) -> Result<Vec<Shared>, EngineError> {
    let what = "reading what all databases share";
    let mut all = Vec::new();
    for works_as in facts.lacking_elsewhere(pair, role) {
        let query = sqlx::query(AssertSqlSafe(GRANTS))
            .bind(role)
            .bind(true)
            .bind(&works_as)
            .bind(&pair.base)
            .bind(&pair.clone);
        let found: Vec<Grant> = rows(own, connector, what, query).await?;
        all.extend(found.into_iter().filter_map(|grant| {
            let counts = is_shared(grant.object.as_deref()?, pair, facts, &works_as);
            (counts && !grant.held && !grant.personal).then_some(Shared {
                what: grant.description,
                works_as: works_as.clone(),
                statement: grant.missing?,
                moves: false,
            })
        }));
        let query = sqlx::query(SHARED_OWNED).bind(role);
        let owned: Vec<String> = rows(own, connector, what, query).await?;
        let counts = |object: &String| is_shared(object, pair, facts, &works_as);
        all.extend(owned.into_iter().filter(counts).map(|object| Shared {
            statement: format!("ALTER {object} OWNER TO {}", ident(&works_as)),
            what: format!("the ownership of {object}"),
            works_as: works_as.clone(),
            moves: true,
        }));
    }
    Ok(all)
}

/// Whether sessions with the role `works_as` use privileges on an object. Those on a database count in
/// its own sessions.
fn is_shared(object: &str, pair: &Pair, facts: &Facts, works_as: &str) -> bool {
    if let Some(database) = object.strip_prefix("DATABASE ") {
        let names = list_elements(database);
        let mut roles = names
            .iter()
            .map(|name| facts.session_role(pair, Some(name)));
        return roles.any(|role| role == works_as);
    }
    object.starts_with("PARAMETER ") || object.starts_with("TABLESPACE ")
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
    let mut other;
    let connection = if database == facts.database {
        own
    } else {
        other = connector.in_database(database).connect().await?;
        &mut other
    };
    if granted {
        let query = about(GRANTS.to_owned(), &pair.clone, pair, facts, database)
            .bind(&pair.base)
            .bind(&pair.clone);
        let found = rows(
            connection,
            connector,
            "reading the grants to the clone",
            query,
        )
        .await?;
        facts.grants.extend::<Vec<Grant>>(found);
    }
    if owns {
        let sql = owned_query(facts.version);
        let query = about(sql, &pair.clone, pair, facts, database);
        let found = rows(connection, connector, "reading the clone's objects", query).await?;
        facts.obstacles.extend::<Vec<Obstacle>>(found);
    }
    Ok(())
}

/// What the base user needs to own the clone's objects, in this database.
fn owned_query(version: u32) -> String {
    let superuser_subscription = if version >= 160_000 {
        "NOT s.subpasswordrequired"
    } else {
        "true"
    };
    OWNED.replace("{superuser_subscription}", superuser_subscription)
}

/// A query about a user in a database, with its first three parameters: [`GRANTS`] or
/// [`owned_query`].
fn about<'a>(
    sql: String,
    user: &'a str,
    pair: &'a Pair,
    facts: &'a Facts,
    database: &str,
) -> Query<'a, Postgres, PgArguments> {
    sqlx::query(AssertSqlSafe(sql))
        .bind(user)
        .bind(database == facts.database)
        .bind(facts.session_role(pair, Some(database)).to_owned())
}

async fn rows<T: DeserializeOwned>(
    connection: &mut PgConnection,
    connector: &Connector,
    what: &str,
    query: Query<'_, Postgres, PgArguments>,
) -> Result<Vec<T>, EngineError> {
    let text = timeouts::statement(query.fetch_one(connection))
        .await
        .and_then(|row| row.try_get::<String, _>(0))
        .map_err(|error| connector.explain(what, false, error))?;
    read(&text)
}

pub(super) async fn stored_as_md5(
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

pub(super) fn read<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, EngineError> {
    serde_json::from_str(json).map_err(|error| EngineError::Refused {
        what: "reading the catalogue".into(),
        reason: format!("the server's answer cannot be parsed: {error}"),
        hint: "check the server's version: it may be a fork of PostgreSQL, or not supported".into(),
    })
}
