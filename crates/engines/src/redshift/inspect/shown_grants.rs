//! Facts from SHOW GRANTS, which shows what the views do not: grantors, shared databases, ALTER and
//! TRUNCATE.
//!
//! # Failure modes
//! - A run is refused after its changes, because another user granted what it revokes. Such grants are
//!   findings. An owner's and a superuser's grants are not: the REVOKE of a superuser is the owner's.
//! - SHOW GRANTS raises an error beyond 10,000 rows, and older versions show fewer columns. It is read
//!   apart from the views, and a refusal leaves their result as it is.

use std::collections::{BTreeMap, BTreeSet};

use crate::redshift::RedshiftAdmin;
use crate::redshift::catalog::database;
use crate::redshift::catalog::facts::{DatabaseFacts, Facts};
use crate::redshift::catalog::grants::{Object, UNDOCUMENTED_ON_TABLES};
use crate::redshift::catalog::queries;
use crate::redshift::catalog::shown::{self, ShownGrant};
use crate::redshift::quote::{ident, qualified, with_case_setting};
use crate::{Change, ChangeKind, EngineError, Finding, Severity};
use twinkey_core::code::Code;
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

/// Findings about what another user granted to the standby, and a planned REVOKE would leave.
pub(in crate::redshift) async fn granted_by_others(
    admin: &RedshiftAdmin,
    pair: &Pair,
    changes: &[Change],
) -> Result<Vec<Finding>, EngineError> {
    let home = admin.address.database.as_str();
    let mut revokes: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for change in changes.iter().filter(|c| c.kind == ChangeKind::Revoke) {
        let name = change.database.as_deref().unwrap_or(home);
        let of_database = revokes.entry(name).or_default();
        of_database.push(change.statement.to_string());
    }
    let mut all = Vec::new();
    for (name, revokes) in revokes {
        let statement = queries::show_grants(pair.standby_user(), None);
        let Ok(table) = admin.table_or_reason(name, &statement).await? else {
            continue;
        };
        let shown = shown::read(&table).unwrap_or_default();
        let planned = |grant: &ShownGrant| revokes.iter().find(|revoke| concerns(grant, revoke));
        let others = shown.iter().filter_map(|grant| {
            let grantor = grant
                .grantor
                .as_deref()
                .filter(|name| *name != admin.user)?;
            let known = ["TABLE", "VIEW", "SCHEMA"].contains(&&*grant.object_type);
            Some((grant, grantor, planned(grant).filter(|_| known)?))
        });
        let others: Vec<_> = others.collect();
        let grantors: BTreeSet<&str> = others.iter().map(|(_, grantor, _)| *grantor).collect();
        if grantors.is_empty() {
            continue;
        }
        let harmless = harmless(admin, name, &grantors).await?;
        let left = others.into_iter().filter(|(grant, grantor, _)| {
            let object = [&*grant.schema, &grant.object];
            let object = if grant.object_type == "SCHEMA" {
                &object[..1]
            } else {
                &object[..]
            };
            !harmless.contains(&key(grantor, &[])) && !harmless.contains(&key(grantor, object))
        });
        all.extend(left.map(|(grant, grantor, revoke)| {
            left_by_revoke(grant, grantor, revoke, (pair.standby_user(), name))
        }));
    }
    Ok(all)
}

fn key(user: &str, object: &[&str]) -> Vec<String> {
    let parts = std::iter::once(&user).chain(object);
    parts.map(|part| (*part).to_owned()).collect()
}

/// The superusers of these grantors, and the objects that they own.
async fn harmless(
    admin: &RedshiftAdmin,
    database: &str,
    grantors: &BTreeSet<&str>,
) -> Result<BTreeSet<Vec<String>>, EngineError> {
    let statements = queries::rights_of_grantors(grantors);
    let results = admin.read_in(database, &statements).await?;
    let mut all = BTreeSet::new();
    for (columns, rows) in [1, 3, 2].into_iter().zip(results) {
        for row in rows {
            let key: Result<Vec<String>, _> = (0..columns).map(|at| row.text(at)).collect();
            all.insert(key?);
        }
    }
    Ok(all)
}

fn left_by_revoke(
    grant: &ShownGrant,
    grantor: &str,
    planned: &str,
    (standby, database): (&str, &str),
) -> Finding {
    let object = if grant.object_type == "SCHEMA" {
        format!("SCHEMA {}", ident(&grant.schema))
    } else {
        format!("TABLE {}", qualified(&grant.schema, &grant.object))
    };
    let option = if is_of_option(planned) {
        "GRANT OPTION FOR "
    } else {
        ""
    };
    let what = format!("{option}{} ON {object}", grant.privilege);
    Finding {
        code: Some(Code::PrivilegesDiffer),
        ..Finding::new(
            Severity::Error,
            format!(
                "{standby:?} has {what} in the database {database:?}, and the active user does not; {grantor:?} granted it, and only a REVOKE of that user takes it"
            ),
            Some(with_case_setting(format!(
                "SET SESSION AUTHORIZATION {}; REVOKE {what} FROM {}; RESET SESSION AUTHORIZATION",
                ident(grantor),
                ident(standby)
            ))),
        )
    }
}

fn is_of_option(revoke: &str) -> bool {
    revoke.starts_with("REVOKE GRANT OPTION FOR ")
}

/// Names the grantor in a REVOKE that this admin ran without effect: a REVOKE takes only what its
/// own user granted.
pub(in crate::redshift) async fn explain_what_stayed(
    admin: &RedshiftAdmin,
    pair: &Pair,
    changes: &mut [Change],
) -> Result<(), EngineError> {
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
    let named = revoke.contains(&object) && revoke.contains(&grant.privilege);
    named && (grant.option || !is_of_option(revoke))
}
