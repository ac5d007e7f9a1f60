//! What a key may do: actions, and the names of secrets.
//!
//! What can go wrong: a slip in an action's name makes a key that may do less, or nothing, and nobody knows why.
//! A pattern that no action has is refused.
//!
//! Patterns are those of IAM: `*` is any text, `?` is any character. There is no deny.

use wildmatch::WildMatch;

use crate::local::api::Action;

/// Valid patterns.
#[derive(Debug, Clone)]
pub struct Policy {
    actions: Vec<WildMatch>,
    secrets: Vec<WildMatch>,
}

/// Why there is no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("{0:?} is no action of the served store; there are {all}", all = all_actions())]
    NoSuchAction(String),
    #[error("it may do nothing: it needs an action and the name of a secret, or a pattern")]
    Empty,
}

fn all_actions() -> String {
    Action::ALL.map(Action::name).join(", ")
}

impl Policy {
    /// Reads the patterns. An action may be written as in IAM, `secretsmanager:GetSecretValue`.
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

    /// Whether it allows this with the secret of that name; without a name, with any.
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
    fn a_policy_allows_its_actions_on_its_names_and_nothing_else() {
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
    fn a_policy_that_allows_nothing_is_refused() {
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
