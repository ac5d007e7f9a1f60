//! Stored form of MariaDB's `ed25519`, and the signature of its sign-in.
//!
//! The scheme is Ed25519 (RFC 8032, section 5.1) with a password of any length in place of the
//! 32-byte seed (plugin/auth_ed25519 in MariaDB's source). Libraries accept 32-byte seeds only, so
//! this module uses the arithmetic of the curve.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::secret::Sensitive;

/// The public key of a password, in base64 without padding: 43 characters.
#[must_use]
pub fn mariadb_ed25519(password: &Sensitive) -> Sensitive {
    let key = Key::of(password);
    SecretString::from(BASE64_STANDARD_NO_PAD.encode(key.public.as_bytes()))
}

/// The signature of the server's `nonce`, which proves knowledge of the password.
#[must_use]
pub fn mariadb_ed25519_signature(password: &Sensitive, nonce: &[u8]) -> [u8; 64] {
    let key = Key::of(password);
    let once = wide(&[key.prefix.as_ref(), nonce]);
    let commitment = EdwardsPoint::mul_base(&once).compress();
    let challenge = wide(&[commitment.as_bytes(), key.public.as_bytes(), nonce]);
    let answer = Zeroizing::new(*once + *challenge * *key.scalar);
    let mut signature = [0_u8; 64];
    let (first, second) = signature.split_at_mut(32);
    first.copy_from_slice(commitment.as_bytes());
    second.copy_from_slice(answer.as_bytes());
    signature
}

struct Key {
    scalar: Zeroizing<Scalar>,
    /// Input that makes the signature's secret number depend on the key.
    prefix: Zeroizing<[u8; 32]>,
    public: CompressedEdwardsY,
}

impl Key {
    fn of(password: &Sensitive) -> Self {
        let hash = sha512(&[password.expose_secret().as_bytes()]);
        let mut halves = [Zeroizing::new([0_u8; 32]), Zeroizing::new([0_u8; 32])];
        for (half, bytes) in halves.iter_mut().zip(hash.chunks_exact(32)) {
            half.copy_from_slice(bytes);
        }
        let [secret, prefix] = halves;
        // Reduction modulo the order of the base point does not change its multiples.
        let scalar = Zeroizing::new(Scalar::from_bytes_mod_order(clamp_integer(*secret)));
        Self {
            public: EdwardsPoint::mul_base(&scalar).compress(),
            scalar,
            prefix,
        }
    }
}

fn wide(parts: &[&[u8]]) -> Zeroizing<Scalar> {
    Zeroizing::new(Scalar::from_bytes_mod_order_wide(&sha512(parts)))
}

fn sha512(parts: &[&[u8]]) -> Zeroizing<[u8; 64]> {
    let mut context = digest::Context::new(&digest::SHA512);
    for part in parts {
        context.update(part);
    }
    let mut hash = Zeroizing::new([0_u8; 64]);
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    #[test]
    fn the_public_key_is_the_one_that_mariadb_stores() {
        // MariaDB 10.11: CREATE USER … IDENTIFIED VIA ed25519 USING PASSWORD('…');
        // mysql.global_priv
        let long = format!("Pässwörd ☃ {}", "x".repeat(200));
        for (password, stored) in [
            ("secret", "ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY"),
            (long.as_str(), "E+YzcQHSx1B98rKsu9Z4cIo1K4cEK9p2o4scG3AGlIM"),
        ] {
            let made = mariadb_ed25519(&SecretString::from(password));
            assert_eq!(made.expose_secret(), stored);
        }
    }

    #[test]
    fn a_signature_is_the_passwords_and_the_nonces_own() {
        let password = SecretString::from("correct horse, battery; staple ☃");
        let public = BASE64_STANDARD_NO_PAD
            .decode(mariadb_ed25519(&password).expose_secret())
            .unwrap();
        let key = UnparsedPublicKey::new(&ED25519, public);
        let signature = mariadb_ed25519_signature(&password, b"nonce");
        assert!(key.verify(b"nonce", &signature).is_ok());
        assert!(key.verify(b"another", &signature).is_err());
        let others = mariadb_ed25519_signature(&SecretString::from("another"), b"nonce");
        assert!(key.verify(b"nonce", &others).is_err());
    }
}
