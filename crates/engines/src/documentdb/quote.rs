//! Names and values in commands. A command is JSON text, so that a name is a JSON string.

use serde_json::{Value as Json, json};

use super::role::DatabaseRole;
use crate::{EngineError, PasswordForm, Statement, user_name};

/// Limit of twinkey, below that of a document in `system.users`.
const NAME_LIMIT: usize = 1024;

/// Checks whether the server accepts this user name.
pub(super) fn check_user_name(name: &str) -> Result<(), EngineError> {
    user_name::check(name, NAME_LIMIT, "twinkey")
}

/// A command on a user, with `fields` in their order.
///
/// Its write concern is the majority, so that a failover does not undo it.
pub(super) fn command(verb: &str, user: &str, fields: Vec<(&str, Json)>) -> Statement {
    Statement::plain(format!(
        "{}{}",
        command_start(verb, user),
        command_end(fields)
    ))
}

/// The same with a password of the form `form` after the user's name.
pub(super) fn command_with_password(
    verb: &str,
    user: &str,
    form: PasswordForm,
    fields: Vec<(&str, Json)>,
) -> Statement {
    let before = format!("{},\"pwd\":\"", command_start(verb, user));
    Statement::with_password(before, form, format!("\"{}", command_end(fields)))
}

fn command_start(verb: &str, user: &str) -> String {
    format!("{{{}:{}", Json::from(verb), Json::from(user))
}

fn command_end(mut fields: Vec<(&str, Json)>) -> String {
    fields.push(("writeConcern", json!({"w": "majority"})));
    let all = fields.into_iter();
    let mut text: String = all
        .map(|(name, value)| format!(",{}:{value}", Json::from(name)))
        .collect();
    text.push('}');
    text
}

/// Roles as a value in a command.
pub(super) fn roles<'a>(roles: impl IntoIterator<Item = &'a DatabaseRole>) -> Json {
    roles
        .into_iter()
        .map(|role| json!({"role": role.role, "db": role.db}))
        .collect()
}

/// The command in the syntax of the MongoDB shell.
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
    fn special_characters_are_quoted() {
        let name = r#"a"b'}); $drop, =.\"#;
        let shown = command("updateUser", name, vec![("roles", json!([]))]).to_string();
        let read: Json = serde_json::from_str(&shown).unwrap();
        assert_eq!(read["updateUser"], name);
        let shown = command_with_password("createUser", name, PasswordForm::Clear, Vec::new());
        let read: Json = serde_json::from_str(&shown.to_string()).unwrap();
        assert_eq!(
            read,
            json!({"createUser": name, "pwd": "***", "writeConcern": {"w": "majority"}})
        );
    }

    #[test]
    fn a_command_begins_with_its_verb() {
        let shown = command("grantRolesToUser", "app", vec![("roles", json!([]))]).to_string();
        assert!(
            shown.starts_with(r#"{"grantRolesToUser":"app","roles":[]"#),
            "{shown}"
        );
    }

    #[test]
    fn invalid_user_names_are_refused() {
        for name in ["", "a\0b", &"x".repeat(1025)] {
            check_user_name(name).unwrap_err();
        }
        for name in ["a\"b'; $", "ünï", &"x".repeat(1024)] {
            check_user_name(name).unwrap();
        }
    }
}
