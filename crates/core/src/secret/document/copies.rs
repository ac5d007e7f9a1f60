//! Copies of the credentials in other fields, such as a connection URL.
//!
//! # Failure modes
//! - A rotation leaves a copy as it is. Applications that read it use an old password, and the
//!   server refuses it after the next rotation. A document with a copy is refused.
//! - A copy was outdated by an earlier rotation, and holds another password. A URL or connection
//!   string with one of the pair's users and any password is a copy too.
//! - A field holds the word that happens to be a short password. Short passwords count only in a
//!   URL.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use secrecy::ExposeSecret;
use serde_json::Value;

use super::{Document, RawFields};
use crate::secret::pair::Pair;

/// The shortest password, in bytes, that is looked for in any text.
const MIN_PASSWORD: usize = 8;
/// Names of the user and the password in connection strings (libpq, JDBC, ODBC, ADO.NET).
const USER_KEYS: [&str; 4] = ["user", "username", "uid", "user id"];
const PASSWORD_KEYS: [&str; 2] = ["password", "pwd"];
/// Fields that are read, and that a run renews or compares.
const OWN_FIELDS: [&str; 11] = [
    "engine",
    "host",
    "port",
    "username",
    "password",
    "dbname",
    "masterarn",
    "ssl",
    "dbInstanceIdentifier",
    "dbClusterIdentifier",
    "workgroupName",
];

impl Document {
    /// The first field besides `username` and `password` that contains credentials of the pair.
    #[must_use]
    pub fn copy_of_credentials(&self, pair: &Pair) -> Option<String> {
        let fields = RawFields::read(self.text.expose_secret()).ok()?;
        let password = self.password.expose_secret();
        let is_copy = |text: &str| {
            let text: Cow<'_, str> = percent_decode_str(text).decode_utf8_lossy();
            (password.len() >= MIN_PASSWORD && text.contains(password))
                || [&pair.base, &pair.clone]
                    .iter()
                    .any(|user| has_credentials(&text, user))
        };
        fields
            .0
            .iter()
            .filter(|(name, _)| !OWN_FIELDS.contains(&name.as_str()))
            .find(|(_, raw)| {
                serde_json::from_str(raw.get()).is_ok_and(|value| any_text(&value, &is_copy))
            })
            .map(|(name, _)| name.clone())
    }
}

fn any_text(value: &Value, is_copy: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => is_copy(text),
        Value::Array(values) => values.iter().any(|value| any_text(value, is_copy)),
        Value::Object(fields) => fields.values().any(|value| any_text(value, is_copy)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether the text is a URL (`scheme://user:password@…`) or a connection string
/// (`user=… password=…`) with this user and a password.
fn has_credentials(text: &str, user: &str) -> bool {
    let in_url = text.split("://").skip(1).any(|rest| {
        rest.rsplit_once('@')
            .and_then(|(info, _)| info.split_once(':'))
            .is_some_and(|(name, password)| name == user && !password.is_empty())
    });
    let pairs = || {
        // A space separates fields in libpq's form, and is a part of a key in that of ADO.NET.
        text.split([';', '?', '&', '\n'])
            .chain(text.split(['?', '&', ' ', '\n']))
            .filter_map(|part| part.split_once('='))
            .map(|(key, value)| (key.trim().to_ascii_lowercase(), value.trim()))
    };
    let has_user = pairs()
        .any(|(key, value)| USER_KEYS.contains(&key.as_str()) && value.trim_matches('\'') == user);
    let has_password =
        pairs().any(|(key, value)| PASSWORD_KEYS.contains(&key.as_str()) && !value.is_empty());
    in_url || (has_user && has_password)
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;
    use serde_json::json;

    use super::*;

    fn copy(password: &str, field: &str, value: Value) -> Option<String> {
        let mut document = json!({"username": "app", "password": password, "dbname": "shop"});
        document[field] = value;
        let document = Document::parse(SecretString::from(document.to_string())).unwrap();
        document.copy_of_credentials(&Pair::of("app", "_clone"))
    }

    #[test]
    fn a_copy_of_the_password_is_found_in_any_form() {
        for value in [
            json!("postgres://app:secret%2F1234@db:5432/shop"),
            json!("secret/1234"),
            json!({"inner": ["host=db password=secret/1234"]}),
            json!("jdbc:postgresql://db/shop?user=app&password=secret/1234"),
        ] {
            let found = copy("secret/1234", "url", value.clone());
            assert_eq!(found.as_deref(), Some("url"), "{value}");
        }
    }

    #[test]
    fn an_outdated_copy_is_found_by_the_name_of_a_user() {
        for value in [
            "postgres://app:older@db/shop",
            "mysql://app_clone:older@db/shop",
            "host=db user='app' password=older",
            "Server=db;User Id=app;Pwd=older",
        ] {
            let found = copy("x", "url", json!(value));
            assert_eq!(found.as_deref(), Some("url"), "{value}");
        }
    }

    #[test]
    fn other_fields_are_no_copies() {
        for (field, value) in [
            ("url", json!("postgres://db:5432/shop")),
            ("url", json!("postgres://app@db:5432/shop")),
            ("cache", json!("redis://other:word@cache")),
            ("note", json!("shop")),
            ("note", json!("user=other password=word")),
            ("n", json!(7)),
        ] {
            assert_eq!(copy("shop", field, value.clone()), None, "{value}");
        }
        // The database has the name that is also a long password.
        assert_eq!(copy("long-enough", "dbname", json!("long-enough")), None);
    }
}
