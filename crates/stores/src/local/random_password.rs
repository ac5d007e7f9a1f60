//! GetRandomPassword, with the parameters and defaults of the API.
//!
//! # Failure modes
//! - No password can meet the request, and the result does not meet it or never ends. Such a
//!   request is refused before anything is drawn.

use aws_lc_rs::rand;
use secrecy::SecretString;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::api::request::null_as_default;
use super::constraints::{in_range, within};
use super::refusal::{Refusal, RefusalKind};
use twinkey_core::secret::Sensitive;

/// The limits of the API reference.
const MAX_LENGTH: i64 = 4096;
const MAX_EXCLUDED: usize = 4096;

const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const NUMBERS: &str = "0123456789";
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/// The parameters of GetRandomPassword.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct PasswordRequest {
    password_length: Option<i64>,
    #[serde(deserialize_with = "null_as_default")]
    exclude_characters: String,
    #[serde(deserialize_with = "null_as_default")]
    exclude_lowercase: bool,
    #[serde(deserialize_with = "null_as_default")]
    exclude_uppercase: bool,
    #[serde(deserialize_with = "null_as_default")]
    exclude_numbers: bool,
    #[serde(deserialize_with = "null_as_default")]
    exclude_punctuation: bool,
    #[serde(deserialize_with = "null_as_default")]
    include_space: bool,
    require_each_included_type: Option<bool>,
}

/// Generates a password.
///
/// # Errors
/// ValidationException if a parameter is out of its limits, and InvalidParameterException if no
/// password can meet the request.
pub(super) fn generate(request: &PasswordRequest) -> Result<Sensitive, Refusal> {
    let invalid = |why: &str| Err(Refusal::new(RefusalKind::InvalidParameter, why));
    let length = request.password_length.unwrap_or(32);
    in_range("passwordLength", length, 1..=MAX_LENGTH)?;
    let length = usize::try_from(length).unwrap_or_default();
    let excluded = Some(request.exclude_characters.as_str());
    within("excludeCharacters", excluded, 0..=MAX_EXCLUDED)?;
    let classes: Vec<Vec<u8>> = [
        (LOWER, !request.exclude_lowercase),
        (UPPER, !request.exclude_uppercase),
        (NUMBERS, !request.exclude_numbers),
        (PUNCTUATION, !request.exclude_punctuation),
        (" ", request.include_space),
    ]
    .into_iter()
    .filter(|(_, included)| *included)
    .map(|(class, _)| {
        class
            .bytes()
            .filter(|b| !request.exclude_characters.contains(char::from(*b)))
            .collect()
    })
    .filter(|class: &Vec<u8>| !class.is_empty())
    .collect();
    let alphabet = classes.concat();
    if alphabet.is_empty() {
        return invalid("No character is left for a password.");
    }
    let required = if request.require_each_included_type.unwrap_or(true) {
        classes
    } else {
        Vec::new()
    };
    if required.len() > length {
        return invalid("Password length is too short based on the required types.");
    }
    let mut drawn = Zeroizing::new(Vec::with_capacity(length));
    for class in &required {
        drawn.push(class[below(class.len())?]);
    }
    while drawn.len() < length {
        drawn.push(alphabet[below(alphabet.len())?]);
    }
    // Shuffles the required characters, which come first (Fisher and Yates).
    for last in (1..drawn.len()).rev() {
        drawn.swap(last, below(last + 1)?);
    }
    Ok(SecretString::from(
        drawn.iter().map(|b| char::from(*b)).collect::<String>(),
    ))
}

/// A uniformly distributed number in `0..n`; `n` is at most 4096.
fn below(n: usize) -> Result<usize, Refusal> {
    let limit = 65_536 - 65_536 % n;
    let mut bytes = [0_u8; 2];
    loop {
        rand::fill(&mut bytes).map_err(|_| {
            Refusal::new(
                RefusalKind::Internal,
                "the operating system returned no random bytes",
            )
        })?;
        let drawn = usize::from(u16::from_be_bytes(bytes));
        if drawn < limit {
            return Ok(drawn % n);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn request(json: &str) -> PasswordRequest {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_password_has_each_included_type_and_nothing_excluded() {
        for _ in 0..200 {
            let secret = generate(&request(
                r#"{"PasswordLength":4,"ExcludeCharacters":"/@\"'\\","IncludeSpace":false}"#,
            ))
            .unwrap();
            let text = secret.expose_secret();
            assert_eq!(text.len(), 4);
            for class in [LOWER, UPPER, NUMBERS, PUNCTUATION] {
                assert!(text.contains(|c| class.contains(c)));
            }
            assert!(!text.contains(['/', '@', '"', '\'', '\\']));
        }
        assert_eq!(
            generate(&PasswordRequest::default())
                .unwrap()
                .expose_secret()
                .len(),
            32
        );
    }

    #[test]
    fn refuses_impossible_requests() {
        let excluded = format!(r#"{{"ExcludeCharacters":"{}"}}"#, "a".repeat(4097));
        for (json, kind) in [
            (r#"{"PasswordLength":-1}"#, RefusalKind::Validation),
            (r#"{"PasswordLength":0}"#, RefusalKind::Validation),
            (r#"{"PasswordLength":4097}"#, RefusalKind::Validation),
            (&excluded, RefusalKind::Validation),
            (r#"{"PasswordLength":3}"#, RefusalKind::InvalidParameter),
            (
                r#"{"ExcludeLowercase":true,"ExcludeUppercase":true,"ExcludeNumbers":true,"ExcludePunctuation":true}"#,
                RefusalKind::InvalidParameter,
            ),
        ] {
            let refusal = generate(&request(json)).unwrap_err();
            assert_eq!(refusal.kind, kind, "{refusal}");
        }
    }
}
