//! The least that the worker's role in AWS must be allowed, and the network paths that it needs: made from the
//! config, pure.
//!
//! What can go wrong, and what prevents it:
//! - something is allowed that is never used, or used and not allowed: a test has every call recorded that commands
//!   and a worker make on all four engines, and holds them against this policy, both ways;
//! - a policy is printed for another account or region than the secrets': both are asked for where no ARN tells;
//! - something that cannot be known is left out without a word: it is a note ([`Policy::notes`]).
//!
//! `facts` is what is known of secrets besides their names, `policy` and `redshift` make the statements, `network`
//! the paths, `ask` has Secrets Manager tell the facts.

pub mod ask;
pub mod facts;
pub mod network;
mod policy;
mod redshift;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde::Serialize;

pub use facts::{Facts, Known};
pub use policy::policy;

use twinkey_core::aws::arn;

/// Where the account's things are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `aws`, `aws-cn`, `aws-us-gov`
    pub partition: String,
    pub region: String,
    /// Twelve digits.
    pub account: String,
}

impl Place {
    /// `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`
    fn arn(&self, service: &str, resource: &str) -> String {
        format!(
            "arn:{}:{service}:{}:{}:{resource}",
            self.partition, self.region, self.account
        )
    }

    /// A secret's: AWS appends a hyphen and six characters to the name when a secret is made, and recommends six
    /// `?` for them ("Permissions policy examples" in the Secrets Manager user guide).
    fn secret(&self, name_or_arn: &str) -> String {
        let arn = if arn::region(name_or_arn).is_some() {
            name_or_arn.to_owned()
        } else {
            self.arn("secretsmanager", &format!("secret:{name_or_arn}"))
        };
        let (name, suffix) = arn.rsplit_once('-').unwrap_or((&arn, ""));
        let complete = arn::region(name_or_arn).is_some()
            && suffix.len() == 6
            && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && name.contains(":secret:");
        if complete {
            arn
        } else {
            format!("{arn}-??????")
        }
    }
}

/// An IAM policy document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Policy {
    #[serde(rename = "Version")]
    version: &'static str,
    #[serde(rename = "Statement")]
    pub statements: Vec<Statement>,
    /// What a person should know of it; no part of the document.
    #[serde(skip)]
    pub notes: Vec<String>,
}

/// What is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Statement {
    #[serde(rename = "Sid")]
    pub sid: &'static str,
    #[serde(rename = "Effect")]
    effect: &'static str,
    #[serde(rename = "Action")]
    pub actions: Vec<&'static str>,
    #[serde(rename = "Resource")]
    pub resources: BTreeSet<String>,
    #[serde(rename = "Condition", skip_serializing_if = "Option::is_none")]
    pub condition: Option<serde_json::Value>,
}

impl Statement {
    fn allow(
        sid: &'static str,
        actions: &[&'static str],
        resources: impl IntoIterator<Item = String>,
    ) -> Self {
        Self {
            sid,
            effect: "Allow",
            actions: actions.to_vec(),
            resources: resources.into_iter().collect(),
            condition: None,
        }
    }

    fn when(self, condition: serde_json::Value) -> Self {
        Self {
            condition: Some(condition),
            ..self
        }
    }
}
