//! Names and ARNs of secrets.
//!
//! # Failure modes
//! - A partial ARN matches the wrong secret. As in AWS, an ARN that ends in a hyphen and six
//!   letters or digits counts as complete, and matches only as a whole.

use aws_lc_rs::rand;

use super::refusal::{Refusal, RefusalKind};

/// The part of this store's ARNs before the name.
const PREFIX: &str = "arn:aws:secretsmanager:local:000000000000:secret:";
const SUFFIX_LENGTH: usize = 6;
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Reference to a secret in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SecretId<'a> {
    Name(&'a str),
    Arn(&'a str),
}

impl<'a> SecretId<'a> {
    /// Parses a SecretId: a name, an ARN, or an ARN without its suffix.
    pub(super) fn parse(text: &'a str) -> Self {
        if !text.starts_with("arn:") {
            return Self::Name(text);
        }
        match text.strip_prefix(PREFIX) {
            Some(rest) if !has_suffix(rest) => Self::Name(rest),
            _ => Self::Arn(text),
        }
    }
}

fn has_suffix(rest: &str) -> bool {
    rest.rsplit_once('-').is_some_and(|(_, end)| {
        end.len() == SUFFIX_LENGTH && end.bytes().all(|b| b.is_ascii_alphanumeric())
    })
}

/// The name in a SecretId, for comparison with other names and with the patterns of a key. The secret
/// need not exist. An ARN of another store is returned unchanged.
#[must_use]
pub fn name_of(secret_id: &str) -> &str {
    match SecretId::parse(secret_id) {
        SecretId::Name(name) => name,
        SecretId::Arn(arn) => arn
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.rsplit_once('-'))
            .map_or(arn, |(name, _)| name),
    }
}

/// The ARN of a new secret. Six random characters distinguish it from an earlier one of the same
/// name.
pub(super) fn new_arn(name: &str) -> Result<String, Refusal> {
    let mut suffix = String::with_capacity(SUFFIX_LENGTH);
    while suffix.len() < SUFFIX_LENGTH {
        let mut byte = [0_u8; 1];
        rand::fill(&mut byte).map_err(|_| {
            Refusal::new(
                RefusalKind::Internal,
                "the operating system returned no random bytes",
            )
        })?;
        // 248 is the largest multiple of 62 in a byte: each character is equally likely.
        if byte[0] < 248 {
            suffix.push(char::from(ALPHABET[usize::from(byte[0]) % ALPHABET.len()]));
        }
    }
    Ok(format!("{PREFIX}{name}-{suffix}"))
}

/// Refuses a name that AWS would refuse.
pub(super) fn check_name(name: &str) -> Result<(), Refusal> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-/_+=.@!".contains(c);
    if (1..=512).contains(&name.len()) && name.chars().all(allowed) {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalKind::Validation,
        "Invalid name. Must be a valid name containing alphanumeric characters, or any of the \
         following: -/_+=.@! (at most 512 of them)",
    ))
}

/// Refuses a ClientRequestToken that AWS would refuse.
pub(super) fn check_token(token: &str) -> Result<(), Refusal> {
    if (32..=64).contains(&token.chars().count()) {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalKind::InvalidParameter,
        "ClientRequestToken must be 32-64 characters long.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinguishes_names_arns_and_partial_arns() {
        let partial = format!("{PREFIX}prod/db");
        let whole = format!("{PREFIX}prod/db-a1B2c3");
        assert_eq!(SecretId::parse("prod/db"), SecretId::Name("prod/db"));
        assert_eq!(SecretId::parse("db-a1B2c3"), SecretId::Name("db-a1B2c3"));
        assert_eq!(SecretId::parse(&partial), SecretId::Name("prod/db"));
        assert_eq!(SecretId::parse(&whole), SecretId::Arn(&whole));
        let elsewhere = "arn:aws:secretsmanager:eu-west-1:000000000000:secret:prod/db";
        assert_eq!(SecretId::parse(elsewhere), SecretId::Arn(elsewhere));
    }

    #[test]
    fn every_reference_to_a_secret_has_one_name() {
        let whole = format!("{PREFIX}prod/db-a1B2c3");
        for id in ["prod/db", &format!("{PREFIX}prod/db"), &whole] {
            assert_eq!(name_of(id), "prod/db", "{id}");
        }
        assert_eq!(name_of("db-a1B2c3"), "db-a1B2c3");
        let elsewhere = "arn:aws:secretsmanager:eu-west-1:000000000000:secret:prod/db-a1B2c3";
        assert_eq!(name_of(elsewhere), elsewhere);
        assert_eq!(name_of(""), "");
    }

    #[test]
    fn new_arns_end_in_a_hyphen_and_six_characters() {
        let arn = new_arn("prod/db").unwrap();
        assert!(arn.starts_with(&format!("{PREFIX}prod/db-")));
        assert_eq!(SecretId::parse(&arn), SecretId::Arn(&arn));
        assert_ne!(arn, new_arn("prod/db").unwrap());
    }

    #[test]
    fn names_and_tokens_follow_the_rules_of_aws() {
        for good in ["a", "prod/orders/db", "A_1+=.@-!", &"x".repeat(512)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "ü", "a\0", "a:b", &"x".repeat(513)] {
            assert_eq!(check_name(bad).unwrap_err().kind, RefusalKind::Validation);
        }
        assert!(check_token(&"x".repeat(31)).is_err());
        assert!(check_token(&"x".repeat(32)).is_ok());
        assert!(check_token(&"x".repeat(64)).is_ok());
        assert!(check_token(&"x".repeat(65)).is_err());
    }
}
