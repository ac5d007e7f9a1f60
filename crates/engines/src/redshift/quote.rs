//! Names and values in SQL text. Everything is quoted.
//!
//! # Failure modes
//! - An unquoted name is folded to lower case and names another user. Quoted user names keep their
//!   case in every cluster (CREATE USER in the developer guide). A user that was created without
//!   quotes must be in lower case in the secret.
//! - Names of all other objects are folded even in quotes, unless the session sets
//!   [`CASE_SETTING`]. The statement then names a missing object, or another one.
//! - A backslash is an escape on some servers only. No text contains one: it is written as
//!   `chr(92)`.

use crate::{EngineError, user_name};

/// Keeps the case of quoted names in the session ("enable_case_sensitive_identifier" in the Redshift
/// developer guide). It is off by default.
pub(super) const CASE_SETTING: &str = "SET enable_case_sensitive_identifier TO true";

/// "Names and identifiers" in the Redshift developer guide, in bytes.
const NAME_LIMIT: usize = 127;

/// Checks whether Redshift accepts this user name.
pub(super) fn check_user_name(name: &str) -> Result<(), EngineError> {
    user_name::check(name, NAME_LIMIT, "Redshift")?;
    if name.eq_ignore_ascii_case("public") {
        return user_name::refuse(name, "PUBLIC is a reserved word");
    }
    Ok(())
}

/// `"a""b"`
pub(super) fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `"s"."t"`
pub(super) fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", ident(schema), ident(name))
}

/// Whether a quoted name of the statement has an upper-case letter, so that it needs
/// [`CASE_SETTING`].
pub(super) fn has_upper_case_name(statement: &str) -> bool {
    let mut quote = None;
    statement.chars().any(|c| {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            _ => {}
        }
        quote == Some('"') && c.is_uppercase()
    })
}

/// The statement for a person to run, after [`CASE_SETTING`] where it needs it.
pub(super) fn with_case_setting(statement: String) -> String {
    if has_upper_case_name(&statement) {
        format!("{CASE_SETTING}; {statement}")
    } else {
        statement
    }
}

/// An expression for the text; its value does not depend on whether a backslash is an escape.
pub(super) fn literal(text: &str) -> String {
    let parts: Vec<String> = text
        .split('\\')
        .map(|part| format!("'{}'", part.replace('\'', "''")))
        .collect();
    if parts.len() == 1 {
        parts.concat()
    } else {
        format!("({})", parts.join(" || chr(92) || "))
    }
}

/// `'…'` where SQL accepts only a literal; `None` if the text needs an expression.
pub(super) fn plain_literal(text: &str) -> Option<String> {
    (!text.contains(['\\', '\0'])).then(|| format!("'{}'", text.replace('\'', "''")))
}

/// Whether a setting's name can be part of a statement.
pub(super) fn is_setting_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_are_quoted() {
        assert_eq!(ident("a\"b'; DROP"), "\"a\"\"b'; DROP\"");
        assert_eq!(literal("O'Hara"), "'O''Hara'");
        assert_eq!(literal("a\\'; --"), "('a' || chr(92) || '''; --')");
        assert_eq!(plain_literal("a\\b"), None);
    }

    #[test]
    fn upper_case_counts_in_quoted_names_only() {
        for statement in [
            "GRANT SELECT ON TABLE \"Shop\".\"t\" TO \"app\"",
            "ALTER TABLE \"a\"\"B\" OWNER TO \"app\"",
            "SET x TO 'it''s'; GRANT USAGE ON SCHEMA \"É\" TO \"app\"",
        ] {
            assert!(has_upper_case_name(statement), "{statement}");
            let shown = with_case_setting(statement.to_owned());
            assert_eq!(shown, format!("{CASE_SETTING}; {statement}"));
        }
        for statement in [
            "ALTER USER \"app\" SET query_group TO 'Quick \"Name'",
            "GRANT SELECT ON TABLE \"shop\".\"t\" TO \"app\"",
        ] {
            assert!(!has_upper_case_name(statement), "{statement}");
        }
    }

    #[test]
    fn a_name_that_the_server_would_change_is_refused() {
        assert!(check_user_name(&"x".repeat(127)).is_ok());
        assert!(check_user_name(&"x".repeat(128)).is_err());
        assert!(check_user_name(&"ü".repeat(64)).is_err(), "128 bytes");
        for name in ["", "a\0b", "Public"] {
            assert!(check_user_name(name).is_err(), "{name:?}");
        }
    }
}
