//! Names and values in SQL text. Everything is quoted always: what needs no quotes is not ours to know.
//!
//! What can go wrong, and what prevents it:
//! - a name in capitals is folded, and somebody else's: a user's name in quotes keeps its case whatever
//!   the cluster's settings (CREATE USER in the developer guide), so names are taken as the secret has
//!   them, and a user who was made without quotes has to be written in lower case there;
//! - a backslash begins an escape on one server and is a character on another: none ever stands in a
//!   text of ours, it is written as `chr(92)`.

use crate::{EngineError, name};

/// "Names and identifiers" in the Redshift developer guide, in bytes.
const NAME_LIMIT: usize = 127;

/// Whether this can be a user's name here.
pub(super) fn check_user_name(name: &str) -> Result<(), EngineError> {
    name::check(name, NAME_LIMIT, "Redshift")?;
    if name.eq_ignore_ascii_case("public") {
        return name::refuse(name, "PUBLIC is everybody");
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

/// An expression whose value is the text, on servers that take a backslash for an escape and on those
/// that do not.
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

/// `'…'` where only a plain text may stand; `None` for one that cannot be written so.
pub(super) fn plain_literal(text: &str) -> Option<String> {
    (!text.contains(['\\', '\0'])).then(|| format!("'{}'", text.replace('\'', "''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_only_a_name_whatever_it_holds() {
        assert_eq!(ident("a\"b'; DROP"), "\"a\"\"b'; DROP\"");
        assert_eq!(literal("O'Hara"), "'O''Hara'");
        assert_eq!(literal("a\\'; --"), "('a' || chr(92) || '''; --')");
        assert_eq!(plain_literal("a\\b"), None);
    }

    #[test]
    fn a_name_that_the_server_would_not_keep_is_refused() {
        assert!(check_user_name(&"x".repeat(127)).is_ok());
        assert!(check_user_name(&"x".repeat(128)).is_err());
        assert!(check_user_name(&"ü".repeat(64)).is_err(), "128 bytes");
        for name in ["", "a\0b", "Public"] {
            assert!(check_user_name(name).is_err(), "{name:?}");
        }
    }
}
