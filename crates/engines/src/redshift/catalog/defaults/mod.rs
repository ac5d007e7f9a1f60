//! Default privileges: the privileges on new objects, by owner and grantee. Pure.
//!
//! The two users of a pair have default privileges for each other. Both may be in use after a flip,
//! so that each must be able to use new objects of the other at once.
//!
//! # Failure modes
//! - Grantees of the active user cannot use new objects of the standby. Default privileges are
//!   compared by owner and by grantee, with the two user names swapped.
//! - The entries between the two users depend on which one is active. Between them, the entries are
//!   fixed.

use std::collections::BTreeMap;

use super::grants::PrivilegeSet;
use crate::redshift::quote::ident;
use crate::{Change, ChangeKind};
use twinkey_core::secret::pair::Pair;

/// One row of `svv_default_privileges`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::redshift) struct DefaultPrivilege {
    pub on: NewObjects,
    pub grantee: Grantee,
    pub privilege: String,
    pub option: bool,
}

/// New objects of one owner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::redshift) struct NewObjects {
    pub owner: String,
    /// `None`: in any schema.
    pub schema: Option<String>,
    pub kind: ObjectKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::redshift) enum ObjectKind {
    Tables,
    Functions,
    Procedures,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::redshift) enum Grantee {
    User(String),
    Group(String),
    Role(String),
    Public,
}

impl ObjectKind {
    pub(in crate::redshift) fn read(object_type: &str) -> Option<Self> {
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

    /// Privileges that the two users of a pair grant each other. ALTER and DROP follow with the
    /// next run.
    const fn pair_privileges(self) -> &'static [&'static str] {
        match self {
            Self::Tables => &["SELECT", "INSERT", "UPDATE", "DELETE", "REFERENCES"],
            Self::Functions | Self::Procedures => &["EXECUTE"],
        }
    }

    /// Whether Redshift can grant this privilege on such objects.
    pub(in crate::redshift) fn allows(self, privilege: &str) -> bool {
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
    pub(in crate::redshift) fn read(kind: &str, name: &str) -> Option<Self> {
        match kind {
            "user" => Some(Self::User(name.to_owned())),
            "group" => Some(Self::Group(name.to_owned())),
            "role" => Some(Self::Role(name.to_owned())),
            "public" => Some(Self::Public),
            _ => None,
        }
    }

    /// Whether it is a role of Redshift itself: of a datashare, or defined by the system.
    pub(in crate::redshift) fn is_reserved(&self) -> bool {
        matches!(self, Self::Role(name) if name.starts_with("ds:") || name.starts_with("sys:"))
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

type Entries = BTreeMap<(NewObjects, Grantee), PrivilegeSet>;

/// Changes of the default privileges in one database.
pub(in crate::redshift) fn changes(rows: &[DefaultPrivilege], pair: &Pair) -> Vec<Change> {
    let mut has = Entries::new();
    for row in rows {
        has.entry((row.on.clone(), row.grantee.clone()))
            .or_default()
            .entry(row.privilege.clone())
            .and_modify(|option| *option |= row.option)
            .or_insert(row.option);
    }
    for user in [&pair.base, &pair.clone] {
        let (key, held) = implied(user);
        if !rows.iter().any(|row| row.on == key.0) {
            has.insert(key, held);
        }
    }
    let (between, others): (Entries, Entries) = has.into_iter().partition(|((on, to), _)| {
        is_of_pair(&on.owner, pair) && matches!(to, Grantee::User(name) if is_of_pair(name, pair))
    });
    let mut all = Vec::new();
    for (key, held) in &pair_defaults(pair) {
        let lacks = |privilege: &&String| {
            between.get(key).and_then(|has| has.get(*privilege)) != Some(&true)
        };
        let missing: Vec<&String> = held.keys().filter(lacks).collect();
        let why = "each user of the pair can use new objects of the other";
        all.extend(grant(key, &missing, true, why));
    }
    let concerns = |key: &(NewObjects, Grantee), user: &str| {
        key.0.owner == user || key.1 == Grantee::User(user.to_owned())
    };
    let wanted: Entries = others
        .iter()
        .filter(|(key, _)| concerns(key, pair.active_user()))
        .map(|(key, held)| (for_standby(key, pair), held.clone()))
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

/// EXECUTE for PUBLIC on new functions. The server shows it from the first default privilege on
/// functions on, which may be one of the run itself.
fn implied(owner: &str) -> ((NewObjects, Grantee), PrivilegeSet) {
    let on = NewObjects {
        owner: owner.to_owned(),
        schema: None,
        kind: ObjectKind::Functions,
    };
    let held = [("EXECUTE".to_owned(), false)].into();
    ((on, Grantee::Public), held)
}

/// The default privileges of the two users for each other.
fn pair_defaults(pair: &Pair) -> Entries {
    let mut entries = Entries::new();
    for (owner, other) in [(&pair.base, &pair.clone), (&pair.clone, &pair.base)] {
        for kind in [
            ObjectKind::Tables,
            ObjectKind::Functions,
            ObjectKind::Procedures,
        ] {
            let on = NewObjects {
                owner: owner.clone(),
                schema: None,
                kind,
            };
            let all = kind.pair_privileges().iter();
            let held = all
                .map(|privilege| ((*privilege).to_owned(), true))
                .collect();
            entries.insert((on, Grantee::User(other.clone())), held);
        }
    }
    entries
}

/// The same entry with the standby's name in place of the active user's.
fn for_standby((on, to): &(NewObjects, Grantee), pair: &Pair) -> (NewObjects, Grantee) {
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
    let nothing = PrivilegeSet::new();
    for (key, held) in has {
        let wanted = wanted.get(key).unwrap_or(&nothing);
        // A surplus grant option is removed with its privilege, which is then granted again.
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

fn comma_separated(privileges: &[&String]) -> String {
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
        comma_separated(privileges),
        on.kind.word(),
        to.text()
    );
    (!privileges.is_empty()).then(|| Change::plain(ChangeKind::Grant, text, why))
}

fn revoke((on, to): &(NewObjects, Grantee), privileges: &[&String]) -> Option<Change> {
    let text = format!(
        "{} REVOKE {} ON {} FROM {}",
        begin(on),
        comma_separated(privileges),
        on.kind.word(),
        to.text()
    );
    let why = "the active user does not have it";
    (!privileges.is_empty()).then(|| Change::plain(ChangeKind::Revoke, text, why))
}

#[cfg(test)]
mod tests;
