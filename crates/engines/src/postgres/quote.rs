//! Names and values in SQL text. Everything is quoted always: what needs no quotes is not ours to know.

use crate::{EngineError, name};

/// NAMEDATALEN - 1 in bytes; a longer name would be cut off silently and be somebody else's.
const NAME_LIMIT: usize = 63;

/// Whether this can be a user's name here.
pub(super) fn check_user_name(name: &str) -> Result<(), EngineError> {
    name::check(name, NAME_LIMIT, "PostgreSQL")?;
    // The driver sends the name inside the SCRAM exchange too, prepared and unescaped (RFC 5802,
    // section 5.1, would have it escaped): the server refuses a comma there, the driver the rest.
    if name.contains(',') || stringprep::saslprep(&format!("n={name}")).is_err() {
        return name::refuse(
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

/// `'a''b'`, for sessions with `standard_conforming_strings` on, which ours are.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The settings whose stored value is a list of quoted names (GUC_LIST_QUOTE), as pg_dump knows
/// them: variable_is_guc_list_quote() in src/bin/pg_dump/dumputils.c.
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// The right-hand side of `SET name TO …` that stores `value` again.
pub(super) fn setting_value(name: &str, value: &str) -> String {
    if LISTS.contains(&name.to_ascii_lowercase().as_str()) {
        let elements: Vec<String> = list_elements(value).iter().map(|e| literal(e)).collect();
        elements.join(", ")
    } else {
        literal(value)
    }
}

/// The names in `"$user", public, "a, ""b"`. Never empty: an empty list is one empty name.
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
    fn a_name_is_only_a_name_whatever_it_holds() {
        assert_eq!(ident("a\"b'; DROP"), "\"a\"\"b'; DROP\"");
        assert_eq!(literal("O'Hara\\"), "'O''Hara\\'");
    }

    #[test]
    fn a_name_that_the_server_would_cut_off_is_refused() {
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
    fn a_search_path_is_a_list_of_names_and_a_time_limit_one_value() {
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
