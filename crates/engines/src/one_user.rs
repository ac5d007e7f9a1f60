//! The one user of a rotation with `strategy = "single"`: facts about it, and the changes of its
//! password.

use crate::{Change, Finding, OtherForm, StoredForm};
use twinkey_core::secret::Sensitive;

/// Parameters of [`Admin::inspect_user`](crate::Admin::inspect_user).
#[derive(Debug, Clone, Copy)]
pub struct UserRequest<'a> {
    pub user: &'a str,
    /// AWSCURRENT's password.
    pub current: &'a Sensitive,
    /// The pending password, where there is one.
    pub pending: Option<&'a Sensitive>,
}

/// One user, and the changes of its password.
#[derive(Debug, Clone)]
pub struct UserInspection {
    /// For messages, for example `PostgreSQL 16.4`.
    pub server: String,
    pub change: PasswordChange,
    /// Sets the pending password at each account that does not have it. It changes nothing else: a
    /// locked user stays locked.
    pub set_password: Vec<Change>,
    /// As [`Inspection::other_form`](crate::Inspection::other_form).
    pub other_form: Option<OtherForm>,
    /// Makes AWSCURRENT's password the primary one again, and retains the other one. Empty unless
    /// the change is [`PasswordChange::RetainsOther`]. Each statement takes AWSCURRENT's password.
    pub restore_current: Vec<Change>,
    /// Discards the secondary password. Empty where there is none, or where it is AWSCURRENT's.
    pub discard: Vec<Change>,
    /// As [`Inspection::holds_password`](crate::Inspection::holds_password), as the primary password.
    pub holds_password: Option<bool>,
    /// Findings for `check` and `plan`.
    pub findings: Vec<Finding>,
    /// Privileges that the changes need, each with the statement that grants it.
    pub missing: Vec<Finding>,
}

impl UserInspection {
    /// As [`Inspection::use_form_of`](crate::Inspection::use_form_of).
    pub fn use_form_of(&mut self, active: Option<StoredForm>) {
        if let Some(other) = self.other_form.take_if(|other| Some(other.form) == active) {
            other.replace(&mut self.set_password, &mut self.findings);
        }
    }
}

/// What a change of the password does to AWSCURRENT's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PasswordChange {
    /// It stops: there is a gap.
    Replaces,
    /// It goes on signing in, as the secondary password.
    Retains,
    /// It stops, because another password is the primary one, and that one is retained.
    RetainsOther,
}
