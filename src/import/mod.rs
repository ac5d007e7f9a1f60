//! Moving over from AWS's own rotation: what an account has, as a config of twinkey.
//!
//! What can go wrong, and what prevents it:
//! - a window is another than AWS's, and rotations come when nobody is there: AWS's rules for windows are one pure
//!   function ([`windows`]), and what comes of it is a plan that twinkey itself would accept;
//! - a secret is forgotten: each that has rotation on is in the config, as a rotation or as a comment that says why
//!   not and what to do;
//! - the config is not valid: it is read back before it is printed (`cli::import`);
//! - a value gets out: of a secret's document only the fields are kept that may be shown.
//!
//! `ask` has Secrets Manager tell what there is, `carry` decides, `text` writes.

pub mod ask;
pub mod carry;
pub mod text;
pub mod windows;

#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};

use twinkey_core::secret::document::Fields;

/// A secret with rotation on, as Secrets Manager tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub name: String,
    pub arn: String,
    /// The service that manages it.
    pub owner: Option<String>,
    /// The rotation function.
    pub function: Option<String>,
    pub rules: Rules,
    /// Where the secret itself is, if this is a replica of it.
    pub primary_region: Option<String>,
    /// The latest time of AWS's next rotation.
    pub next: Option<DateTime<Utc>>,
    /// What may be shown of its document, or why it was not read.
    pub fields: Result<Fields, String>,
}

/// AWS's `RotationRules`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    pub expression: Option<String>,
    /// `3h`
    pub duration: Option<String>,
    pub days: Option<i64>,
}
