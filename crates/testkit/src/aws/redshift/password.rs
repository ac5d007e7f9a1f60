//! Stored forms of passwords and their verification (CREATE USER).

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value as Json, json};

/// A stored password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// `md5` and the digest of password and user name.
    Md5(String),
    /// `sha256|digest|salt`.
    Sha256(String),
    /// Only temporary credentials are accepted.
    Disabled,
}

impl Stored {
    pub fn as_json(&self) -> Json {
        match self {
            Self::Md5(stored) | Self::Sha256(stored) => json!(stored),
            Self::Disabled => Json::Null,
        }
    }
}

/// Parses the string after PASSWORD.
///
/// # Errors
/// The server's message for a password that is too weak.
pub fn stored(text: &str, user: &str) -> Result<Stored, String> {
    let digits = |text: &str, length: usize| {
        text.len() == length && text.chars().all(|c| c.is_ascii_hexdigit())
    };
    if let Some(hash) = text.strip_prefix("md5")
        && digits(hash, 32)
    {
        return Ok(Stored::Md5(format!("md5{}", hash.to_ascii_lowercase())));
    }
    if let Some(rest) = text.strip_prefix("sha256|") {
        return match rest.split_once('|') {
            Some((hash, salt)) if digits(hash, 64) && digits(salt, 64) => {
                Ok(Stored::Sha256(text.to_ascii_lowercase()))
            }
            Some(_) => Err("invalid SHA256 password".into()),
            None => {
                check(rest)?;
                let salt: [u8; 32] = std::array::from_fn(|_| uuid::Uuid::new_v4().as_bytes()[0]);
                Ok(Stored::Sha256(sha256(rest, &salt)))
            }
        };
    }
    check(text)?;
    Ok(Stored::Md5(md5(text, user)))
}

/// Checks the rules for a password in clear; a digest is not checked.
fn check(password: &str) -> Result<(), String> {
    let has = |kind: fn(&char) -> bool| password.chars().any(|c| kind(&c));
    if !(8..=64).contains(&password.chars().count()) {
        return Err("password must be between 8 and 64 characters".into());
    }
    let upper = has(char::is_ascii_uppercase);
    if !upper || !has(char::is_ascii_lowercase) || !has(char::is_ascii_digit) {
        return Err(
            "password must contain an uppercase letter, a lowercase letter and a number".into(),
        );
    }
    if password
        .chars()
        .any(|c| !('!'..='~').contains(&c) || "'\"\\/@".contains(c))
    {
        return Err("password contains a character that is not allowed".into());
    }
    Ok(())
}

fn md5(password: &str, user: &str) -> String {
    format!("md5{:x}", md5::compute(format!("{password}{user}")))
}

fn sha256(password: &str, salt: &[u8]) -> String {
    let hash = digest(&SHA256, &[password.as_bytes(), salt].concat());
    format!("sha256|{}|{}", hex(hash.as_ref()), hex(salt))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether `password` matches the stored form.
pub fn holds(stored: &str, password: &str, user: &str) -> bool {
    let Some(rest) = stored.strip_prefix("sha256|") else {
        return stored == md5(password, user);
    };
    let salt = rest.split_once('|').map_or("", |(_, salt)| salt);
    let bytes: Vec<u8> = (0..salt.len() / 2)
        .map(|at| u8::from_str_radix(&salt[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    stored == sha256(password, &bytes)
}
