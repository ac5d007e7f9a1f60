//! Facts from SHOW GRANTS, which shows what the views do not: grantors, shared databases, ALTER and
//! TRUNCATE.
//!
//! # Failure modes
//! - SHOW GRANTS raises an error beyond 10,000 rows, and older versions show fewer columns. It is read
//!   apart from the views, and a refusal leaves their result as it is.

use std::collections::BTreeSet;

use crate::redshift::RedshiftAdmin;
use crate::redshift::catalog::database;
use crate::redshift::catalog::facts::{DatabaseFacts, Facts};
use crate::redshift::catalog::grants::{Object, UNDOCUMENTED_ON_TABLES};
use crate::redshift::catalog::queries;
use crate::redshift::catalog::shown::{self, ShownGrant};
use crate::redshift::quote::{ident, qualified};
use crate::{Change, ChangeKind, EngineError};
use twinkey_core::secret::pair::Pair;

/// Reports ALTER and TRUNCATE of the active user that the documented views do not show.
pub(super) async fn report_hidden(
    admin: &RedshiftAdmin,
    facts: &mut Facts,
    at: usize,
    pair: &Pair,
) -> Result<(), EngineError> {
    let name = facts.databases[at].name.clone();
    let statement = queries::show_grants(pair.active_user(), None);
    let Ok(table) = admin.table_or_reason(&name, &statement).await? else {
        return Ok(());
    };
    // A cluster whose SHOW GRANTS has other columns has the views only.
    let shown = shown::read(&table).unwrap_or_default();
    add_hidden(&mut facts.databases[at], &shown);
    Ok(())
}

fn add_hidden(facts: &mut DatabaseFacts, shown: &[ShownGrant]) {
    for grant in shown {
        let relation = Object::Relation {
            schema: grant.schema.clone(),
            name: grant.object.clone(),
        };
        let held = facts.active.granted.get(&relation);
        let is_hidden = grant.object_type == "TABLE"
            && UNDOCUMENTED_ON_TABLES.contains(&&*grant.privilege)
            && !held.is_some_and(|held| held.contains_key(&grant.privilege))
            && !facts.active.owned.contains_key(&relation);
        if is_hidden {
            facts.active.unknown_privileges.push(format!(
                "{} {}, which SHOW GRANTS shows and the views do not",
                grant.privilege,
                relation.shown()
            ));
        }
    }
}

/// Compares what the two users have in a database of a datashare. Its objects are granted one by
/// one if it was created WITH PERMISSIONS.
pub(super) async fn compare_shared(
    admin: &RedshiftAdmin,
    facts: &mut Facts,
    name: &str,
    pair: &Pair,
) -> Result<(), EngineError> {
    let database = Object::Database(name.to_owned());
    let own = &facts.databases[0];
    let uses = [&own.active, &own.standby]
        .iter()
        .any(|user| user.granted.contains_key(&database));
    if !uses {
        return Ok(());
    }
    for user in [pair.active_user(), pair.standby_user()] {
        let exists = if user == pair.active_user() {
            facts.active.is_some()
        } else {
            facts.standby.is_some()
        };
        if !exists {
            continue;
        }
        let statement = queries::show_grants(user, Some(name));
        let home = &admin.address.database;
        let table = admin.table_or_reason(home, &statement).await?;
        let shown = table.and_then(|table| {
            shown::read(&table).map_err(|_| "its columns are unknown".to_owned())
        });
        match shown {
            Ok(shown) => {
                let side = database::side(&mut facts.databases[0], user, pair);
                let objects = shown.iter().filter(|grant| grant.object_type != "DATABASE");
                side.uncopied.extend(objects.map(|grant| {
                    format!(
                        "{} on the {} {}.{} of the shared database {name:?}",
                        grant.privilege,
                        grant.object_type.to_ascii_lowercase(),
                        ident(&grant.schema),
                        ident(&grant.object)
                    )
                }));
            }
            Err(reason) => facts.unanswered.push(format!(
                "the server refused to show the grants of {user:?} in the shared database {name:?} ({reason})"
            )),
        }
    }
    Ok(())
}

/// Names the grantor in a REVOKE that this admin ran without effect: a REVOKE takes only what its
/// own user granted.
pub(in crate::redshift) async fn explain_what_stayed(
    admin: &RedshiftAdmin,
    pair: &Pair,
    changes: &mut [Change],
) -> Result<(), EngineError> {
    if admin.applied.is_empty() {
        return Ok(());
    }
    let home = admin.address.database.clone();
    let is_revoke = |change: &&mut Change| change.kind == ChangeKind::Revoke;
    for change in changes.iter_mut().filter(is_revoke) {
        let name = change.database.as_ref().unwrap_or(&home);
        let statement = queries::show_grants(pair.standby_user(), None);
        let table = admin.table_or_reason(name, &statement).await?;
        let shown = table.map(|table| shown::read(&table).unwrap_or_default());
        let shown = shown.unwrap_or_default();
        let revoke = change.statement.to_string();
        let grantors: BTreeSet<&str> = shown
            .iter()
            .filter(|grant| concerns(grant, &revoke))
            .filter_map(|grant| grant.grantor.as_deref())
            .filter(|grantor| *grantor != admin.user)
            .collect();
        // A statement that revoked more may have left this part.
        if grantors.is_empty() && !admin.applied.contains(&revoke) {
            continue;
        }
        change.why = if grantors.is_empty() {
            "it stayed after the same statement: another user granted it, and only that user can revoke it".into()
        } else {
            let statements: Vec<String> = grantors
                .iter()
                .map(|name| {
                    format!(
                        "SET SESSION AUTHORIZATION {}; {revoke}; RESET SESSION AUTHORIZATION",
                        ident(name)
                    )
                })
                .collect();
            format!(
                "it stayed after a REVOKE, because another user granted it; as a superuser: {}",
                statements.join("; ")
            )
        };
    }
    Ok(())
}

/// Whether the statement revokes this grant.
fn concerns(grant: &ShownGrant, revoke: &str) -> bool {
    let object = if grant.object_type == "SCHEMA" {
        ident(&grant.schema)
    } else {
        qualified(&grant.schema, &grant.object)
    };
    revoke.contains(&object) && revoke.contains(&grant.privilege)
}
