//! Read-only inspection of the cluster.
//!
//! # Failure modes
//! - Facts from different moments contradict each other. The catalog has no snapshot, not even in a
//!   transaction. A run compares the pair again after its changes.
//! - An inspection takes more calls than there is time for. Each database takes one batch, and empty
//!   results are not fetched.
//! - The server refuses one query, and the whole batch fails. Queries that the manual does not
//!   promise to every admin then run one by one. A refusal is reported, and the rest is compared.

mod reads;
mod shown_grants;

pub(super) use self::shown_grants::{explain_what_stayed, granted_by_others};

use std::collections::BTreeSet;

use super::RedshiftAdmin;
use super::api::{Row, Table, UnexpectedColumn};
use super::catalog::facts::{AdminRights, Facts, LockRights, LockSchemaRights};
use super::catalog::queries::{self, Optional, OptionalQuery};
use super::catalog::{cluster, database};
use crate::EngineError;
use twinkey_core::secret::pair::{Pair, PairMember};

/// Reads the admin's own user name, its rights and the server's version.
pub(super) async fn identify_admin(admin: &mut RedshiftAdmin) -> Result<(), EngineError> {
    let results = admin.read(&queries::admin_queries()).await?;
    let Some(row) = results[0].first() else {
        return Err(EngineError::Refused {
            what: "reading the user name of the admin".into(),
            reason: "pg_user contains no such user".into(),
            hint: "map the worker's IAM identity to a database user, or give a master secret"
                .into(),
        });
    };
    let read =
        || -> Result<_, UnexpectedColumn> { Ok((row.text(0)?, row.boolean(1)?, row.text(2)?)) };
    let (user, superuser, version) = read()?;
    let syslog = results[1].first().and_then(|row| row.text(0).ok());
    let mut rights = AdminRights {
        superuser,
        syslog: syslog.is_some_and(|text| text.trim() == "UNRESTRICTED"),
        ..AdminRights::default()
    };
    for row in &results[2] {
        rights.roles.insert(row.text(0)?, row.boolean(1)?);
    }
    if !superuser {
        read_roles(admin, &mut rights).await?;
    }
    (admin.user, admin.rights) = (user, rights);
    admin.server = server_name(&version);
    if let Some(row) = results[3].first() {
        admin.now = row.text(0)?;
    }
    Ok(())
}

/// Reads the system privileges of the admin's roles, and of the roles that these have, and its rights
/// on the table of locks.
async fn read_roles(admin: &RedshiftAdmin, rights: &mut AdminRights) -> Result<(), EngineError> {
    let results = admin.read(&queries::role_queries()).await?;
    let mut roles: BTreeSet<String> = rights.roles.keys().cloned().collect();
    loop {
        let before = roles.len();
        for row in &results[0] {
            if roles.contains(&row.text(0)?) {
                roles.insert(row.text(1)?);
            }
        }
        if roles.len() == before {
            break;
        }
    }
    for row in &results[1] {
        if roles.contains(&row.text(0)?) {
            let privilege = row.text(1)?.trim().to_ascii_uppercase();
            rights.system.insert(privilege);
        }
    }
    if let Some(row) = results[2].first() {
        rights.locks = lock_rights(row)?;
    }
    Ok(())
}

fn lock_rights(row: &Row) -> Result<LockRights, UnexpectedColumn> {
    let table = row.boolean(4)?.then(|| row.boolean(5)).transpose()?;
    let schema = LockSchemaRights {
        usage: row.boolean(2)?,
        create: row.boolean(3)?,
        table,
    };
    Ok(LockRights {
        creates_schemas: row.boolean(0)?,
        schema: row.boolean(1)?.then_some(schema),
    })
}

/// `Redshift 1.0.54052` of `PostgreSQL 8.0.2 on …, Redshift 1.0.54052`.
fn server_name(version: &str) -> String {
    let at = version.find("Redshift ").unwrap_or(0);
    let rest = &version[at..];
    let words: Vec<&str> = rest.split_whitespace().take(2).collect();
    words.join(" ").trim_end_matches(',').to_owned()
}

