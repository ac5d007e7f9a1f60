//! Read-only inspection of the cluster.
//!
//! # Failure modes
//! - Facts from different moments contradict each other. The catalog has no snapshot, not even in a
//!   transaction. A run compares the pair again after its changes.
//! - An inspection takes more calls than there is time for. Each database takes two batches, and
//!   empty results are not fetched.
//! - The server refuses one query, and the whole batch fails. Queries that the manual does not
//!   promise to every admin run in a batch of their own, and then one by one. A refusal is reported,
//!   and the rest is compared.

mod reads;
mod shown_grants;

pub(super) use self::shown_grants::explain_what_stayed;

use std::collections::BTreeSet;

use super::RedshiftAdmin;
use super::api::UnexpectedColumn;
use super::catalog::facts::{AdminRights, Facts};
use super::catalog::queries::{self, Optional};
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
        rights.system = system_privileges(admin, &rights).await?;
    }
    (admin.user, admin.rights) = (user, rights);
    admin.server = server_name(&version);
    Ok(())
}

/// The system privileges of the admin's roles, and of the roles that these have.
async fn system_privileges(
    admin: &RedshiftAdmin,
    rights: &AdminRights,
) -> Result<BTreeSet<String>, EngineError> {
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
    let mut system = BTreeSet::new();
    for row in &results[1] {
        if roles.contains(&row.text(0)?) {
            system.insert(row.text(1)?.trim().to_ascii_uppercase());
        }
    }
    Ok(system)
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
    let cluster_queries = queries::cluster_queries(pair);
    let database_queries = queries::database_queries(pair);
    let batch = [cluster_queries.clone(), database_queries.clone()].concat();
    let mut cluster_results = admin.read(&batch).await?;
    let own_results = cluster_results.split_off(cluster_queries.len());
    let mut facts = Facts {
        server: admin.server.clone(),
        database: admin.address.database.clone(),
        master: admin.user.clone(),
        admin: admin.rights.clone(),
        ..Facts::default()
    };
    let mut own = database::read(&admin.address.database, &own_results, pair)?;
    let others = cluster::read(&mut facts, &mut own, &cluster_results, pair)?;
    facts.databases.push(own);
    for name in &others.local {
        let results = admin.read_in(name, &database_queries).await?;
        facts.databases.push(database::read(name, &results, pair)?);
    }
    database::move_scoped(&mut facts.databases);
    for database in &mut facts.databases {
        database.kept = admin.kept.clone();
    }
    for at in 0..facts.databases.len() {
        optional(admin, &mut facts, at, pair).await?;
        if thorough && facts.active.is_some() {
            shown_grants::report_hidden(admin, &mut facts, at, pair).await?;
        }
    }
    for name in &others.shared {
        shown_grants::compare_shared(admin, &mut facts, name, pair).await?;
    }
    if !facts.admin.superuser {
        // The admin's own privileges, read as those of a pair.
        let itself = Pair {
            base: admin.user.clone(),
            clone: admin.user.clone(),
            active: PairMember::Base,
        };
        let itself_queries = queries::database_queries(&itself);
        for at in 0..facts.databases.len() {
            let name = facts.databases[at].name.clone();
            let results = admin.read_in(&name, &itself_queries).await?;
            let own = database::read(&name, &results, &itself)?.active;
            facts.admin.databases.insert(name, own);
        }
    }
    Ok(facts)
}

/// Reads what the server may refuse, in one database, and with the secret's own what all share.
async fn optional(
    admin: &RedshiftAdmin,
    facts: &mut Facts,
    at: usize,
    pair: &Pair,
) -> Result<(), EngineError> {
    let name = facts.databases[at].name.clone();
    let of_cluster = if at == 0 {
        queries::optional_cluster_queries(pair)
    } else {
        Vec::new()
    };
    let cluster_count = of_cluster.len();
    let all = [of_cluster, queries::optional_database_queries(pair, &name)].concat();
    let statements: Vec<_> = all.iter().map(|query| query.statement.clone()).collect();
    let tables = admin.tables_or_reasons(&name, &statements).await?;
    for (index, (query, table)) in all.iter().zip(tables).enumerate() {
        let rows = match table {
            Ok(table) => table.rows,
            // Without this one, the password has the default form.
            Err(_) if query.answers == Optional::PasswordForms => continue,
            Err(reason) => {
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
            Optional::Uncopied if index < cluster_count => {
                cluster::read_uncopied(facts, &rows, pair)?;
            }
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
