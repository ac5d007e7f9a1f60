//! JSON documents of secrets, with the fields that AWS documents for each engine (Secrets Manager
//! user guide, "JSON structure of Secrets Manager secrets").
//!
//! # Failure modes
//! - A rotation drops, reorders or reformats an unknown field. A new document is the old text with
//!   the two string values of `username` and `password` replaced.
//! - An error message quotes the document. Messages name fields, never values.
//! - A key exists twice, and readers disagree on its value. The document is refused.
//! - `port` is a number in current documentation and a string in older ones. Both are read.
//! - `host` has the form of another tool: a port, a list, a URL. Each form has its own error.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserializer;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Sensitive;
use crate::code::{Code, Diagnostic};

mod copies;
mod host;

pub use self::host::WrongHost;

/// The largest value of a version, in bytes (Secrets Manager, "Quotas").
pub const MAX_BYTES: usize = 65_536;

/// A well-formed secret document: the original text and the positions of its two credentials.
#[derive(Debug, Clone)]
pub struct Document {
    text: Sensitive,
    password: Sensitive,
    fields: Fields,
    /// The positions of the values of `username` and `password` in the text, quotes included.
    spans: [Range<usize>; 2],
}

/// Fields of a document that are not secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    /// As written, for example `postgres` or `aurora-postgresql`.
    pub engine: Option<String>,
    pub host: Option<String>,
    pub port: Option<u16>,
    pub username: String,
    pub dbname: Option<String>,
    /// The ARN or name of the master secret.
    pub master_arn: Option<String>,
    /// `ssl`, given as a boolean or as the strings `"true"` and `"false"`.
    pub ssl: Option<bool>,
    pub db_instance_identifier: Option<String>,
    pub db_cluster_identifier: Option<String>,
    /// `workgroupName`: Redshift Serverless.
    pub workgroup_name: Option<String>,
}

/// Error of a text that is no secret document. Names fields, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    #[error("the secret is not a JSON object (line {line}, column {column})")]
    NotAnObject { line: usize, column: usize },
    #[error("the secret's field `{field}` exists twice")]
    Duplicate { field: String },
    #[error("the secret lacks the field {}", names(.fields))]
    Missing { fields: Vec<&'static str> },
    #[error("the secret's field `{field}` must be {expected}")]
    Wrong {
        field: &'static str,
        expected: &'static str,
    },
    #[error("the secret's field `host` {}", .0.reason())]
    Host(WrongHost),
    #[error(
        "the secret's field `{field}` contains the user's password too, and a rotation does not change it"
    )]
    Copy { field: String },
    #[error(
        "the secret's next version would have {bytes} bytes; a version has at most {MAX_BYTES}"
    )]
    TooLong { bytes: usize },
}

fn names(fields: &[&str]) -> String {
    let quoted: Vec<String> = fields.iter().map(|f| format!("`{f}`")).collect();
    quoted.join(", ")
}

impl Diagnostic for DocumentError {
    fn code(&self) -> Code {
        Code::SecretMalformed
    }

    fn hint(&self) -> String {
        match self {
            Self::NotAnObject { .. } => "store a JSON object such as {\"engine\":\"postgres\",\"host\":…,\"username\":…,\"password\":…}".into(),
            Self::Duplicate { field } => format!("keep one `{field}` in the secret and store it again"),
            Self::Missing { fields } => format!("add {} to the secret and store it again", names(fields)),
            Self::Wrong { field, expected } => format!("make `{field}` {expected} in the secret and store it again"),
            Self::Host(form) => form.hint().into(),
            Self::Copy { field } => format!("remove `{field}` from the secret; let applications compose it from `username`, `password`, `host` and `port`"),
            Self::TooLong { bytes } => format!("shorten the other fields of the secret by at least {} bytes and store it again", bytes - MAX_BYTES),
        }
    }
}

impl Document {
    /// Parses a document. `username` and `password` must exist and not be empty.
    ///
    /// # Errors
    /// [`DocumentError`], which names the field and never quotes a value.
    pub fn parse(text: Sensitive) -> Result<Self, DocumentError> {
        let raw = RawFields::read(text.expose_secret())?;
        let missing: Vec<&'static str> = ["username", "password"]
            .into_iter()
            .filter(|f| !raw.0.contains_key(*f))
            .collect();
        if !missing.is_empty() {
            return Err(DocumentError::Missing { fields: missing });
        }
        let password = raw.required("password").map(SecretString::from)?;
        let fields = Fields {
            engine: raw.string("engine")?,
            host: raw.host()?,
            port: raw.port()?,
            username: raw.required("username")?,
            dbname: raw.string("dbname")?,
            master_arn: raw.string("masterarn")?,
            ssl: raw.boolean("ssl")?,
            db_instance_identifier: raw.string("dbInstanceIdentifier")?,
            db_cluster_identifier: raw.string("dbClusterIdentifier")?,
            workgroup_name: raw.string("workgroupName")?,
        };
        let spans = ["username", "password"].map(|f| raw.span(text.expose_secret(), f));
        Ok(Self {
            password,
            fields,
            spans,
            text,
        })
    }

    /// The fields that are not secret.
    #[must_use]
    pub const fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The whole text, for the store.
    #[must_use]
    pub const fn text(&self) -> &Sensitive {
        &self.text
    }

    /// The password.
    #[must_use]
    pub const fn password(&self) -> &Sensitive {
        &self.password
    }

