//! Statements that create an admin user. Pure; `preflight.rs` reports what an admin lacks.

use super::quote::{check_user_name, ident};
use crate::EngineError;
use crate::master::{Grant, MasterGrants, MasterRequest};

/// The statements, to be run by a superuser.
///
/// # Errors
/// [`EngineError::UserName`] for a name that Redshift does not accept.
pub(crate) fn grants(request: &MasterRequest) -> Result<MasterGrants, EngineError> {
    check_user_name(&request.master)?;
    let master = ident(&request.master);
    Ok(MasterGrants {
        comment: "--",
        grants: vec![Grant::needed(
            format!("CREATE USER {master} PASSWORD DISABLE"),
            "it cannot sign in yet. The last line makes it a superuser, which needs a password in Redshift: only a superuser reads every privilege and sets default privileges of other users",
        )],
        set_password: Some(format!(
            "ALTER USER {master} PASSWORD '…'; ALTER USER {master} CREATEUSER"
        )),
    })
}
