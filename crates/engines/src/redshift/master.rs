//! What an admin is to be given: pure. `preflight.rs` says what one lacks; a test has one made with exactly this.

use super::quote::{check_user_name, ident};
use crate::EngineError;
use crate::master::{Grant, MasterGrants, MasterRequest};

/// The statements, for a superuser.
///
/// # Errors
/// A name that no user can have here.
pub(crate) fn grants(request: &MasterRequest) -> Result<MasterGrants, EngineError> {
    check_user_name(&request.master)?;
    let master = ident(&request.master);
    Ok(MasterGrants {
        comment: "--",
        grants: vec![Grant::needed(
            format!("CREATE USER {master} PASSWORD DISABLE"),
            "nobody signs in as it yet. The last line makes it a superuser, which Redshift lets nobody be without a password: only a superuser sees every privilege, and sets default privileges of other users",
        )],
        set_password: Some(format!(
            "ALTER USER {master} PASSWORD '…'; ALTER USER {master} CREATEUSER"
        )),
    })
}