/// All facts that the plan needs. A thorough inspection also looks for what the views do not show.
pub(super) async fn facts(
    admin: &RedshiftAdmin,
    pair: &Pair,
    thorough: bool,
) -> Result<Facts, EngineError> {
    let mut facts = Facts {
        server: admin.server.clone(),
        database: admin.address.database.clone(),
        master: admin.user.clone(),
        admin: admin.rights.clone(),
        now: admin.now.clone(),
        ..Facts::default()
    };
    let own = results_in(admin, &admin.address.database, pair).await?;
    let mut of_own = database::read(&admin.address.database, &own.pair, pair)?;
    let others = cluster::read(&mut facts, &mut of_own, &own.cluster, pair)?;
    facts.databases.push(of_own);
    let mut all = vec![own];
    for name in &others.local {
        let results = results_in(admin, name, pair).await?;
        let database = database::read(name, &results.pair, pair)?;
        facts.databases.push(database);
        all.push(results);
    }
    database::move_scoped(&mut facts.databases);
    for database in &mut facts.databases {
        database.kept = admin.kept.clone();
    }
    for (at, results) in all.into_iter().enumerate() {
        optional(&mut facts, at, results.optional, pair)?;
        if !facts.admin.superuser {
            let name = facts.databases[at].name.clone();
            let own = database::read(&name, &results.admin, &itself(admin))?.active;
            facts.admin.databases.insert(name, own);
        }
        if thorough && facts.active.is_some() {
            shown_grants::report_hidden(admin, &mut facts, at, pair).await?;
        }
    }
    for name in &others.shared {
        shown_grants::compare_shared(admin, &mut facts, name, pair).await?;
    }
    Ok(facts)
}

/// The results of the queries in one database.
struct Results {
    /// Empty outside of the secret's own database.
    cluster: Vec<Vec<Row>>,
    pair: Vec<Vec<Row>>,
    /// Empty for a superuser, which needs no privilege.
    admin: Vec<Vec<Row>>,
    /// With the queries, which the server may refuse.
    optional: Vec<(OptionalQuery, Result<Table, String>)>,
}

/// Runs all queries of a database in one batch.
async fn results_in(
    admin: &RedshiftAdmin,
    name: &str,
    pair: &Pair,
) -> Result<Results, EngineError> {
    let (cluster, optional_of_cluster) = if name == admin.address.database {
        let optional = queries::optional_cluster_queries(pair);
        (queries::cluster_queries(pair), optional)
    } else {
        (Vec::new(), Vec::new())
    };
    let of_pair = queries::database_queries(pair);
    let of_admin = if admin.rights.superuser {
        Vec::new()
    } else {
        queries::database_queries(&itself(admin))
    };
    let of_database = queries::optional_database_queries(pair, name);
    let optional = [optional_of_cluster, of_database].concat();
    let statements: Vec<_> = optional
        .iter()
        .map(|query| query.statement.clone())
        .collect();
    let needed = [&cluster[..], &of_pair, &of_admin].concat();
    let (mut results, tables) = admin.read_with_optional(name, &needed, &statements).await?;
    let in_database = results.split_off(cluster.len());
    let mut in_database = in_database.into_iter();
    Ok(Results {
        cluster: results,
        pair: in_database.by_ref().take(of_pair.len()).collect(),
        admin: in_database.collect(),
        optional: optional.into_iter().zip(tables).collect(),
    })
}

/// The admin as a pair, whose own privileges are read as those of a pair.
fn itself(admin: &RedshiftAdmin) -> Pair {
    Pair {
        base: admin.user.clone(),
        clone: admin.user.clone(),
        active: PairMember::Base,
    }
}

/// Reads the results that the server may refuse, of one database and of the cluster.
fn optional(
    facts: &mut Facts,
    at: usize,
    results: Vec<(OptionalQuery, Result<Table, String>)>,
    pair: &Pair,
) -> Result<(), EngineError> {
    for (query, table) in results {
        let rows = match table {
            Ok(table) => table.rows,
            // Without this one, the password has the default form.
            Err(_) if query.answers == Optional::PasswordForms => continue,
            Err(reason) => {
                let name = &facts.databases[at].name;
                let refused = format!(
                    "the server refused to show {} in the database {name:?} ({reason})",
                    query.what
                );
                facts.unanswered.push(refused);
                continue;
            }
        };
        match query.answers {
            Optional::PasswordForms => cluster::read_password_forms(facts, &rows, pair)?,
            Optional::UncopiedInCluster => cluster::read_uncopied(facts, &rows, pair)?,
            Optional::Uncopied => database::read_uncopied(&mut facts.databases[at], &rows, pair)?,
            Optional::Models => database::read_models(&mut facts.databases[at], &rows, pair)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_name_is_short_and_names_redshift() {
        let redshift = "PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC, Redshift 1.0.54052";
        assert_eq!(server_name(redshift), "Redshift 1.0.54052");
        assert_eq!(
            server_name("PostgreSQL 15.14 on x86_64"),
            "PostgreSQL 15.14"
        );
        assert_eq!(server_name(""), "");
    }
}
