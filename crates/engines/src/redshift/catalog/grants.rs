//! Privileges on objects: parsing them from the catalog and writing GRANT and REVOKE statements.
//!
//! # Failure modes
//! - A GRANT for thousands of tables exceeds the statement size. Equal grants are combined, with at
//!   most [`OBJECTS_PER_STATEMENT`] objects in one statement.
//! - A word of the catalog injects SQL. Privileges must be in a list or consist of letters, and
//!   argument types consist of letters, digits and a few signs.
//! - An unknown privilege is lost silently. It becomes a finding.

use std::collections::BTreeMap;

use crate::redshift::quote::{ident, qualified};

/// Maximum number of objects in one statement.
const OBJECTS_PER_STATEMENT: usize = 50;

/// An object of privileges; the variants are in the order in which they are granted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::redshift) enum Object {
    Database(String),
    /// `FOR scope IN DATABASE`
    InDatabase {
        database: String,
        scope: String,
    },
    Schema(String),
    /// `FOR scope IN SCHEMA`
    InSchema {
        schema: String,
        scope: String,
    },
    /// A table or view.
    Relation {
        schema: String,
        name: String,
    },
    Column {
        schema: String,
        relation: String,
        name: String,
    },
    Function {
        schema: String,
        name: String,
        arguments: String,
    },
    Procedure {
        schema: String,
        name: String,
        arguments: String,
    },
    Language(String),
    Model {
        schema: String,
        name: String,
    },
    /// `CREATE MODEL`, a privilege without an object.
    Models,
}

/// Privileges on one object, each with its grant option.
pub(in crate::redshift) type PrivilegeSet = BTreeMap<String, bool>;
pub(in crate::redshift) type Grants = BTreeMap<Object, PrivilegeSet>;

/// Privileges of PostgreSQL that the catalog may contain, but Redshift cannot grant.
const IGNORED: [&str; 2] = ["RULE", "TRIGGER"];

/// A privilege as read from the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::redshift) enum ParsedPrivilege {
    Known(String),
    /// A privilege without effect.
    Ignored,
    /// A privilege that twinkey cannot copy.
    Unknown,
}

impl Object {
    /// Parses a privilege on this object.
    pub(in crate::redshift) fn parse_privilege(&self, privilege: &str) -> ParsedPrivilege {
        if let Self::Function { arguments, .. } | Self::Procedure { arguments, .. } = self
            && !is_types(arguments)
        {
            return ParsedPrivilege::Unknown;
        }
        let known: &[&str] = match self {
            Self::Database(_) => &["CREATE", "TEMP", "USAGE", "ALTER"],
            Self::Schema(_) => &["CREATE", "USAGE", "ALTER", "DROP"],
            Self::Relation { .. } => &[
                "SELECT",
                "INSERT",
                "UPDATE",
                "DELETE",
                "REFERENCES",
                "DROP",
                "ALTER",
                "TRUNCATE",
            ],
            Self::Column { .. } => &["SELECT", "UPDATE"],
            Self::Function { .. } | Self::Procedure { .. } | Self::Model { .. } => &["EXECUTE"],
            Self::Language(_) => &["USAGE"],
            Self::Models => &["CREATE MODEL"],
            Self::InDatabase { .. } | Self::InSchema { .. } => &[],
        };
        let word = privilege.trim().to_ascii_uppercase();
        let word = if word == "TEMPORARY" { "TEMP" } else { &word };
        let scoped = matches!(self, Self::InDatabase { .. } | Self::InSchema { .. });
        if known.contains(&word) || scoped && is_words(word) && !word.is_empty() {
            ParsedPrivilege::Known(word.to_owned())
        } else if IGNORED.contains(&word) {
            ParsedPrivilege::Ignored
        } else {
            ParsedPrivilege::Unknown
        }
    }

