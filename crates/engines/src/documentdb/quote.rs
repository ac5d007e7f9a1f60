//! Names and values in commands. A command is JSON text, and JSON is the quoting: a name is only a string.

use serde_json::{Value as Json, json};

use super::facts::Role;
use crate::{EngineError, Slot, Statement, name};

/// What a document of `system.users` may hold is far more; a longer name is a mistake.
const NAME_LIMIT: usize = 1024;

/// Whether this can be a user's name here.
pub(super) fn check_user_name(name: &str) -> Result<(), EngineError> {
    name::check(name, NAME_LIMIT, "twinkey")
}

/// A command about a user, with `fields` in their order. The majority of the members has carried it out
/// before it is answered, so that a failover does not undo it.
pub(super) fn command(verb: &str, user: &str, fields: Vec<(&str, Json)>) -> Statement {
    Statement::plain(format!("{}{}", beginning(verb, user), rest(fields)))
}

/// The same with a password, in the form that `slot` says, right after the user's name.
pub(super) fn command_with_password(
    verb: &str,
    user: &str,
    slot: Slot,
    fields: Vec<(&str, Json)>,
) -> Statement {
    let before = format!("{},\"pwd\":\"", beginning(verb, user));
    Statement::with_password(before, slot, format!("\"{}", rest(fields)))
}

fn beginning(verb: &str, user: &str) -> String {
    format!("{{{}:{}", Json::from(verb), Json::from(user))
}

fn rest(mut fields: Vec<(&str, Json)>) -> String {
    fields.push(("writeConcern", json!({"w": "majority"})));
    let all = fields.into_iter();
    let mut text: String = all
        .map(|(name, value)| format!(",{}:{value}", Json::from(name)))
        .collect();
    text.push('}');
    text
}

/// Roles as commands take them.
pub(super) fn roles<'a>(roles: impl IntoIterator<Item = &'a Role>) -> Json {
    roles
        .into_iter()
        .map(|role| json!({"role": role.role, "db": role.db}))
        .collect()
}

/// For a person: how a DBA carries out a command in the shell.
pub(super) fn in_shell(database: &str, statement: &Statement) -> String {
    format!(
        "db.getSiblingDB({}).runCommand({statement})",
        Json::from(database)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_only_a_string_whatever_it_holds() {
        let name = r#"a"b'}); $drop, =.\"#;
        let shown = command("updateUser", name, vec![("roles", json!([]))]).to_string();
        let read: Json = serde_json::from_str(&shown).unwrap();
        assert_eq!(read["updateUser"], name);
        let shown = command_with_password("createUser", name, Slot::Clear, Vec::new());
        let read: Json = serde_json::from_str(&shown.to_string()).unwrap();
        assert_eq!(
            read,
            json!({"createUser": name, "pwd": "***", "writeConcern": {"w": "majority"}})
        );
    }

    #[test]
    fn a_command_begins_with_its_verb_which_is_what_the_server_takes_it_for() {
        let shown = command("grantRolesToUser", "app", vec![("roles", json!([]))]).to_string();
        assert!(
            shown.starts_with(r#"{"grantRolesToUser":"app","roles":[]"#),
            "{shown}"
        );
    }

    #[test]
    fn what_nobody_can_be_called_is_refused() {
        for name in ["", "a\0b", &"x".repeat(1025)] {
            check_user_name(name).unwrap_err();
        }
        for name in ["a\"b'; $", "ünï", &"x".repeat(1024)] {
            check_user_name(name).unwrap();
        }
    }
}
