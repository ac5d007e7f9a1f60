//! Statements that give a master its privileges: pure. A test creates a master with them alone.

use super::quote::{check_user_name, ident};
use super::remedies;
use crate::EngineError;
use crate::master::{Grant, MasterGrants, MasterRequest};

/// The statements, to be executed by a superuser or RDS's own master.
///
/// # Errors
/// [`EngineError::UserName`]
pub(crate) fn grants(request: &MasterRequest) -> Result<MasterGrants, EngineError> {
    let pair = [Some(&request.user), request.clone.as_ref()];
    for name in pair.into_iter().flatten().chain([&request.master]) {
        check_user_name(name)?;
    }
    let master = ident(&request.master);
    let mut grants = vec![Grant::needed(
        format!("CREATE ROLE {master} LOGIN CREATEROLE"),
        "it creates and alters users; it has no password yet, and cannot sign in",
    )];
    grants.extend(pair.into_iter().flatten().map(|user| {
        Grant::needed(
            remedies::admin_option(user, &request.master),
            "PostgreSQL 16 and later: it may alter and grant this user, which another role created (on 15, leave it out)",
        )
    }));
    grants.push(Grant::optional(
        format!("GRANT pg_read_all_stats TO {master}"),
        "it sees the address and start of the standby's sessions",
    ));
    grants.push(Grant::optional(
        format!("GRANT pg_signal_backend TO {master}"),
        "it may end the standby's sessions (`twinkey rotate --end-sessions`)",
    ));
    Ok(MasterGrants {
        comment: "--",
        grants,
        set_password: Some(format!("ALTER ROLE {master} PASSWORD '…'")),
    })
}
