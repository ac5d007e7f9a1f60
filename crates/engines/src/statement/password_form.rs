//! Forms in which a statement takes the password.
//!
//! # Failure modes
//! - A password breaks out of its statement: all forms but the clear one consist of letters, digits
//!   and `$*+-/:=|`. A form that stands without quotes is hexadecimal, and the clear one is escaped
//!   as a JSON string.
//! - A statement gets another engine's form: the form itself renders the password.

use aws_lc_rs::hmac;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroize;

use crate::EngineError;
use twinkey_core::secret::Sensitive;
use twinkey_core::secret::password::PasswordPolicy;
use twinkey_core::secret::verifier::{self, VerifierError};

/// Form in which a statement takes the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordForm {
    /// A SCRAM-SHA-256 verifier as PostgreSQL stores it.
    ScramSha256,
    /// PostgreSQL's `md5…` of the password and this user name.
    PostgresMd5 { username: String },
    /// `*` and 40 hexadecimal digits: `mysql_native_password`.
    MysqlNative,
    /// `caching_sha2_password`'s hash, as `0x…`: the digest of this many thousands of rounds.
    CachingSha2 { thousands: u16 },
    /// The public key that MariaDB's `ed25519` plugin stores.
    MariadbEd25519,
    /// The password itself, escaped for a JSON string: for the engine that takes no other form.
    Clear,
    /// A new random password that is not stored: for a user that must not sign in any more.
    Throwaway,
    /// [`unfinished_password`] in another form: for a new user that is not complete yet.
    Unfinished(Box<Self>),
    /// Redshift's `md5…` of the password and this user name, as Redshift stores the name.
    RedshiftMd5 { username: String },
    /// Redshift's `sha256|…|…`, with a random salt.
    RedshiftSha256,
}

impl PasswordForm {
    /// The text for the statement. It stands between quotes, but for [`PasswordForm::CachingSha2`].
    ///
    /// # Errors
    /// [`EngineError::Busy`] when there is no randomness for a salt, [`EngineError::Refused`] when
    /// the engine does not allow the number of rounds.
    pub fn render(&self, password: &Sensitive) -> Result<Sensitive, EngineError> {
        match self {
            Self::ScramSha256 => verifier::scram_sha_256(password).map_err(explain),
            Self::PostgresMd5 { username } => Ok(verifier::md5(password, username)),
            Self::MysqlNative => Ok(verifier::mysql_native(password)),
            Self::CachingSha2 { thousands } => verifier::caching_sha2(password, *thousands)
                .map(|stored| hexadecimal(&stored))
                .map_err(explain),
            Self::MariadbEd25519 => Ok(verifier::mariadb_ed25519(password)),
            Self::Clear => Ok(in_json(password)),
            Self::Throwaway => PasswordPolicy::default()
                .generate()
                .map_err(|_| explain(VerifierError::NoRandomness)),
            Self::Unfinished(form) => form.render(&unfinished_password(password)),
            Self::RedshiftMd5 { username } => Ok(verifier::md5(password, username)),
            Self::RedshiftSha256 => verifier::redshift_sha256(password).map_err(explain),
        }
    }

    /// Whether the server's `stored` value in this form was made of `password`. `None` where no
    /// master can read it (PostgreSQL on RDS, DocumentDB), and for Redshift, whose inspection does
    /// not.
    #[must_use]
    pub fn holds(&self, stored: &[u8], password: &Sensitive) -> Option<bool> {
        match self {
            Self::ScramSha256
            | Self::PostgresMd5 { .. }
            | Self::Clear
            | Self::Throwaway
            | Self::Unfinished(_)
            | Self::RedshiftMd5 { .. }
            | Self::RedshiftSha256 => None,
            // The server reads the digits in either case.
            Self::MysqlNative => Some(equal(
                &stored.to_ascii_uppercase(),
                &verifier::mysql_native(password),
            )),
            Self::CachingSha2 { .. } => Some(verifier::caching_sha2_matches(stored, password)),
            Self::MariadbEd25519 => Some(equal(stored, &verifier::mariadb_ed25519(password))),
        }
    }
}

/// The password of a new user between its creation and its pending password, where the engine cannot
/// create a user without one.
///
/// It is derived from the pending password (HMAC-SHA256), so that the next run recognises the user of
/// an interrupted one. No other program can compute it.
#[must_use]
pub fn unfinished_password(pending: &Sensitive) -> Sensitive {
    let key = hmac::Key::new(hmac::HMAC_SHA256, pending.expose_secret().as_bytes());
    let tag = hmac::sign(&key, b"twinkey: password of a user that is not complete");
    let digits = tag.as_ref().iter().map(|byte| format!("{byte:02x}"));
    SecretString::from(digits.collect::<String>())
}

fn equal(stored: &[u8], made: &Sensitive) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(stored, made.expose_secret().as_bytes())
        .is_ok()
}

