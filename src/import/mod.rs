//! Import of AWS's own rotations: the rotations of an account as a config of twinkey.
//!
//! `list` reads the secrets from Secrets Manager, `convert` converts them, and `text` writes the config.
//!
//! # Failure modes
//! - A window differs from AWS's, and rotations run at the wrong time: one pure function implements AWS's
//!   rules ([`windows`]), and its result is a plan that twinkey accepts.
//! - A secret is missing in the config: each secret with rotation enabled is a rotation, or a comment with the
//!   reason and the next step.
//! - The config is not valid: it is parsed before it is printed (`cli::setup::import`).
//! - A secret value leaks: only the fields of a document that may be shown are kept.

pub mod convert;
pub mod list;
pub mod text;
pub mod windows;

#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};

use twinkey_core::secret::document::Fields;

/// A secret with rotation enabled, as Secrets Manager describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotatedSecret {
    pub name: String,
    pub arn: String,
    /// The service that manages it.
    pub owner: Option<String>,
    /// The rotation function.
    pub function: Option<String>,
    pub rules: Rules,
    /// The region of the primary secret, if this is a replica.
    pub primary_region: Option<String>,
    /// The deadline of AWS's next rotation.
    pub next: Option<DateTime<Utc>>,
    /// The fields of its document that may be shown, or the reason why it was not read.
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