    /// The grantable privileges of an owner: those that svv_* views are documented to contain, and
    /// the others.
    pub(in crate::redshift) const fn owner_privileges(
        &self,
        view: bool,
    ) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::Database(_) => (&["CREATE", "TEMP"], &[]),
            Self::Schema(_) => (&["CREATE", "USAGE"], &[]),
            Self::Relation { .. } if view => (&["SELECT", "DROP"], &[]),
            Self::Relation { .. } => (
                &["SELECT", "INSERT", "UPDATE", "DELETE", "REFERENCES", "DROP"],
                UNDOCUMENTED_ON_TABLES,
            ),
            Self::Function { .. } | Self::Procedure { .. } | Self::Model { .. } => {
                (&["EXECUTE"], &[])
            }
            Self::Language(_) => (&["USAGE"], &[]),
            Self::Column { .. }
            | Self::InDatabase { .. }
            | Self::InSchema { .. }
            | Self::Models => (&[], &[]),
        }
    }

    /// Whether an owner needs no grant of this privilege, which is not one of
    /// [`Self::owner_privileges`].
    pub(in crate::redshift) fn is_owners(&self, privilege: &str) -> bool {
        match self {
            Self::Database(_) => privilege == "ALTER",
            Self::Schema(_) => ["ALTER", "DROP"].contains(&privilege),
            _ => false,
        }
    }

    /// `ALTER TABLE "s"."t" OWNER TO "app"`
    pub(in crate::redshift) fn change_owner_statement(&self, to: &str) -> Option<String> {
        let what = match self {
            Self::Database(name) => format!("DATABASE {}", ident(name)),
            Self::Schema(name) => format!("SCHEMA {}", ident(name)),
            Self::Relation { schema, name } => format!("TABLE {}", qualified(schema, name)),
            Self::Function { .. } => format!("FUNCTION {}", self.name()),
            Self::Procedure { .. } => format!("PROCEDURE {}", self.name()),
            _ => return None,
        };
        Some(format!("ALTER {what} OWNER TO {}", ident(to)))
    }

    /// `ON TABLE "s"."t"`
    pub(in crate::redshift) fn shown(&self) -> String {
        let (on, _) = self.on_clause();
        format!("{on} {}", self.name()).trim().to_owned()
    }

    fn name(&self) -> String {
        match self {
            Self::Database(name) | Self::Schema(name) | Self::Language(name) => ident(name),
            Self::Relation { schema, name } | Self::Model { schema, name } => {
                qualified(schema, name)
            }
            Self::Column {
                schema, relation, ..
            } => qualified(schema, relation),
            Self::Function {
                schema,
                name,
                arguments,
            }
            | Self::Procedure {
                schema,
                name,
                arguments,
            } => format!("{}({arguments})", qualified(schema, name)),
            Self::InDatabase { database, .. } => ident(database),
            Self::InSchema { schema, .. } => ident(schema),
            Self::Models => String::new(),
        }
    }

    /// The words before the names, and the maximum number of names.
    fn on_clause(&self) -> (String, usize) {
        match self {
            // One per statement: a datashare's database would fail the others too.
            Self::Database(_) => ("ON DATABASE".into(), 1),
            Self::Schema(_) => ("ON SCHEMA".into(), OBJECTS_PER_STATEMENT),
            Self::Relation { .. } => ("ON TABLE".into(), OBJECTS_PER_STATEMENT),
            Self::Column { .. } => ("ON TABLE".into(), 1),
            Self::Function { .. } => ("ON FUNCTION".into(), OBJECTS_PER_STATEMENT),
            Self::Procedure { .. } => ("ON PROCEDURE".into(), OBJECTS_PER_STATEMENT),
            Self::Language(_) => ("ON LANGUAGE".into(), 1),
            Self::Model { .. } => ("ON MODEL".into(), 1),
            Self::InDatabase { scope, .. } => (format!("FOR {scope} IN DATABASE"), 1),
            Self::InSchema { scope, .. } => (format!("FOR {scope} IN SCHEMA"), 1),
            Self::Models => (String::new(), 1),
        }
    }
}