fn in_json(password: &Sensitive) -> Sensitive {
    let mut quoted = serde_json::Value::from(password.expose_secret()).to_string();
    let between = quoted.get(1..quoted.len() - 1).unwrap_or_default();
    let between = SecretString::from(between);
    quoted.zeroize();
    between
}

fn hexadecimal(stored: &Sensitive) -> Sensitive {
    let bytes = stored.expose_secret().as_bytes();
    let digits: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    SecretString::from(format!("0x{digits}"))
}

fn explain(error: VerifierError) -> EngineError {
    let what = "making the stored form of a password".to_owned();
    let reason = error.to_string();
    match error {
        VerifierError::NoRandomness => EngineError::Busy { what, reason },
        VerifierError::Rounds { .. } => EngineError::Refused {
            what,
            reason,
            hint: "set caching_sha2_password_digest_rounds to between 5000 and 4095000, and give the active user its password once more".into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinkey_core::code::Diagnostic as _;

    fn secret(text: &str) -> Sensitive {
        SecretString::from(text)
    }

    fn unhex(text: &str) -> Vec<u8> {
        let digits = text.strip_prefix("0x").unwrap();
        (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
            .collect()
    }

    #[test]
    fn a_rendered_form_matches_its_password_only() {
        for form in [
            PasswordForm::MysqlNative,
            PasswordForm::CachingSha2 { thousands: 5 },
            PasswordForm::MariadbEd25519,
        ] {
            let rendered = form.render(&secret("one")).unwrap();
            let stored = match form {
                PasswordForm::CachingSha2 { .. } => unhex(rendered.expose_secret()),
                _ => rendered.expose_secret().as_bytes().to_vec(),
            };
            assert_eq!(form.holds(&stored, &secret("one")), Some(true), "{form:?}");
            assert_eq!(form.holds(&stored, &secret("two")), Some(false), "{form:?}");
            assert_eq!(form.holds(b"", &secret("one")), Some(false), "{form:?}");
        }
    }

    #[test]
    fn a_rendered_form_ends_no_string_and_starts_no_comment() {
        let password = secret("'; -- \\ \" ☃");
        let username = "a'b".to_owned();
        for form in [
            PasswordForm::ScramSha256,
            PasswordForm::PostgresMd5 {
                username: username.clone(),
            },
            PasswordForm::MysqlNative,
            PasswordForm::CachingSha2 { thousands: 5 },
            PasswordForm::MariadbEd25519,
            PasswordForm::RedshiftMd5 { username },
            PasswordForm::RedshiftSha256,
        ] {
            let rendered = form.render(&password).unwrap();
            let text = rendered.expose_secret();
            let harmless = |c: char| c.is_ascii_alphanumeric() || "$*+-/:=|".contains(c);
            assert!(text.chars().all(harmless) && !text.contains("--"), "{text}");
        }
    }

    #[test]
    fn a_clear_password_is_only_a_string_in_its_command() {
        for password in ["plain", "\"}, \"pwd\": \"", "\\", "\u{7}☃\n"] {
            let rendered = PasswordForm::Clear.render(&secret(password)).unwrap();
            let json = format!("{{\"pwd\":\"{}\"}}", rendered.expose_secret());
            let read: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(read, serde_json::json!({"pwd": password}));
        }
    }

    #[test]
    fn a_throwaway_password_is_random_each_time() {
        let pending = secret("pending");
        let [one, two] = [(); 2].map(|()| PasswordForm::Throwaway.render(&pending).unwrap());
        assert_ne!(one.expose_secret(), two.expose_secret());
        assert!(one.expose_secret().len() >= 32);
        assert!(!one.expose_secret().contains("pending"));
    }

    #[test]
    fn an_unfinished_password_depends_on_the_pending_one() {
        let [one, again, two] =
            ["one", "one", "two"].map(|text| unfinished_password(&secret(text)));
        assert_eq!(one.expose_secret(), again.expose_secret());
        assert_ne!(one.expose_secret(), two.expose_secret());
        let form = PasswordForm::Unfinished(Box::new(PasswordForm::Clear));
        let rendered = form.render(&secret("one")).unwrap();
        assert_eq!(rendered.expose_secret(), one.expose_secret());
        assert_eq!(one.expose_secret().len(), 64);
    }

    #[test]
    fn a_native_form_in_lower_case_is_the_same() {
        let stored = b"*14e65567abdb5135d0cfd9a70b3032c179a49ee7";
        assert_eq!(
            PasswordForm::MysqlNative.holds(stored, &secret("secret")),
            Some(true)
        );
    }

    #[test]
    fn a_wrong_number_of_rounds_is_not_retryable() {
        let error = PasswordForm::CachingSha2 { thousands: 4 }
            .render(&secret("x"))
            .unwrap_err();
        assert!(!error.retryable(), "{error}");
    }
}
