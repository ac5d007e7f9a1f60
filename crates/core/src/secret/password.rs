//! New passwords.
//!
//! # Failure modes
//! - A client must escape a character of a password. The default alphabet is the unreserved set of
//!   RFC 3986, and a policy refuses characters that break URLs, shells and drivers.
//! - A password is biased or can be guessed. It is drawn from the operating system's generator,
//!   with rejection.
//! - A policy is too weak. Fewer than 128 bits are refused.

use aws_lc_rs::rand;
use secrecy::SecretString;
use serde::Serialize;
use zeroize::Zeroize;

use super::Sensitive;

const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &str = "0123456789";
/// Characters permitted in `symbols`: printable ASCII except `/ @ " ' \`, space and the characters
/// that AWS's rotation functions omit for some engine.
const ALLOWED_SYMBOLS: &str = "!#$%&()*+,-.:;<=>?[]^_`{|}~";
/// The longest password that every engine accepts (Redshift: 64 characters).
const MAX_LENGTH: usize = 64;
const MIN_BITS: f64 = 128.0;

/// Composition of new passwords: letters, digits and `symbols`, each class at least once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PasswordPolicy {
    length: usize,
    symbols: String,
}

/// Error of a password policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("length must be at most {MAX_LENGTH}: Redshift accepts no more")]
    TooLong,
    #[error("length must be at least {0}: a shorter password has fewer than 128 bits")]
    TooShort(usize),
    #[error("symbols contains {0:?}, which clients must escape; allowed are {ALLOWED_SYMBOLS}")]
    Symbol(char),
}

impl Default for PasswordPolicy {
    /// 32 characters of the unreserved set of RFC 3986: 193 bits, without characters to escape.
    fn default() -> Self {
        Self {
            length: 32,
            symbols: "-_.~".into(),
        }
    }
}

impl PasswordPolicy {
    /// A policy that is strong enough and whose passwords every engine accepts.
    ///
    /// # Errors
    /// [`PolicyError`]
    pub fn new(length: usize, symbols: &str) -> Result<Self, PolicyError> {
        if let Some(c) = symbols.chars().find(|c| !ALLOWED_SYMBOLS.contains(*c)) {
            return Err(PolicyError::Symbol(c));
        }
        let mut unique: Vec<char> = symbols.chars().collect();
        unique.sort_unstable();
        unique.dedup();
        let alphabet = LOWER.len() + UPPER.len() + DIGITS.len() + unique.len();
        let min_length = (MIN_BITS / f64::log2(alphabet as f64)).ceil() as usize;
        if length < min_length {
            return Err(PolicyError::TooShort(min_length));
        }
        if length > MAX_LENGTH {
            return Err(PolicyError::TooLong);
        }
        Ok(Self {
            length,
            symbols: unique.into_iter().collect(),
        })
    }

    /// The length in characters, which are all ASCII.
    #[must_use]
    pub const fn length(&self) -> usize {
        self.length
    }

    /// A new password from the operating system's generator.
    ///
    /// # Errors
    /// The error of [`rand::fill`] if no random numbers are available.
    pub fn generate(&self) -> Result<Sensitive, aws_lc_rs::error::Unspecified> {
        let classes: Vec<&str> = [LOWER, UPPER, DIGITS, &self.symbols]
            .into_iter()
            .filter(|c| !c.is_empty())
            .collect();
        let alphabet: Vec<u8> = classes.concat().into_bytes();
        loop {
            let mut password = String::with_capacity(self.length);
            for _ in 0..self.length {
                password.push(char::from(alphabet[uniform(alphabet.len())?]));
            }
            // Drawing the whole password again keeps all valid passwords equally likely.
            if classes
                .iter()
                .all(|class| password.contains(|c| class.contains(c)))
            {
                return Ok(SecretString::from(password));
            }
            password.zeroize();
        }
    }
}

/// A number in `0..n`, each equally likely; `n` is at most 256.
fn uniform(n: usize) -> Result<usize, aws_lc_rs::error::Unspecified> {
    let limit = 256 - 256 % n;
    let mut byte = [0_u8; 1];
    loop {
        rand::fill(&mut byte)?;
        if usize::from(byte[0]) < limit {
            return Ok(usize::from(byte[0]) % n);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    #[test]
    fn a_password_has_its_length_and_every_class() {
        for (length, symbols) in [(32, "-_.~"), (22, ""), (64, "!#$%")] {
            let policy = PasswordPolicy::new(length, symbols).unwrap();
            for _ in 0..200 {
                let secret = policy.generate().unwrap();
                let password = secret.expose_secret();
                assert_eq!(password.len(), length);
                for class in [LOWER, UPPER, DIGITS] {
                    assert!(password.contains(|c| class.contains(c)));
                }
                assert_eq!(
                    symbols.is_empty(),
                    !password.contains(|c| symbols.contains(c))
                );
            }
        }
    }

    #[test]
    fn no_two_passwords_are_equal() {
        let policy = PasswordPolicy::default();
        let all: std::collections::HashSet<String> = (0..500)
            .map(|_| policy.generate().unwrap().expose_secret().to_owned())
            .collect();
        assert_eq!(all.len(), 500);
    }

    #[test]
    fn a_weak_or_awkward_policy_is_refused() {
        assert_eq!(PasswordPolicy::new(21, ""), Err(PolicyError::TooShort(22)));
        assert_eq!(PasswordPolicy::new(65, ""), Err(PolicyError::TooLong));
        for c in ['/', '@', '"', '\'', '\\', ' ', 'ü', '\0'] {
            assert_eq!(
                PasswordPolicy::new(32, &c.to_string()),
                Err(PolicyError::Symbol(c))
            );
        }
    }

    #[test]
    fn every_character_is_about_as_likely_as_any_other() {
        let mut counts = [0_u32; 62];
        for _ in 0..62_000 {
            counts[uniform(62).unwrap()] += 1;
        }
        // 1,000 expected each; 5 standard deviations are 157.
        assert!(counts.iter().all(|c| (840..1160).contains(c)), "{counts:?}");
    }
}
