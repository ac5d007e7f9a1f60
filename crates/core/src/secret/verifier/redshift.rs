//! Stored form of Redshift, besides PostgreSQL's md5 form.
//!
//! # Failure modes
//! - The salt is hashed as its hexadecimal digits, and the password does not sign in. The salt is
//!   hashed as bytes (CREATE USER in the Redshift developer guide).

use aws_lc_rs::{digest, rand};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::VerifierError;
use crate::secret::Sensitive;

/// Length in bytes, as in the example of the developer guide.
const SALT_LEN: usize = 32;

/// The sha256 form with a new salt.
///
/// # Errors
/// [`VerifierError::NoRandomness`]
pub fn redshift_sha256(password: &Sensitive) -> Result<Sensitive, VerifierError> {
    let mut salt = [0_u8; SALT_LEN];
    rand::fill(&mut salt).map_err(|_| VerifierError::NoRandomness)?;
    Ok(redshift_sha256_with(password, &salt))
}

/// `sha256|<digest of password and salt>|<salt>`, both in hexadecimal digits.
#[must_use]
pub fn redshift_sha256_with(password: &Sensitive, salt: &[u8]) -> Sensitive {
    let salted = Zeroizing::new([password.expose_secret().as_bytes(), salt].concat());
    let stored = digest::digest(&digest::SHA256, &salted);
    SecretString::from(format!("sha256|{}|{}", hex(stored.as_ref()), hex(salt)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_a_digest_of_password_and_salt_bytes() {
        // `printf 'Mypassword1\x00\xff' | sha256sum`
        let stored = redshift_sha256_with(&SecretString::from("Mypassword1"), &[0, 255]);
        let (form, salt) = stored.expose_secret().rsplit_once('|').unwrap();
        assert_eq!(salt, "00ff");
        assert_eq!(
            form,
            "sha256|38e7c8c985a1b1ca9ed8bb6d3483f9bd294e53996fd92509a326e9554c12e89c"
        );
    }

    #[test]
    fn two_forms_of_one_password_differ() {
        let password = SecretString::from("x");
        let (one, two) = (redshift_sha256(&password), redshift_sha256(&password));
        assert_ne!(one.unwrap().expose_secret(), two.unwrap().expose_secret());
    }
}
