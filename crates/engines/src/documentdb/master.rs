//! Commands that create a master. Pure; `preflight.rs` reports what a master lacks.

use serde_json::json;

use super::connect::ADMIN;
use super::lock;
use super::quote::{check_user_name, command, in_shell, roles};
use super::role::DatabaseRole;
use crate::EngineError;
use crate::master::{Grant, MasterGrants, MasterRequest};

/// The commands for the MongoDB shell, to be run by the primary user.
///
/// # Errors
/// [`EngineError::UserName`] for a name that the server does not accept.
pub(crate) fn grants(request: &MasterRequest) -> Result<MasterGrants, EngineError> {
    let master = &request.master;
    check_user_name(master)?;
    let create = command(
        "createUser",
        master,
        vec![("pwd", json!("…")), ("roles", json!([]))],
    );
    let grant_role = |role: &DatabaseRole| {
        let command = command("grantRolesToUser", master, vec![("roles", roles([role]))]);
        in_shell(ADMIN, &command)
    };
    let grants = vec![
        Grant::needed(
            // The shell prompts, so that no history contains the password.
            in_shell(ADMIN, &create).replace("\"…\"", "passwordPrompt()"),
            "the shell prompts for the password",
        ),
        Grant::needed(
            grant_role(&DatabaseRole::new("userAdminAnyDatabase", ADMIN)),
            "it creates and changes users, and grants roles of any database",
        ),
        Grant::needed(
            grant_role(&DatabaseRole::new("readWrite", lock::DATABASE)),
            "it writes the pair's lock",
        ),
        Grant::optional(
            grant_role(&DatabaseRole::new("clusterMonitor", ADMIN)),
            "it reads the sessions of the standby",
        ),
    ];
    Ok(MasterGrants {
        comment: "//",
        grants,
        set_password: None,
    })
}
