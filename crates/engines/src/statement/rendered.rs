//! Executable changes: the last step between a plan and the database.
//!
//! # Failure modes
//! - A statement that holds a password is printed: the executable text is [`Sensitive`], and the
//!   printable one stands beside it.
//! - A run waits for a verifier, which takes thousands of hash rounds: callers render beside their
//!   other work, without a database connection.

use super::Change;
use crate::EngineError;
use twinkey_core::secret::Sensitive;

/// One change with its password.
#[derive(Debug, Clone)]
pub struct RenderedChange {
    /// Database in which it is executed, where that is not the rotation's own.
    pub database: Option<String>,
    /// As `plan` prints it, with `***` for the password.
    pub shown: String,
    /// The executable statement.
    pub sent: Sensitive,
    /// The password in the form that the statement holds, if it holds one.
    pub rendered_password: Option<Sensitive>,
}

/// The changes in order, with `password` in place of their placeholders.
///
/// # Errors
/// Those of [`PasswordForm::render`](super::PasswordForm::render).
pub fn render_changes(
    changes: &[Change],
    password: &Sensitive,
) -> Result<Vec<RenderedChange>, EngineError> {
    let render = |change: &Change| {
        let statement = &change.statement;
        let shown = statement.to_string();
        let (sent, rendered_password) = match statement.password_form() {
            None => (shown.clone().into(), None),
            Some(form) => {
                let rendered = form.render(password)?;
                (statement.with_rendered(&rendered), Some(rendered))
            }
        };
        Ok(RenderedChange {
            database: change.database.clone(),
            shown,
            sent,
            rendered_password,
        })
    };
    changes.iter().map(render).collect()
}
