//! One change of a standby: a statement or command, with at most one slot for a password.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::Slot;
use twinkey_core::secret::Sensitive;

/// One change of the standby, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub kind: ChangeKind,
    /// The database in which it is carried out, where that is not the rotation's own.
    pub database: Option<String>,
    pub statement: Statement,
    pub why: String,
}

impl Change {
    /// One statement without a password, in the rotation's own database.
    pub(crate) fn plain(kind: ChangeKind, text: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            kind,
            database: None,
            statement: Statement::plain(text),
            why: why.into(),
        }
    }
}

/// What a change is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// The standby is created, unable to sign in.
    Create,
    /// A privilege or membership that the active user has and the standby lacks.
    Grant,
    /// One that the standby has and the active user lacks.
    Revoke,
    /// Attributes, limits, login-time settings, TLS demands.
    Setting,
    /// Objects change their owner.
    Ownership,
    /// The pending password; permission to sign in.
    Password,
    /// The standby's sign-in is taken away.
    Retire,
}

/// One statement or command, with at most one slot for a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    before: String,
    slot: Option<(Slot, String)>,
}

impl Statement {
    /// A statement without a password.
    #[must_use]
    pub fn plain(text: impl Into<String>) -> Self {
        Self {
            before: text.into(),
            slot: None,
        }
    }

    /// A statement with a password, in the form that `slot` says, between `before` and `after`.
    #[must_use]
    pub fn with_password(before: impl Into<String>, slot: Slot, after: impl Into<String>) -> Self {
        Self {
            before: before.into(),
            slot: Some((slot, after.into())),
        }
    }

    /// The slot, if there is one.
    #[must_use]
    pub fn slot(&self) -> Option<&Slot> {
        self.slot.as_ref().map(|(slot, _)| slot)
    }

    /// The statement as it is carried out, with `filling` in the slot.
    #[must_use]
    pub fn filled(&self, filling: &Sensitive) -> Sensitive {
        SecretString::from(self.render(filling.expose_secret()))
    }

    fn render(&self, filling: &str) -> String {
        match &self.slot {
            None => self.before.clone(),
            Some((_, after)) => format!("{}{filling}{after}", self.before),
        }
    }
}

impl fmt::Display for Statement {
    /// The statement with `***` for the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render("***"))
    }
}
