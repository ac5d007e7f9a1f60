//! What a master is to be given: pure. `powers.rs` says what one lacks; a test has one made with exactly this.

use serde_json::json;

use super::connect::ADMIN;
use super::facts::Role;
use super::lock;
use super::quote::{check_user_name, command, in_shell, roles};
use crate::EngineError;
use crate::master::{Grant, MasterGrants, MasterRequest};

/// The commands, in the shell, for the primary user.
///
/// # Errors
/// A name that no user can have here.
pub(crate) fn grants(request: &MasterRequest) -> Result<MasterGrants, EngineError> {
    let master = &request.master;
    check_user_name(master)?;
    let make = command(
        "createUser",
        master,
        vec![("pwd", json!("…")), ("roles", json!([]))],
    );
    let give = |role: &Role| {
        let command = command("grantRolesToUser", master, vec![("roles", roles([role]))]);
        in_shell(ADMIN, &command)
    };
    let grants = vec![
        Grant::needed(
            // The shell asks for it: a password stands in no history.
            in_shell(ADMIN, &make).replace("\"…\"", "passwordPrompt()"),
            "it asks for the password",
        ),
        Grant::needed(
            give(&Role::new("userAdminAnyDatabase", ADMIN)),
            "it makes and alters users, and gives roles of any database",
        ),
        Grant::needed(
            give(&Role::new("readWrite", lock::DATABASE)),
            "it keeps the pair's lock",
        ),
        Grant::optional(
            give(&Role::new("clusterMonitor", ADMIN)),
            "it sees who is signed in as the standby",
        ),
    ];
    Ok(MasterGrants {
        comment: "//",
        grants,
        set_password: None,
    })
}
