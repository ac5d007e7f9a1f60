//! Default privileges: what new objects are granted, of which owner and to whom. Pure.
//!
//! The two users of a pair have default privileges for each other, so that what one creates the other
//! can use at once, and not from the next run on: both may be in use after a flip.
//!
//! What can go wrong, and what prevents it:
//! - the standby's objects are closed to those to whom the active user's are open: default privileges are
//!   compared both as owner and as grantee, with the two users' names exchanged;
//! - a pair's own entries come and go with who is active: between the two there is exactly the design's.

use std::collections::BTreeMap;

use super::grants::Held;
use super::quote::ident;
use crate::{Change, ChangeKind};
use twinkey_core::secret::pair::Pair;

/// One row of `svv_default_privileges`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DefaultPrivilege {
    pub on: NewObjects,
    pub grantee: Grantee,
    pub privilege: String,
    pub option: bool,
}

/// Objects that are yet to be made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NewObjects {
    /// Who will make them.
    pub owner: String,
    /// `None`: in any schema.
    pub schema: Option<String>,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Tables,
    Functions,
    Procedures,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Grantee {
    User(String),
    Group(String),
    Role(String),
    Public,
}

impl Kind {
    pub(super) fn read(object_type: &str) -> Option<Self> {
        match object_type {
            "RELATION" => Some(Self::Tables),
            "FUNCTION" => Some(Self::Functions),
            "PROCEDURE" => Some(Self::Procedures),
            _ => None,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Tables => "TABLES",
            Self::Functions => "FUNCTIONS",
            Self::Procedures => "PROCEDURES",
        }
    }

    /// What the two of a pair have for each other: the work with what is there. To alter and to drop
    /// it comes with the next run.
    const fn of_pair(self) -> &'static [&'static str] {
        match self {
            Self::Tables => &["SELECT", "INSERT", "UPDATE", "DELETE", "REFERENCES"],
            Self::Functions | Self::Procedures => &["EXECUTE"],
        }
    }

    /// Whether it can be granted here.
    pub(super) fn knows(self, privilege: &str) -> bool {
        match self {
            Self::Tables => matches!(
                privilege,
                "SELECT"
                    | "INSERT"
                    | "UPDATE"
                    | "DELETE"
                    | "REFERENCES"
                    | "DROP"
                    | "ALTER"
                    | "TRUNCATE"
            ),
            Self::Functions | Self::Procedures => privilege == "EXECUTE",
        }
    }
}

impl Grantee {
    pub(super) fn read(kind: &str, name: &str) -> Option<Self> {
        match kind {
            "user" => Some(Self::User(name.to_owned())),
            "group" => Some(Self::Group(name.to_owned())),
            "role" => Some(Self::Role(name.to_owned())),
            "public" => Some(Self::Public),
            _ => None,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::User(name) => ident(name),
            Self::Group(name) => format!("GROUP {}", ident(name)),
            Self::Role(name) => format!("ROLE {}", ident(name)),
            Self::Public => "PUBLIC".into(),
        }
    }
}

type Entries = BTreeMap<(NewObjects, Grantee), Held>;

/// The changes of one database's default privileges.
pub(super) fn changes(rows: &[DefaultPrivilege], pair: &Pair) -> Vec<Change> {
    let mut has = Entries::new();
    for row in rows {
        has.entry((row.on.clone(), row.grantee.clone()))
            .or_default()
            .insert(row.privilege.clone(), row.option);
    }
    let (between, others): (Entries, Entries) = has.into_iter().partition(|((on, to), _)| {
        is_of_pair(&on.owner, pair) && matches!(to, Grantee::User(name) if is_of_pair(name, pair))
    });
    let mut all = Vec::new();
    for (key, held) in &own(pair) {
        let lacks = |privilege: &&String| {
            between.get(key).and_then(|has| has.get(*privilege)) != Some(&true)
        };
        let missing: Vec<&String> = held.keys().filter(lacks).collect();
        let why = "what one of the pair creates, the other can use at once";
        all.extend(grant(key, &missing, true, why));
    }
    let concerns = |key: &(NewObjects, Grantee), user: &str| {
        key.0.owner == user || key.1 == Grantee::User(user.to_owned())
    };
    let wanted: Entries = others
        .iter()
        .filter(|(key, _)| concerns(key, pair.active_user()))
        .map(|(key, held)| (exchanged(key, pair), held.clone()))
        .collect();
    let has: Entries = others
        .into_iter()
        .filter(|(key, _)| concerns(key, pair.standby_user()))
        .collect();
    compare(&wanted, &has, &mut all);
    all
}