    /// The document with other values of `username` and `password`. Every other byte is unchanged.
    ///
    /// # Errors
    /// The errors of [`Document::parse`] for new values such as an empty name or a NUL.
    pub fn with_credentials(
        &self,
        username: &str,
        password: &Sensitive,
    ) -> Result<Self, DocumentError> {
        let [user_span, password_span] = self.spans.clone();
        let mut edits = [
            (user_span, username),
            (password_span, password.expose_secret()),
        ];
        edits.sort_by_key(|(span, _)| span.start);
        let old = self.text.expose_secret();
        let mut text = String::with_capacity(old.len() + 2 * (username.len() + 64));
        let mut from = 0;
        for (span, value) in edits {
            text.push_str(&old[from..span.start]);
            text.push_str(&serde_json::Value::from(value).to_string());
            from = span.end;
        }
        text.push_str(&old[from..]);
        Self::parse(SecretString::from(text))
    }

    /// The size in bytes with another user name, and with a password of `password` ASCII characters
    /// that JSON does not escape.
    #[must_use]
    pub fn size_with(&self, username: &str, password: usize) -> usize {
        let [user_span, password_span] = &self.spans;
        let username = serde_json::Value::from(username).to_string().len();
        self.text.expose_secret().len() - user_span.len() - password_span.len()
            + username
            + password
            + "\"\"".len()
    }

    /// Whether two documents agree except for `username` and `password`. Values are compared as
    /// JSON; numbers out of range are compared as text.
    #[must_use]
    pub fn same_but_for_credentials(&self, other: &Self) -> bool {
        let [one, two] = [self, other].map(|d| RawFields::read(d.text.expose_secret()));
        match (one, two) {
            (Ok(one), Ok(two)) => one.other_values() == two.other_values(),
            _ => false,
        }
    }
}

/// The top-level fields, borrowed from the text.
struct RawFields<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> RawFields<'a> {
    fn read(text: &'a str) -> Result<Self, DocumentError> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let mut duplicate = None;
        let read = reader
            .deserialize_map(FieldsVisitor(&mut duplicate))
            .and_then(|fields| reader.end().map(|()| fields));
        match read {
            Ok(fields) => Ok(Self(fields)),
            Err(error) => Err(match duplicate {
                Some(field) => DocumentError::Duplicate { field },
                None => DocumentError::NotAnObject {
                    line: error.line(),
                    column: error.column(),
                },
            }),
        }
    }

    fn other_values(&self) -> BTreeMap<&str, Result<serde_json::Value, &str>> {
        let others = self.0.iter().filter(|(name, _)| {
            let name = name.as_str();
            name != "username" && name != "password"
        });
        others
            .map(|(name, raw)| {
                let value = serde_json::from_str(raw.get()).map_err(|_| raw.get());
                (name.as_str(), value)
            })
            .collect()
    }

    /// An optional string; absent, null and empty (as consoles store it) are `None`.
    fn string(&self, field: &'static str) -> Result<Option<String>, DocumentError> {
        let Some(raw) = self.0.get(field) else {
            return Ok(None);
        };
        serde_json::from_str::<Option<String>>(raw.get())
            .map(|s| s.filter(|s| !s.is_empty()))
            .map_err(|_| DocumentError::Wrong {
                field,
                expected: "a string",
            })
    }

    fn host(&self) -> Result<Option<String>, DocumentError> {
        let host = self.string("host")?;
        match host.as_deref().and_then(host::wrong_form) {
            Some(form) => Err(DocumentError::Host(form)),
            None => Ok(host),
        }
    }

    fn required(&self, field: &'static str) -> Result<String, DocumentError> {
        let value = self.string(field)?.ok_or(DocumentError::Wrong {
            field,
            expected: "a string that is not empty",
        })?;
        if value.contains('\0') {
            return Err(DocumentError::Wrong {
                field,
                expected: "free of NUL characters",
            });
        }
        Ok(value)
    }

    /// The position of an existing field's value in `text`, from which the fields were read.
    fn span(&self, text: &str, field: &str) -> Range<usize> {
        self.0.get(field).map_or(0..0, |raw| {
            let start = raw.get().as_ptr() as usize - text.as_ptr() as usize;
            start..start + raw.get().len()
        })
    }

    fn port(&self) -> Result<Option<u16>, DocumentError> {
        let wrong = DocumentError::Wrong {
            field: "port",
            expected: "a number from 1 to 65535",
        };
        let Some(raw) = self.0.get("port") else {
            return Ok(None);
        };
        let value: serde_json::Value =
            serde_json::from_str(raw.get()).map_err(|_| wrong.clone())?;
        let port = match &value {
            serde_json::Value::Null => return Ok(None),
            serde_json::Value::String(s) if s.is_empty() => return Ok(None),
            serde_json::Value::String(s) => s.trim().parse::<u16>().ok(),
            other => other.as_u64().and_then(|n| u16::try_from(n).ok()),
        };
        port.filter(|p| *p != 0).map(Some).ok_or(wrong)
    }

    fn boolean(&self, field: &'static str) -> Result<Option<bool>, DocumentError> {
        let wrong = DocumentError::Wrong {
            field,
            expected: "true or false",
        };
        let Some(raw) = self.0.get(field) else {
            return Ok(None);
        };
        match serde_json::from_str::<serde_json::Value>(raw.get()) {
            Ok(serde_json::Value::Null) => Ok(None),
            Ok(serde_json::Value::Bool(b)) => Ok(Some(b)),
            Ok(serde_json::Value::String(s)) if s.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Ok(serde_json::Value::String(s)) if s.eq_ignore_ascii_case("false") => Ok(Some(false)),
            _ => Err(wrong),
        }
    }
}

struct FieldsVisitor<'t>(&'t mut Option<String>);

impl<'de> Visitor<'de> for FieldsVisitor<'_> {
    type Value = BTreeMap<String, &'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut fields = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
            if fields.insert(key.clone(), value).is_some() {
                *self.0 = Some(key);
                return Err(serde::de::Error::custom("a field exists twice"));
            }
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests;
