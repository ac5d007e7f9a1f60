//! Permissions of a key: patterns of actions and of secret names.
//!
//! Patterns are those of IAM: `*` is any text, `?` is any character. There is no deny.
//!
//! # Failure modes
//! - A typing error in an action's name makes a key with fewer permissions than intended. A pattern
//!   that matches no action is refused.

use wildmatch::WildMatch;

use crate::local::api::Action;

/// Valid patterns of actions and secrets.
#[derive(Debug, Clone)]
pub struct Policy {
    actions: Vec<WildMatch>,
    secrets: Vec<WildMatch>,
}

/// Error in the patterns of a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("{0:?} is no action of the served store; the actions are {all}", all = all_actions())]
    NoSuchAction(String),
    #[error("the key permits nothing: name an action and a secret, or patterns")]
    Empty,
}

fn all_actions() -> String {
    Action::ALL.map(Action::name).join(", ")
}

impl Policy {
    /// Parses the patterns. An action may have the prefix of IAM, `secretsmanager:GetSecretValue`.
    ///
    /// # Errors
    /// [`PolicyError`]
    pub fn new(actions: &[String], secrets: &[String]) -> Result<Self, PolicyError> {
        let mut known = Vec::new();
        for text in actions {
            let name = text.strip_prefix("secretsmanager:").unwrap_or(text);
            let pattern = WildMatch::new(name);
            if !Action::ALL.iter().any(|a| pattern.matches(a.name())) {
                return Err(PolicyError::NoSuchAction(text.clone()));
            }
            known.push(pattern);
        }
        if known.is_empty() || secrets.iter().all(String::is_empty) {
            return Err(PolicyError::Empty);
        }
        Ok(Self {
            actions: known,
            secrets: secrets.iter().map(|name| WildMatch::new(name)).collect(),
        })
    }

    /// Whether the policy allows an action on a secret; without a name, on any secret.
    #[must_use]
    pub fn allows(&self, action: Action, secret: Option<&str>) -> bool {
        let any = |patterns: &[WildMatch], text: &str| patterns.iter().any(|p| p.matches(text));
        any(&self.actions, action.name()) && secret.is_none_or(|name| any(&self.secrets, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(actions: &[&str], secrets: &[&str]) -> Result<Policy, PolicyError> {
        let owned = |texts: &[&str]| -> Vec<String> {
            texts.iter().map(|text| (*text).to_owned()).collect()
        };
        Policy::new(&owned(actions), &owned(secrets))
    }

    #[test]
    fn allows_exactly_the_named_actions_and_secrets() {
        let some = policy(
            &["Get*", "secretsmanager:DescribeSecret"],
            &["prod/?rders/*", "x"],
        )
        .unwrap();
        for (action, secret, allowed) in [
            (Action::GetSecretValue, Some("prod/orders/db"), true),
            (Action::GetSecretValue, Some("prod/Orders/a/b"), true),
            (Action::GetSecretValue, Some("prod/orders"), false),
            (Action::GetSecretValue, Some("dev/prod/orders/db"), false),
            (Action::GetSecretValue, Some(""), false),
            (Action::GetRandomPassword, None, true),
            (Action::DescribeSecret, Some("x"), true),
            (Action::DescribeSecret, Some("X"), false),
            (Action::PutSecretValue, Some("x"), false),
            (Action::ListSecrets, None, false),
        ] {
            assert_eq!(
                some.allows(action, secret),
                allowed,
                "{action:?} {secret:?}"
            );
        }
        let all = policy(&["*"], &["*"]).unwrap();
        for action in Action::ALL {
            assert!(all.allows(action, Some("any/thing")) && all.allows(action, None));
        }
    }

    #[test]
    fn refuses_a_policy_that_allows_nothing() {
        for (actions, secrets) in [(&[][..], &["x"][..]), (&["*"], &[]), (&["*"], &[""])] {
            assert_eq!(policy(actions, secrets).err(), Some(PolicyError::Empty));
        }
        for slip in [
            "GetSecretValues",
            "getsecretvalue",
            "iam:GetUser",
            "Fetch*",
            "",
        ] {
            let error = policy(&[slip], &["x"]).err();
            assert_eq!(error, Some(PolicyError::NoSuchAction(slip.into())));
        }
    }
}