fn is_of_pair(name: &str, pair: &Pair) -> bool {
    name == pair.base || name == pair.clone
}

/// What the two have for each other.
fn own(pair: &Pair) -> Entries {
    let mut entries = Entries::new();
    for (owner, other) in [(&pair.base, &pair.clone), (&pair.clone, &pair.base)] {
        for kind in [Kind::Tables, Kind::Functions, Kind::Procedures] {
            let on = NewObjects {
                owner: owner.clone(),
                schema: None,
                kind,
            };
            let all = kind.of_pair().iter();
            let held = all
                .map(|privilege| ((*privilege).to_owned(), true))
                .collect();
            entries.insert((on, Grantee::User(other.clone())), held);
        }
    }
    entries
}

/// The active user's name is the standby's.
fn exchanged((on, to): &(NewObjects, Grantee), pair: &Pair) -> (NewObjects, Grantee) {
    let other = |name: &str| {
        if name == pair.active_user() {
            pair.standby_user().to_owned()
        } else {
            name.to_owned()
        }
    };
    let on = NewObjects {
        owner: other(&on.owner),
        ..on.clone()
    };
    let to = match to {
        Grantee::User(name) => Grantee::User(other(name)),
        to => to.clone(),
    };
    (on, to)
}

fn compare(wanted: &Entries, has: &Entries, all: &mut Vec<Change>) {
    let nothing = Held::new();
    for (key, held) in has {
        let wanted = wanted.get(key).unwrap_or(&nothing);
        // An option alone is taken by taking the privilege, which is then given without it.
        let surplus = held.iter().filter(|(privilege, option)| {
            wanted
                .get(*privilege)
                .is_none_or(|wanted| **option && !wanted)
        });
        let surplus: Vec<&String> = surplus.map(|(privilege, _)| privilege).collect();
        all.extend(revoke(key, &surplus));
    }
    for (key, held) in wanted {
        let has = has.get(key).unwrap_or(&nothing);
        for option in [false, true] {
            let missing = held.iter().filter(|(privilege, wanted)| {
                **wanted == option && has.get(*privilege) != Some(wanted)
            });
            let missing: Vec<&String> = missing.map(|(privilege, _)| privilege).collect();
            all.extend(grant(key, &missing, option, "as for the active user"));
        }
    }
}

fn begin(on: &NewObjects) -> String {
    let schema = on.schema.as_ref();
    let schema = schema.map_or_else(String::new, |name| format!(" IN SCHEMA {}", ident(name)));
    format!(
        "ALTER DEFAULT PRIVILEGES FOR USER {}{schema}",
        ident(&on.owner)
    )
}

fn listed(privileges: &[&String]) -> String {
    let all: Vec<&str> = privileges.iter().map(|text| text.as_str()).collect();
    all.join(", ")
}

fn grant(
    (on, to): &(NewObjects, Grantee),
    privileges: &[&String],
    option: bool,
    why: &str,
) -> Option<Change> {
    let end = if option { " WITH GRANT OPTION" } else { "" };
    let text = format!(
        "{} GRANT {} ON {} TO {}{end}",
        begin(on),
        listed(privileges),
        on.kind.word(),
        to.text()
    );
    (!privileges.is_empty()).then(|| Change::plain(ChangeKind::Grant, text, why))
}

fn revoke((on, to): &(NewObjects, Grantee), privileges: &[&String]) -> Option<Change> {
    let text = format!(
        "{} REVOKE {} ON {} FROM {}",
        begin(on),
        listed(privileges),
        on.kind.word(),
        to.text()
    );
    let why = "it is not so for the active user";
    (!privileges.is_empty()).then(|| Change::plain(ChangeKind::Revoke, text, why))
}

#[cfg(test)]
mod tests;
