//! Stored forms of PostgreSQL.
//!
//! # Failure modes
//! - Clients and this module prepare a password differently. As in PostgreSQL
//!   (src/common/saslprep.c), SASLprep is applied. A password that it refuses or empties is used
//!   byte by byte.

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::VerifierError;
use crate::secret::Sensitive;

/// Default of PostgreSQL's `scram_iterations`, the minimum of RFC 7677.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).unwrap();
/// SCRAM_DEFAULT_SALT_LEN in PostgreSQL's src/include/common/scram-common.h, in bytes.
const SALT_LEN: usize = 16;

/// A SCRAM-SHA-256 verifier with a new salt, as in `pg_authid.rolpassword`.
///
/// # Errors
/// [`VerifierError::NoRandomness`]
pub fn scram_sha_256(password: &Sensitive) -> Result<Sensitive, VerifierError> {
    let mut salt = [0_u8; SALT_LEN];
    rand::fill(&mut salt).map_err(|_| VerifierError::NoRandomness)?;
    Ok(scram_sha_256_with(password, &salt, ITERATIONS))
}

/// `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>` (RFC 5803, RFC 5802 section 3).
#[must_use]
pub fn scram_sha_256_with(password: &Sensitive, salt: &[u8], iterations: NonZeroU32) -> Sensitive {
    let keys = ScramKeys::derive(password, salt, iterations);
    SecretString::from(format!(
        "SCRAM-SHA-256${iterations}:{}${}:{}",
        BASE64_STANDARD.encode(salt),
        BASE64_STANDARD.encode(keys.stored().as_ref()),
        BASE64_STANDARD.encode(keys.server.as_ref()),
    ))
}

/// Keys of a password for SCRAM-SHA-256 (RFC 5802, section 3).
pub struct ScramKeys {
    client: hmac::Tag,
    server: hmac::Tag,
}

impl ScramKeys {
    /// Blocks for the duration of the `iterations`.
    #[must_use]
    pub fn derive(password: &Sensitive, salt: &[u8], iterations: NonZeroU32) -> Self {
        let prepared = prepare(password.expose_secret());
        let mut salted = Zeroizing::new([0_u8; digest::SHA256_OUTPUT_LEN]);
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            iterations,
            salt,
            prepared.as_bytes(),
            salted.as_mut(),
        );
        let key = hmac::Key::new(hmac::HMAC_SHA256, salted.as_ref());
        Self {
            client: hmac::sign(&key, b"Client Key"),
            server: hmac::sign(&key, b"Server Key"),
        }
    }

    fn stored(&self) -> digest::Digest {
        digest::digest(&digest::SHA256, self.client.as_ref())
    }

    /// The client's proof for the messages of an exchange.
    #[must_use]
    pub fn client_proof(&self, messages: &[u8]) -> Vec<u8> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.stored().as_ref());
        let signature = hmac::sign(&key, messages);
        let pairs = self.client.as_ref().iter().zip(signature.as_ref());
        pairs.map(|(one, other)| one ^ other).collect()
    }

    /// Whether the server has the password's stored form.
    #[must_use]
    pub fn is_server_signature(&self, messages: &[u8], signature: &[u8]) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.server.as_ref());
        hmac::verify(&key, messages, signature).is_ok()
    }
}

/// `md5` and the hexadecimal MD5 of password and user name: the old form of PostgreSQL, and
/// Redshift's.
#[must_use]
pub fn md5(password: &Sensitive, username: &str) -> Sensitive {
    let salted = Zeroizing::new(format!("{}{username}", password.expose_secret()));
    SecretString::from(format!("md5{:x}", md5::compute(salted.as_bytes())))
}

/// The answer to an md5 request with this salt ("Message Flow" in PostgreSQL's manual).
#[must_use]
pub fn md5_answer(password: &Sensitive, username: &str, salt: [u8; 4]) -> Sensitive {
    let stored = md5(password, username);
    let digits = stored.expose_secret().strip_prefix("md5");
    let mut salted = Zeroizing::new(digits.unwrap_or_default().as_bytes().to_vec());
    salted.extend_from_slice(&salt);
    SecretString::from(format!("md5{:x}", md5::compute(&*salted)))
}

fn prepare(password: &str) -> Zeroizing<String> {
    Zeroizing::new(match stringprep::saslprep(password) {
        Ok(prepared) if !prepared.is_empty() => prepared.into_owned(),
        _ => password.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Sensitive {
        SecretString::from(text)
    }

    #[test]
    fn the_scram_verifier_equals_a_known_vector() {
        // Password, salt and iterations of the example in RFC 7677, section 3. The client's proof
        // and the server's signature of that example match the two keys.
        let salt = BASE64_STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = scram_sha_256_with(&secret("pencil"), &salt, ITERATIONS);
        assert_eq!(
            verifier.expose_secret(),
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
    }

    #[test]
    fn the_scram_exchange_equals_a_known_vector() {
        // The example in RFC 7677, section 3.
        let salt = BASE64_STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let keys = ScramKeys::derive(&secret("pencil"), &salt, ITERATIONS);
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let messages = format!(
            "n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={nonce}"
        );
        let messages = messages.as_bytes();
        assert_eq!(
            BASE64_STANDARD.encode(keys.client_proof(messages)),
            "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        let signature = BASE64_STANDARD
            .decode("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
            .unwrap();
        assert!(keys.is_server_signature(messages, &signature));
        assert!(!keys.is_server_signature(b"others", &signature));
        assert!(!keys.is_server_signature(messages, &[]));
    }

    #[test]
    fn passwords_are_prepared_as_clients_prepare_them() {
        let salt = [7; 16];
        let of = |password| {
            scram_sha_256_with(&secret(password), &salt, ITERATIONS)
                .expose_secret()
                .to_owned()
        };
        // SASLprep maps a no-break space to a space, and a soft hyphen to nothing (RFC 4013).
        assert_eq!(of("a\u{a0}b"), of("a b"));
        assert_eq!(of("a\u{ad}b"), of("ab"));
        // SASLprep refuses a control character, which is then used unchanged.
        assert_ne!(of("a\u{7}b"), of("ab"));
    }

    #[test]
    fn two_verifiers_of_one_password_differ() {
        let (one, two) = (scram_sha_256(&secret("x")), scram_sha_256(&secret("x")));
        assert_ne!(one.unwrap().expose_secret(), two.unwrap().expose_secret());
    }

    #[test]
    fn the_md5_form_is_salted_with_the_user_name() {
        // `SELECT 'md5' || md5('secret' || 'app')`
        assert_eq!(
            md5(&secret("secret"), "app").expose_secret(),
            "md56a422f785c9e20873908ce25d1736ae2"
        );
        assert_ne!(
            md5(&secret("secret"), "app").expose_secret(),
            md5(&secret("secret"), "app_clone").expose_secret()
        );
    }
}
