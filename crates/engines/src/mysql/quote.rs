//! Names and values in SQL text, which are always quoted.
//!
//! `connect.rs` sets `NO_BACKSLASH_ESCAPES` and unsets `ANSI_QUOTES` in the admin session, so a
//! backslash is only a character, and there is one way to quote names and one for texts.

use crate::EngineError;

/// Checks that a server with this limit of characters allows the user name.
pub(super) fn check_user_name(name: &str, limit: usize) -> Result<(), EngineError> {
    let refuse = |reason: String| {
        Err(EngineError::UserName {
            name: name.to_owned(),
            reason,
        })
    };
    if name.is_empty() {
        return refuse("it is empty, which would be the anonymous user".into());
    }
    if name.contains('\0') {
        return refuse("it holds a NUL character".into());
    }
    if name.ends_with(' ') {
        return refuse("it ends with a space, which the server does not keep".into());
    }
    if name.chars().any(|c| u32::from(c) > 0xFFFF) {
        return refuse("it holds a character beyond U+FFFF, which names here cannot hold".into());
    }
    let length = name.chars().count();
    if length > limit {
        return refuse(format!(
            "it has {length} characters, and the server takes at most {limit}"
        ));
    }
    Ok(())
}

/// A name in backquotes.
pub(super) fn ident(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text in quotes, under `NO_BACKSLASH_ESCAPES`.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_of_any_kind_is_only_a_character() {
        assert_eq!(ident("a`b"), "`a``b`");
        assert_eq!(ident(r#"a"b'; DROP \"#), r#"`a"b'; DROP \`"#);
        assert_eq!(literal(r"it's\"), r"'it''s\'");
    }

    #[test]
    fn a_name_that_the_server_would_change_is_refused() {
        for name in ["", "a\0b", "a ", "😀", &"x".repeat(33)] {
            check_user_name(name, 32).unwrap_err();
        }
        for name in [&"x".repeat(32), " a", "ünï", "a'b`c\"d\\"] {
            check_user_name(name, 32).unwrap();
        }
    }
}
