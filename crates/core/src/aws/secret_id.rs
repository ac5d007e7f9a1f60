//! References to secrets: a name, an ARN, or an ARN without its suffix ("SecretId" in the Secrets
//! Manager API reference). Pure.
//!
//! # Failure modes
//! - Two references to one secret are taken for two secrets. A name, the ARN and the partial ARN are
//!   compared by the name in them.
//! - A secret's name ends in a hyphen and six characters, as ARNs do. Its partial ARN reads as the
//!   complete ARN of a shorter name. Both readings count.
//! - Secrets of two accounts or regions have one name. References are equal only if the location of
//!   both can be the same.

use super::arn;

/// The characters that AWS appends to the name in an ARN, after a hyphen.
const SUFFIX_LENGTH: usize = 6;

/// Account and region of names, as far as they are known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Location<'a> {
    pub region: Option<&'a str>,
    pub account: Option<&'a str>,
}

impl<'a> Location<'a> {
    /// The location in an ARN; a name has the one of `names`.
    fn of(reference: &'a str, names: Self) -> Self {
        match resource(reference) {
            None => names,
            Some(_) => Self {
                region: arn::region(reference),
                account: arn::account(reference),
            },
        }
    }

    fn may_be(self, other: Self) -> bool {
        let equal = |one: Option<&str>, other: Option<&str>| {
            one.zip(other).is_none_or(|(one, other)| one == other)
        };
        equal(self.region, other.region) && equal(self.account, other.account)
    }
}

/// Whether two references can mean one secret. `names` is where a plain name is looked up.
#[must_use]
pub fn same_secret(one: &str, other: &str, names: Location<'_>) -> bool {
    if one == other {
        return true;
    }
    if !Location::of(one, names).may_be(Location::of(other, names)) {
        return false;
    }
    match (resource(one), resource(other)) {
        (None, None) => false,
        (Some(arn), None) => readings(arn).any(|name| name == other),
        (None, Some(arn)) => readings(arn).any(|name| name == one),
        // Two complete ARNs differ in their suffix: one of the secrets was deleted.
        (Some(one), Some(other)) => {
            without_suffix(one) == Some(other) || without_suffix(other) == Some(one)
        }
    }
}

/// The names that a reference can mean.
pub fn names(reference: &str) -> impl Iterator<Item = &str> {
    readings(resource(reference).unwrap_or(reference))
        .filter(move |name| resource(reference).is_some() || *name == reference)
}

/// The name in a complete ARN, and the one in a partial ARN.
fn readings(resource: &str) -> impl Iterator<Item = &str> {
    without_suffix(resource).into_iter().chain([resource])
}

/// The part of a secret's ARN after `secret:`; `None` for a name.
fn resource(reference: &str) -> Option<&str> {
    arn::region(reference)?;
    let (prefix, resource) = reference.split_once(":secret:")?;
    (prefix.split(':').nth(2) == Some("secretsmanager")).then_some(resource)
}

fn without_suffix(resource: &str) -> Option<&str> {
    let (name, end) = resource.rsplit_once('-')?;
    let is_suffix = end.len() == SUFFIX_LENGTH && end.bytes().all(|b| b.is_ascii_alphanumeric());
    is_suffix.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arn(region: &str, account: &str, rest: &str) -> String {
        format!("arn:aws:secretsmanager:{region}:{account}:secret:{rest}")
    }

    fn here(rest: &str) -> String {
        arn("eu-west-1", "111122223333", rest)
    }

    #[test]
    fn a_name_an_arn_and_a_partial_arn_are_one_secret() {
        let all = [
            "prod/db".to_owned(),
            here("prod/db-a1B2c3"),
            here("prod/db"),
        ];
        for one in &all {
            for other in &all {
                assert!(
                    same_secret(one, other, Location::default()),
                    "{one} {other}"
                );
            }
            assert!(names(one).any(|name| name == "prod/db"), "{one}");
        }
        assert_eq!(
            names("prod/db-backup").collect::<Vec<_>>(),
            ["prod/db-backup"]
        );
    }

    #[test]
    fn other_names_accounts_and_regions_are_other_secrets() {
        let whole = here("prod/db-a1B2c3");
        for other in [
            "prod/d",
            "prod/db-a1B2c3x",
            "db",
            &here("prod/db2"),
            // The secret was deleted, and another one has its name.
            &here("prod/db-Z9y8X7"),
            &arn("us-east-1", "111122223333", "prod/db-a1B2c3"),
            &arn("eu-west-1", "444455556666", "prod/db"),
        ] {
            assert!(!same_secret(&whole, other, Location::default()), "{other}");
        }
        let names = Location {
            region: Some("us-east-1"),
            account: None,
        };
        assert!(!same_secret(&whole, "prod/db", names));
        let account = Location {
            region: Some("eu-west-1"),
            account: Some("444455556666"),
        };
        assert!(!same_secret("prod/db", &whole, account));
        assert!(same_secret("prod/db", "prod/db", account));
    }

    #[test]
    fn a_name_that_ends_as_an_arn_has_both_readings() {
        let partial = here("prod/db-backup");
        for same in ["prod/db-backup", "prod/db", &here("prod/db-backup-a1B2c3")] {
            assert!(same_secret(&partial, same, Location::default()), "{same}");
        }
        let whole = here("prod/db-backup-a1B2c3");
        assert!(same_secret(&whole, "prod/db-backup", Location::default()));
        assert!(!same_secret(&whole, "prod/db", Location::default()));
    }
}
