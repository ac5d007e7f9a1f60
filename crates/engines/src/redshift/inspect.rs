//! Read-only inspection of the cluster.
//!
//! # Failure modes
//! - Facts from different moments contradict each other. All queries of one database run in one
//!   transaction.
//! - An inspection takes more calls than there is time for. Each database takes one batch, and
//!   empty results are not fetched.
//! - The admin may not read one view, and the whole batch fails. Views for superusers are queried
//!   only by a superuser.

use super::RedshiftAdmin;
use super::api::UnexpectedColumn;
use super::catalog::facts::Facts;
use super::catalog::{cluster, database, queries};
use crate::EngineError;
use twinkey_core::secret::pair::Pair;

/// Reads the admin's own user name, attributes and the server's version.
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
    admin.sees_all = superuser || syslog.is_some_and(|text| text.trim() == "UNRESTRICTED");
    admin.has_roles = !results[2].is_empty();
    (admin.user, admin.superuser) = (user, superuser);
    admin.server = server_name(&version);
    Ok(())
}

/// `Redshift 1.0.54052` of `PostgreSQL 8.0.2 on …, Redshift 1.0.54052`.
fn server_name(version: &str) -> String {
    let at = version.find("Redshift ").unwrap_or(0);
    let rest = &version[at..];
    let words: Vec<&str> = rest.split_whitespace().take(2).collect();
    words.join(" ").trim_end_matches(',').to_owned()
}

/// All facts that the plan needs.
pub(super) async fn facts(admin: &RedshiftAdmin, pair: &Pair) -> Result<Facts, EngineError> {
    let cluster_queries = queries::cluster_queries(pair, admin.superuser);
    let database_queries = queries::database_queries(pair, admin.superuser);
    let batch = [cluster_queries.clone(), database_queries.clone()].concat();
    let mut cluster_results = admin.read(&batch).await?;
    let own_results = cluster_results.split_off(cluster_queries.len());
    let mut facts = Facts {
        server: admin.server.clone(),
        database: admin.address.database.clone(),
        master: admin.user.clone(),
        superuser: admin.superuser,
        has_roles: admin.has_roles,
        sees_all: admin.sees_all,
        ..Facts::default()
    };
    let mut own = database::read(&admin.address.database, &own_results, pair)?;
    let others = cluster::read(&mut facts, &mut own, &cluster_results, pair)?;
    facts.databases.push(own);
    for name in others {
        let results = admin.read_in(&name, &database_queries).await?;
        facts.databases.push(database::read(&name, &results, pair)?);
    }
    // An admin that can read the limits of another user can read all rows.
    let is_other_user = facts.master != pair.active_user();
    let active = facts.active.as_ref();
    facts.sees_all |= is_other_user && active.is_some_and(|user| user.limits.is_some());
    Ok(facts)
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
