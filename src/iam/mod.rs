//! Minimal IAM policy and network paths of a worker, derived from its config.
//!
//! `lookup` reads facts about the secrets from Secrets Manager, `known` holds them, `policy` and `redshift`
//! build the statements, `accounts` the policies of several accounts, and `network` the paths.
//!
//! # Failure modes
//! - The policy allows an unused call or misses a used one: a test records every call of commands and workers
//!   on all engines, and compares them with the policy in both directions.
//! - The policy is for another account or region than the secrets': without an ARN, both are required options.
//! - The policy omits a part that is not known: a note names it ([`Policy::notes`]).

pub mod accounts;
pub mod known;
pub mod lookup;
pub mod network;
mod policy;
mod redshift;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::Serialize;

pub use known::{Known, SecretFacts};
pub use policy::policy;

use twinkey_core::aws::arn;

/// The size limit of a managed policy, without white space ("IAM and AWS STS quotas").
const MANAGED_LIMIT: usize = 6144;

/// The partition, region and account of ARNs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountScope {
    /// `aws`, `aws-cn` or `aws-us-gov`.
    pub partition: String,
    pub region: String,
    /// Twelve digits.
    pub account: String,
}

impl AccountScope {
    /// `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`
    fn arn(&self, service: &str, resource: &str) -> String {
        format!(
            "arn:{}:{service}:{}:{}:{resource}",
            self.partition, self.region, self.account
        )
    }

    /// The ARN of a secret: AWS appends a hyphen and six characters to the name at creation, and recommends
    /// six `?` for them ("Permissions policy examples" in the Secrets Manager user guide).
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
    /// Notes for the user, which are not part of the document.
    #[serde(skip)]
    pub notes: Vec<String>,
}

impl Policy {
    /// Adds a note if the policy is too large for one managed policy.
    fn note_size(&mut self) {
        let size = serde_json::to_string(&self).map_or(0, |text| text.len());
        if size > MANAGED_LIMIT {
            self.notes.push(format!(
                "the policy has {size} characters, and a managed policy allows {MANAGED_LIMIT}: create one policy per statement, or replace many secrets by a pattern (secret:prod/*)"
            ));
        }
    }
}

/// A statement that allows actions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Statement {
    #[serde(rename = "Sid")]
    pub sid: Cow<'static, str>,
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
        sid: impl Into<Cow<'static, str>>,
        actions: &[&'static str],
        resources: impl IntoIterator<Item = String>,
    ) -> Self {
        Self {
            sid: sid.into(),
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
