//! Values sealed with AES-256-GCM and a random nonce.
//!
//! # Failure modes
//! - A value is copied into the row of another secret or version. Both names are authenticated.
//! - A nonce repeats. Nonces have 96 random bits, and one key seals far fewer than 2^32 values.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;
use zeroize::Zeroizing;

/// Length of a key.
pub(in crate::local) const KEY_BYTES: usize = 32;
/// The first byte of a sealed value: the version of its format.
const FORMAT_VERSION: u8 = 1;

/// Key of one store.
pub(in crate::local) struct SealingKey {
    key: RandomizedNonceKey,
    bytes: Zeroizing<[u8; KEY_BYTES]>,
}

/// Names that a sealed value is bound to; opening requires the same names.
#[derive(Clone, Copy)]
pub(in crate::local) struct Binding<'a> {
    pub arn: &'a str,
    pub version: &'a str,
}

impl Binding<'_> {
    fn aad(&self) -> Aad<Vec<u8>> {
        // The length fixes the boundary between the two names.
        Aad::from(format!("{}:{}{}", self.arn.len(), self.arn, self.version).into_bytes())
    }
}

impl SealingKey {
    /// A key of these bytes.
    pub(in crate::local) fn new(bytes: Zeroizing<[u8; KEY_BYTES]>) -> Result<Self, Unspecified> {
        Ok(Self {
            key: RandomizedNonceKey::new(&AES_256_GCM, bytes.as_slice())?,
            bytes,
        })
    }

    /// A random key.
    pub(in crate::local) fn random() -> Result<Self, Unspecified> {
        let mut bytes = Zeroizing::new([0_u8; KEY_BYTES]);
        rand::fill(bytes.as_mut_slice())?;
        Self::new(bytes)
    }

    /// The bytes, for the key file.
    pub(in crate::local) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.bytes
    }

    /// Whether both keys have the same bytes.
    pub(in crate::local) fn equals(&self, other: &Self) -> bool {
        verify_slices_are_equal(self.bytes.as_slice(), other.bytes.as_slice()).is_ok()
    }

    /// Seals a value.
    pub(in crate::local) fn seal(
        &self,
        binding: Binding<'_>,
        value: &[u8],
    ) -> Result<Vec<u8>, Unspecified> {
        let mut text = Zeroizing::new(Vec::with_capacity(value.len() + AES_256_GCM.tag_len()));
        text.extend_from_slice(value);
        let nonce = self
            .key
            .seal_in_place_append_tag(binding.aad(), &mut *text)?;
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + text.len());
        sealed.push(FORMAT_VERSION);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&text);
        Ok(sealed)
    }

    /// Opens a value. Fails if the key, a name or a bit differs.
    pub(in crate::local) fn open(
        &self,
        binding: Binding<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
        let (version, rest) = sealed.split_first().ok_or(Unspecified)?;
        if *version != FORMAT_VERSION || rest.len() < NONCE_LEN {
            return Err(Unspecified);
        }
        let (nonce, text) = rest.split_at(NONCE_LEN);
        let mut text = Zeroizing::new(text.to_vec());
        let nonce = Nonce::try_assume_unique_for_key(nonce)?;
        let length = self
            .key
            .open_in_place(nonce, binding.aad(), &mut text)?
            .len();
        text.truncate(length);
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BINDING: Binding<'_> = Binding {
        arn: "arn:a",
        version: "v1",
    };

    #[test]
    fn a_value_opens_under_its_own_key_and_names_only() {
        let (one, other) = (SealingKey::random().unwrap(), SealingKey::random().unwrap());
        let sealed = one.seal(BINDING, b"hunter2").unwrap();
        assert_eq!(*one.open(BINDING, &sealed).unwrap(), b"hunter2");
        assert!(other.open(BINDING, &sealed).is_err());
        for (arn, version) in [("arn:a", "v2"), ("arn:b", "v1"), ("arn:av", "1")] {
            assert!(one.open(Binding { arn, version }, &sealed).is_err());
        }
    }

    #[test]
    fn a_changed_or_truncated_value_does_not_open() {
        let key = SealingKey::random().unwrap();
        let sealed = key.seal(BINDING, b"hunter2").unwrap();
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            assert!(key.open(BINDING, &bad).is_err(), "byte {at}");
            assert!(key.open(BINDING, &sealed[..at]).is_err(), "cut at {at}");
        }
        assert_ne!(sealed, key.seal(BINDING, b"hunter2").unwrap());
        assert!(!sealed.windows(7).any(|w| w == b"hunter2"));
    }
}
