//! Changes of a standby: statements or commands, each with at most one password placeholder.

mod password_form;
mod rendered;

pub use password_form::{PasswordForm, unfinished_password};
pub use rendered::{RenderedChange, render_changes};

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use twinkey_core::secret::Sensitive;

/// One change of the standby, and its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub kind: ChangeKind,
    /// Database in which it is executed, where that is not the rotation's own.
    pub database: Option<String>,
    pub statement: Statement,
    pub why: String,
}

#[cfg(any(feature = "mysql", feature = "postgres"))]
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

/// Subject of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// The standby is created, unable to sign in.
    Create,
    /// A privilege or membership that the active user has and the standby lacks.
    Grant,
    /// One that the standby has and the active user lacks.
    Revoke,
    /// Attributes, limits, login-time settings, TLS requirements.
    Setting,
    /// Objects change their owner.
    Ownership,
    /// The pending password; permission to sign in.
    Password,
    /// The standby's sign-in is disabled.
    Retire,
}

/// One statement or command, with at most one password placeholder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    before: String,
    placeholder: Option<(PasswordForm, String)>,
}

impl Statement {
    /// A statement without a password.
    #[must_use]
    pub fn plain(text: impl Into<String>) -> Self {
        Self {
            before: text.into(),
            placeholder: None,
        }
    }

    /// A statement with a password, in this form, between `before` and `after`.
    #[must_use]
    pub fn with_password(
        before: impl Into<String>,
        form: PasswordForm,
        after: impl Into<String>,
    ) -> Self {
        Self {
            before: before.into(),
            placeholder: Some((form, after.into())),
        }
    }

    /// The form of the password, if the statement has one.
    #[must_use]
    pub fn password_form(&self) -> Option<&PasswordForm> {
        self.placeholder.as_ref().map(|(form, _)| form)
    }

    /// The executable statement, with `rendered_password` in place of the placeholder.
    #[must_use]
    pub fn with_rendered(&self, rendered_password: &Sensitive) -> Sensitive {
        SecretString::from(self.text(rendered_password.expose_secret()))
    }

    fn text(&self, password: &str) -> String {
        match &self.placeholder {
            None => self.before.clone(),
            Some((_, after)) => format!("{}{password}{after}", self.before),
        }
    }
}

impl fmt::Display for Statement {
    /// The statement with `***` for the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text("***"))
    }
}