/// Privileges on tables that are missing in the documentation of the views.
pub(in crate::redshift) const UNDOCUMENTED_ON_TABLES: &[&str] = &["ALTER", "TRUNCATE"];

/// Letters and spaces.
pub(in crate::redshift) fn is_words(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphabetic() || c == ' ')
}

/// `integer, character varying(20)`
fn is_types(text: &str) -> bool {
    text.chars().all(|c| {
        c.is_ascii_alphanumeric() || matches!(c, ' ' | ',' | '_' | '(' | ')' | '[' | ']' | '"')
    })
}

/// The kind of a GRANT or REVOKE statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redshift) enum GrantChange {
    Grant {
        option: bool,
    },
    Revoke,
    /// Revokes only the grant option.
    RevokeOption,
}

/// The statements that apply `change` for `user` to these privileges.
pub(in crate::redshift) fn statements(
    change: GrantChange,
    on: &BTreeMap<Object, Vec<String>>,
    user: &str,
) -> Vec<String> {
    let mut texts = Vec::new();
    let entries: Vec<(&Object, String)> = grouped(on);
    for equal in entries.chunk_by(|(one, text), (next, next_text)| {
        one.on_clause() == next.on_clause() && text == next_text
    }) {
        let Some((object, privileges)) = equal.first() else {
            continue;
        };
        let (on, limit) = object.on_clause();
        for some in equal.chunks(limit) {
            let names: Vec<String> = some.iter().map(|(object, _)| object.name()).collect();
            let on = format!("{on} {}", names.join(", "));
            texts.push(change.text(privileges, on.trim(), user));
        }
    }
    texts
}

/// Objects with their privileges as text. Objects with equal privileges are adjacent, and the
/// columns of one relation are combined.
fn grouped(on: &BTreeMap<Object, Vec<String>>) -> Vec<(&Object, String)> {
    let mut columns: BTreeMap<(&String, &String, &String), (&Object, Vec<String>)> =
        BTreeMap::new();
    let mut entries = Vec::new();
    for (object, privileges) in on {
        if let Object::Column {
            schema,
            relation,
            name,
        } = object
        {
            for privilege in privileges {
                let of = columns
                    .entry((schema, relation, privilege))
                    .or_insert_with(|| (object, Vec::new()));
                of.1.push(ident(name));
            }
        } else {
            entries.push((object, privileges.join(", ")));
        }
    }
    let of_columns = columns
        .into_iter()
        .map(|((.., privilege), (object, names))| {
            (object, format!("{privilege} ({})", names.join(", ")))
        });
    entries.extend(of_columns);
    entries.sort_by(|(one, text), (next, next_text)| {
        (rank(one), text, one).cmp(&(rank(next), next_text, next))
    });
    entries
}

/// The position of the object's variant in the enum.
fn rank(object: &Object) -> usize {
    match object {
        Object::Database(_) => 0,
        Object::InDatabase { .. } => 1,
        Object::Schema(_) => 2,
        Object::InSchema { .. } => 3,
        Object::Relation { .. } => 4,
        Object::Column { .. } => 5,
        Object::Function { .. } => 6,
        Object::Procedure { .. } => 7,
        Object::Language(_) => 8,
        Object::Model { .. } => 9,
        Object::Models => 10,
    }
}

impl GrantChange {
    fn text(self, privileges: &str, on: &str, user: &str) -> String {
        let user = ident(user);
        let on = if on.is_empty() {
            String::new()
        } else {
            format!(" {on}")
        };
        match self {
            Self::Grant { option: false } => format!("GRANT {privileges}{on} TO {user}"),
            Self::Grant { option: true } => {
                format!("GRANT {privileges}{on} TO {user} WITH GRANT OPTION")
            }
            Self::Revoke => format!("REVOKE {privileges}{on} FROM {user}"),
            Self::RevokeOption => {
                format!("REVOKE GRANT OPTION FOR {privileges}{on} FROM {user}")
            }
        }
    }
}
