//! Privileges on objects: how they are read, written, and told apart.
//!
//! What can go wrong, and what prevents it:
//! - one GRANT for thousands of tables is longer than a statement may be: what is granted alike goes
//!   together, at most [`TOGETHER`] objects a statement;
//! - a word of the catalogue is put into a statement as it stands: privileges are words of a list (or,
//!   scoped, of letters alone), argument types of letters, digits and a few signs;
//! - a privilege that is not known here is lost without a word: it becomes a finding.

use std::collections::BTreeMap;

use super::quote::{ident, qualified};

/// Objects in one statement.
const TOGETHER: usize = 50;

/// What a privilege can be on, in the order in which they are granted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Object {
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
    /// The making of models, which is on no object.
    Models,
}

/// Privileges on one object, each with its grant option or without.
pub(super) type Held = BTreeMap<String, bool>;
pub(super) type Grants = BTreeMap<Object, Held>;

/// What PostgreSQL's catalogue may show and Redshift has no use for: nobody can grant it there.
const LEFT_OVER: [&str; 2] = ["RULE", "TRIGGER"];

/// How a privilege of the catalogue is to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Read {
    Known(String),
    /// Means nothing.
    LeftOver,
    /// Means something that is not known here.
    Unknown,
}

impl Object {
    /// How a privilege on this is written.
    pub(super) fn read(&self, privilege: &str) -> Read {
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
            Read::Known(word.to_owned())
        } else if LEFT_OVER.contains(&word) {
            Read::LeftOver
        } else {
            Read::Unknown
        }
    }

    /// What an owner can do, of what can be granted: what svv_* views are documented to tell, and what
    /// is granted beside it.
    pub(super) const fn of_owner(
        &self,
        view: bool,
    ) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::Database(_) => (&["CREATE", "TEMP"], &[]),
            Self::Schema(_) => (&["CREATE", "USAGE"], &[]),
            Self::Relation { .. } => (
                &["SELECT", "INSERT", "UPDATE", "DELETE", "REFERENCES", "DROP"],
                if view { &[] } else { MORE_ON_TABLES },
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

    /// `ALTER TABLE "s"."t" OWNER TO "app"`
    pub(super) fn hand_over(&self, to: &str) -> Option<String> {
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

    /// `ON TABLE`, before the names; and how many may follow.
    fn on(&self) -> (String, usize) {
        match self {
            // One at a time: one of a datashare's would fail all of them.
            Self::Database(_) => ("ON DATABASE".into(), 1),
            Self::Schema(_) => ("ON SCHEMA".into(), TOGETHER),
            Self::Relation { .. } => ("ON TABLE".into(), TOGETHER),
            Self::Column { .. } => ("ON TABLE".into(), 1),
            Self::Function { .. } => ("ON FUNCTION".into(), TOGETHER),
            Self::Procedure { .. } => ("ON PROCEDURE".into(), TOGETHER),
            Self::Language(_) => ("ON LANGUAGE".into(), 1),
            Self::Model { .. } => ("ON MODEL".into(), 1),
            Self::InDatabase { scope, .. } => (format!("FOR {scope} IN DATABASE"), 1),
            Self::InSchema { scope, .. } => (format!("FOR {scope} IN SCHEMA"), 1),
            Self::Models => (String::new(), 1),
        }
    }
}

/// Privileges on tables that came later than the views' documentation.
pub(super) const MORE_ON_TABLES: &[&str] = &["ALTER", "TRUNCATE"];

/// Letters and spaces.
pub(super) fn is_words(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphabetic() || c == ' ')
}

/// `integer, character varying(20)`
pub(super) fn is_types(text: &str) -> bool {
    text.chars().all(|c| {
        c.is_ascii_alphanumeric() || matches!(c, ' ' | ',' | '_' | '(' | ')' | '[' | ']' | '"')
    })
}

/// Gives or takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Grant {
        option: bool,
    },
    Revoke,
    /// The grant option alone.
    RevokeOption,
}

/// The statements that do one thing with these privileges on these objects, for `user`.
pub(super) fn statements(
    deed: Deed,
    on: &BTreeMap<Object, Vec<String>>,
    user: &str,
) -> Vec<String> {
    let mut texts = Vec::new();
    let entries: Vec<(&Object, String)> = of_columns_together(on);
    for alike in
        entries.chunk_by(|(one, does), (next, do_next)| one.on() == next.on() && does == do_next)
    {
        let Some((object, privileges)) = alike.first() else {
            continue;
        };
        let (on, together) = object.on();
        for some in alike.chunks(together) {
            let names: Vec<String> = some.iter().map(|(object, _)| object.name()).collect();
            let on = format!("{on} {}", names.join(", "));
            texts.push(deed.text(privileges, on.trim(), user));
        }
    }
    texts
}

/// Objects with their privileges as text, those with the same privileges beside each other; columns of
/// one relation are one.
fn of_columns_together(on: &BTreeMap<Object, Vec<String>>) -> Vec<(&Object, String)> {
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
    entries.sort_by(|(one, does), (next, do_next)| {
        (rank(one), does, one).cmp(&(rank(next), do_next, next))
    });
    entries
}

/// The order of the kinds, by the enum's own.
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

impl Deed {
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
