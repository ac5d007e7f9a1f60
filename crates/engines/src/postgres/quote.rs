//! Names and values in SQL text, which are always quoted.

use crate::{EngineError, user_name};

/// NAMEDATALEN - 1 in bytes. The server truncates a longer name, which may then be another user's.
const NAME_LIMIT: usize = 63;

/// Checks that PostgreSQL allows this user name.
pub(super) fn check_user_name(name: &str) -> Result<(), EngineError> {
    user_name::check(name, NAME_LIMIT, "PostgreSQL")?;
    // The driver also sends the name in the SCRAM exchange, prepared but not escaped as RFC 5802,
    // section 5.1, requires. There the server refuses a comma, and the driver the other characters.
    if name.contains(',') || stringprep::saslprep(&format!("n={name}")).is_err() {
        return user_name::refuse(
            name,
            "it holds a comma or a character that SCRAM cannot carry",
        );
    }
    Ok(())
}

/// `"a""b"`
pub(super) fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `'a''b'`, for sessions with `standard_conforming_strings`, as [`super::connect`] sets it.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// `E'a''b\\\\c'`, which does not depend on `standard_conforming_strings`.
pub(super) fn any_literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', r"\\").replace('\'', "''"))
}

/// Settings whose stored value is a list of quoted names (GUC_LIST_QUOTE), as in pg_dump:
/// variable_is_guc_list_quote() in src/bin/pg_dump/dumputils.c.
const LIST_SETTINGS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// The right-hand side of `SET name TO …` that stores this value.
pub(super) fn setting_value(name: &str, value: &str) -> String {
    if LIST_SETTINGS.contains(&name.to_ascii_lowercase().as_str()) {
        let elements: Vec<String> = list_elements(value).iter().map(|e| literal(e)).collect();
        elements.join(", ")
    } else {
        literal(value)
    }
}

/// The names in `"$user", public, "a, ""b"`. An empty list is one empty name.
pub(crate) fn list_elements(value: &str) -> Vec<String> {
    let mut elements = vec![String::new()];
    let mut quoted = false;
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                push(&mut elements, '"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => elements.push(String::new()),
            c if !quoted && c.is_whitespace() => {}
            c => push(&mut elements, c),
        }
    }
    elements
}

fn push(elements: &mut [String], c: char) {
    if let Some(last) = elements.last_mut() {
        last.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn any_name_is_only_a_name() {
        assert_eq!(ident("a\"b'; DROP"), "\"a\"\"b'; DROP\"");
        assert_eq!(literal("O'Hara\\"), "'O''Hara\\'");
    }

    #[test]
    fn a_name_that_the_server_would_truncate_is_refused() {
        assert!(check_user_name(&"x".repeat(63)).is_ok());
        assert!(check_user_name(&"x".repeat(64)).is_err());
        assert!(check_user_name(&"ü".repeat(32)).is_err(), "64 bytes");
        assert!(check_user_name("a\0b").is_err());
        assert!(check_user_name("").is_err());
    }

    #[test]
    fn a_name_that_could_never_sign_in_is_refused() {
        assert!(check_user_name("a,b").is_err());
        assert!(check_user_name("a\u{7}b").is_err());
        assert!(check_user_name("a=b").is_ok());
    }

    #[test]
    fn a_search_path_is_a_list_of_names() {
        let path = r#""$user", public, "a, ""b""#;
        assert_eq!(
            setting_value("search_path", path),
            r#"'$user', 'public', 'a, "b'"#
        );
        assert_eq!(setting_value("search_path", "\"\""), "''");
        assert_eq!(setting_value("DateStyle", "ISO, MDY"), "'ISO, MDY'");
    }

    proptest! {
        #[test]
        fn any_list_of_names_is_read_back(names in prop::collection::vec("[^\u{0}]{1,8}", 1..4)) {
            let stored: Vec<String> = names.iter().map(|name| ident(name)).collect();
            prop_assert_eq!(list_elements(&stored.join(", ")), names);
        }
    }
}
