//! In which form a statement takes the password.
//!
//! What can go wrong, and what prevents it:
//! - a form breaks out of the statement around it: all but the clear one are made of letters, digits
//!   and `$*+-/:=|`, the one whose statement takes it without quotes is hexadecimal, and the clear one
//!   is escaped as JSON has it;
//! - one engine is asked for another's form: a slot makes its own, whoever fills it.

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroize;

use super::EngineError;
use twinkey_core::secret::Sensitive;
use twinkey_core::secret::password::PasswordPolicy;
use twinkey_core::secret::verifier::{self, VerifierError};

/// In which form a statement takes the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slot {
    /// A SCRAM-SHA-256 verifier as PostgreSQL stores it.
    ScramSha256,
    /// PostgreSQL's `md5…` of the password and this user name.
    PostgresMd5 { username: String },
    /// `*` and 40 hexadecimal digits: `mysql_native_password`.
    MysqlNative,
    /// What `caching_sha2_password` stores, as `0x…`: the digest in this many thousands of rounds.
    CachingSha2 { thousands: u16 },
    /// The public key that MariaDB's `ed25519` stores.
    MariadbEd25519,
    /// The password itself, as it stands between the quotes of a JSON string: for the engine that takes
    /// no other form.
    Clear,
    /// A password that nobody knows, drawn anew each time: for a user that must not sign in yet.
    Throwaway,
    /// Redshift's `md5…` of the password and this user name, as Redshift stores the name.
    RedshiftMd5 { username: String },
    /// Redshift's `sha256|…|…`, on a salt of its own.
    RedshiftSha256,
}

impl Slot {
    /// What goes into the statement: between quotes, for [`Slot::CachingSha2`] (`0x…`) without any.
    ///
    /// # Errors
    /// [`EngineError::Busy`] when there is no randomness for a salt, [`EngineError::Refused`] when
    /// the engine takes no such number of rounds.
    pub fn fill(&self, password: &Sensitive) -> Result<Sensitive, EngineError> {
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
            Self::RedshiftMd5 { username } => Ok(verifier::md5(password, username)),
            Self::RedshiftSha256 => verifier::redshift_sha256(password).map_err(explain),
        }
    }

    /// Whether `stored`, as the server has it and in this form, was made of `password`. `None` where no
    /// master can read what is stored (PostgreSQL's on RDS, DocumentDB's), and for Redshift's, which is not
    /// read.
    #[must_use]
    pub fn holds(&self, stored: &[u8], password: &Sensitive) -> Option<bool> {
        match self {
            Self::ScramSha256
            | Self::PostgresMd5 { .. }
            | Self::Clear
            | Self::Throwaway
            | Self::RedshiftMd5 { .. }
            | Self::RedshiftSha256 => None,
            // The server reads the digits in either case.
            Self::MysqlNative => Some(equal(
                &stored.to_ascii_uppercase(),
                &verifier::mysql_native(password),
            )),
            Self::CachingSha2 { .. } => Some(verifier::caching_sha2_holds(stored, password)),
            Self::MariadbEd25519 => Some(equal(stored, &verifier::mariadb_ed25519(password))),
        }
    }
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
    fn what_fills_a_slot_is_made_of_the_password_and_no_other() {
        for slot in [
            Slot::MysqlNative,
            Slot::CachingSha2 { thousands: 5 },
            Slot::MariadbEd25519,
        ] {
            let filling = slot.fill(&secret("one")).unwrap();
            let stored = match slot {
                Slot::CachingSha2 { .. } => unhex(filling.expose_secret()),
                _ => filling.expose_secret().as_bytes().to_vec(),
            };
            assert_eq!(slot.holds(&stored, &secret("one")), Some(true), "{slot:?}");
            assert_eq!(slot.holds(&stored, &secret("two")), Some(false), "{slot:?}");
            assert_eq!(slot.holds(b"", &secret("one")), Some(false), "{slot:?}");
        }
    }

    #[test]
    fn nothing_that_fills_a_slot_can_end_a_string_or_start_a_comment() {
        let password = secret("'; -- \\ \" ☃");
        let username = "a'b".to_owned();
        for slot in [
            Slot::ScramSha256,
            Slot::PostgresMd5 {
                username: username.clone(),
            },
            Slot::MysqlNative,
            Slot::CachingSha2 { thousands: 5 },
            Slot::MariadbEd25519,
            Slot::RedshiftMd5 { username },
            Slot::RedshiftSha256,
        ] {
            let filling = slot.fill(&password).unwrap();
            let text = filling.expose_secret();
            let harmless = |c: char| c.is_ascii_alphanumeric() || "$*+-/:=|".contains(c);
            assert!(text.chars().all(harmless) && !text.contains("--"), "{text}");
        }
    }

    #[test]
    fn a_clear_password_is_only_a_string_in_its_command() {
        for password in ["plain", "\"}, \"pwd\": \"", "\\", "\u{7}☃\n"] {
            let filling = Slot::Clear.fill(&secret(password)).unwrap();
            let json = format!("{{\"pwd\":\"{}\"}}", filling.expose_secret());
            let read: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(read, serde_json::json!({"pwd": password}));
        }
    }

    #[test]
    fn a_throwaway_password_is_another_one_each_time_and_never_the_pending_one() {
        let pending = secret("pending");
        let [one, two] = [(); 2].map(|()| Slot::Throwaway.fill(&pending).unwrap());
        assert_ne!(one.expose_secret(), two.expose_secret());
        assert!(one.expose_secret().len() >= 32);
        assert!(!one.expose_secret().contains("pending"));
    }

    #[test]
    fn a_native_form_in_lower_case_is_the_same() {
        let stored = b"*14e65567abdb5135d0cfd9a70b3032c179a49ee7";
        assert_eq!(
            Slot::MysqlNative.holds(stored, &secret("secret")),
            Some(true)
        );
    }

    #[test]
    fn impossible_rounds_are_an_error_that_nobody_retries() {
        let error = Slot::CachingSha2 { thousands: 4 }
            .fill(&secret("x"))
            .unwrap_err();
        assert!(!error.retryable(), "{error}");
    }
}
