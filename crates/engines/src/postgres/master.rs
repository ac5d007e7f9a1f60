//! What a master is to be given: pure. `preflight.rs` says what one lacks; a test has one made with exactly this.

use super::quote::{check_user_name, ident};
use crate::EngineError;
use crate::master::{Grant, MasterGrants, MasterRequest};

/// The statements, for a superuser or RDS's own master.
///
/// # Errors
/// A name that no user can have here.
pub(crate) fn grants(request: &MasterRequest) -> Result<MasterGrants, EngineError> {
    let pair = [Some(&request.user), request.clone.as_ref()];
    for name in pair.into_iter().flatten().chain([&request.master]) {
        check_user_name(name)?;
    }
    let master = ident(&request.master);
    let mut grants = vec![Grant::needed(
        format!("CREATE ROLE {master} LOGIN CREATEROLE"),
        "it makes and alters users; it has no password yet, and cannot sign in",
    )];
    grants.extend(pair.into_iter().flatten().map(|user| {
        Grant::needed(
            format!("GRANT {} TO {master} WITH ADMIN OPTION", ident(user)),
            "PostgreSQL 16 and later: it may alter and grant this user, whom another role made (on 15, leave it out)",
        )
    }));
    grants.push(Grant::optional(
        format!("GRANT pg_read_all_stats TO {master}"),
        "it sees from where and since when somebody is signed in as the standby",
    ));
    Ok(MasterGrants {
        comment: "--",
        grants,
        set_password: Some(format!("ALTER ROLE {master} PASSWORD '…'")),
    })
}
