//! Stored forms of MySQL and MariaDB, and answers to their sign-in requests.
//!
//! # Failure modes
//! - A crypt library uses 16 bytes of salt, but `caching_sha2_password` uses SHA-256-crypt with 20.
//!   This module follows Drepper's specification (<https://www.akkadia.org/drepper/SHA-crypt.txt>)
//!   and mysys/crypt_genhash_impl.cc of MySQL.
//! - Control characters in a salt garble logs and terminals. Salts are letters and digits.
//! - The number of rounds is outside the server's limits, and the server silently computes 5,000.
//!   Such a number is refused.

use std::ops::RangeInclusive;

use aws_lc_rs::{constant_time, digest, rand};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::VerifierError;
use crate::secret::Sensitive;

/// CRYPT_SALT_LENGTH in MySQL's include/crypt_genhash_impl.h, in bytes.
const SALT_LEN: usize = 20;
/// Length of a SHA-256 in crypt's base64.
const DIGEST_LEN: usize = 43;
/// Limits of `caching_sha2_password_digest_rounds`, in thousands.
const THOUSANDS: RangeInclusive<u16> = 5..=0xFFF;

const SALT_ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const CRYPT_ALPHABET: &[u8; 64] =
    b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// `mysql_native_password`: `*` and SHA1(SHA1(password)) in upper-case hexadecimal digits.
#[must_use]
pub fn mysql_native(password: &Sensitive) -> Sensitive {
    let sha1 = &digest::SHA1_FOR_LEGACY_USE_ONLY;
    let once = digest::digest(sha1, password.expose_secret().as_bytes());
    let twice = digest::digest(sha1, once.as_ref());
    let digits: String = twice.as_ref().iter().map(|b| format!("{b:02X}")).collect();
    SecretString::from(format!("*{digits}"))
}

/// Answer to a request of `mysql_native_password` with this nonce: SHA1(password), masked with
/// SHA1(nonce, SHA1(SHA1(password))).
#[must_use]
pub fn mysql_native_answer(password: &Sensitive, nonce: &[u8]) -> Vec<u8> {
    let sha1 = |parts: &[&[u8]]| digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &parts.concat());
    let once = digest::digest(
        &digest::SHA1_FOR_LEGACY_USE_ONLY,
        password.expose_secret().as_bytes(),
    );
    let twice = sha1(&[once.as_ref()]);
    masked(once.as_ref(), sha1(&[nonce, twice.as_ref()]).as_ref())
}

/// Answer to a request of `caching_sha2_password` with this nonce: SHA256(password), masked with
/// SHA256(SHA256(SHA256(password)), nonce).
#[must_use]
pub fn caching_sha2_answer(password: &Sensitive, nonce: &[u8]) -> Vec<u8> {
    let once = sha256(|add| add(password.expose_secret().as_bytes()));
    let twice = sha256(|add| add(once.as_ref()));
    let mask = sha256(|add| [twice.as_ref(), nonce].into_iter().for_each(add));
    masked(once.as_ref(), mask.as_ref())
}

fn masked(bytes: &[u8], mask: &[u8]) -> Vec<u8> {
    bytes
        .iter()
        .zip(mask)
        .map(|(byte, mask)| byte ^ mask)
        .collect()
}

/// `caching_sha2_password` with a new salt and `thousands` of thousands of rounds:
/// `$A$<thousands, three hexadecimal digits>$<salt><digest>`, in ASCII.
///
/// # Errors
/// [`VerifierError`]
pub fn caching_sha2(password: &Sensitive, thousands: u16) -> Result<Sensitive, VerifierError> {
    if !THOUSANDS.contains(&thousands) {
        return Err(VerifierError::Rounds { thousands });
    }
    let salt = draw_salt()?;
    let digest = sha_256_crypt(password, salt.as_bytes(), thousands);
    let mut stored = format!("$A${thousands:03X}${salt}");
    stored.extend(digest.map(char::from));
    Ok(SecretString::from(stored))
}

/// Whether `stored` is a form of `caching_sha2_password` for this password; `false` if malformed.
#[must_use]
pub fn caching_sha2_matches(stored: &[u8], password: &Sensitive) -> bool {
    parse(stored).is_some_and(|(thousands, salt, digest)| {
        let computed = sha_256_crypt(password, salt, thousands);
        constant_time::verify_slices_are_equal(&computed, digest).is_ok()
    })
}

/// The thousands of rounds, the salt and the digest.
fn parse(stored: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (digits, rest) = stored.strip_prefix(b"$A$")?.split_at_checked(3)?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let thousands = u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    let (salt, digest) = rest.strip_prefix(b"$")?.split_at_checked(SALT_LEN)?;
    (THOUSANDS.contains(&thousands) && digest.len() == DIGEST_LEN)
        .then_some((thousands, salt, digest))
}

/// A salt of uniformly distributed characters: bytes beyond the last full round of the alphabet are
/// drawn again.
fn draw_salt() -> Result<String, VerifierError> {
    let fair = 256 - 256 % SALT_ALPHABET.len();
    let mut salt = String::with_capacity(SALT_LEN);
    while salt.len() < SALT_LEN {
        let mut byte = [0_u8];
        rand::fill(&mut byte).map_err(|_| VerifierError::NoRandomness)?;
        let drawn = usize::from(byte[0]);
        if drawn < fair {
            salt.push(char::from(SALT_ALPHABET[drawn % SALT_ALPHABET.len()]));
        }
    }
    Ok(salt)
}

/// SHA-256-crypt; the numbers are the steps of Drepper's specification.
fn sha_256_crypt(password: &Sensitive, salt: &[u8], thousands: u16) -> [u8; DIGEST_LEN] {
    let password = password.expose_secret().as_bytes();
    let b = sha256(|add| [password, salt, password].into_iter().for_each(add)); // 4-8
    let mut last = sha256(|add| {
        add(password); // 2
        add(salt); // 3
        add(&cycle(&b, password.len())); // 9, 10
        let mut bits = password.len(); // 11
        while bits > 0 {
            add(if bits & 1 == 1 { b.as_ref() } else { password });
            bits >>= 1;
        }
    });
    let p = sha256(|add| (0..password.len()).for_each(|_| add(password))); // 13-15
    let p = cycle(&p, password.len()); // 16
    let times = 16 + usize::from(last[0]);
    let s = sha256(|add| (0..times).for_each(|_| add(salt))); // 17-19
    let s = cycle(&s, salt.len()); // 20
    for round in 0..u32::from(thousands) * 1000 {
        let odd = round % 2 == 1;
        last = sha256(|add| {
            add(if odd { &p } else { last.as_ref() });
            if round % 3 != 0 {
                add(&s);
            }
            if round % 7 != 0 {
                add(&p);
            }
            add(if odd { last.as_ref() } else { &p });
        }); // 21
    }
    crypt_base64(&last) // 22
}

/// The digest of the bytes that `feed` adds.
fn sha256(feed: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Zeroizing<[u8; 32]> {
    let mut context = digest::Context::new(&digest::SHA256);
    feed(&mut |bytes| context.update(bytes));
    let mut hash = Zeroizing::new([0_u8; 32]);
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// `bytes`, repeated and cut at `len`.
fn cycle(bytes: &[u8; 32], len: usize) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(bytes.iter().copied().cycle().take(len).collect())
}

/// Crypt's base64: groups of three bytes in a special order, least significant bits first.
fn crypt_base64(hash: &[u8; 32]) -> [u8; DIGEST_LEN] {
    let mut text = [0_u8; DIGEST_LEN];
    for (group, characters) in text.chunks_mut(4).enumerate() {
        // The first group has the bytes 0, 10, 20; each next group the next three, rotated by one.
        let [high, middle, low] = match group {
            10 => [0, hash[31], hash[30]],
            _ => {
                let bytes = [hash[group], hash[group + 10], hash[group + 20]];
                match group % 3 {
                    0 => bytes,
                    1 => [bytes[2], bytes[0], bytes[1]],
                    _ => [bytes[1], bytes[2], bytes[0]],
                }
            }
        };
        let mut bits = u32::from_be_bytes([0, high, middle, low]);
        for character in characters {
            *character = CRYPT_ALPHABET[(bits & 0x3F) as usize];
            bits >>= 6;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Sensitive {
        SecretString::from(text)
    }

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
    }

    const LONG: &str = "Pässwörd ☃ and more than thirty-two bytes, more than forty characters";

    /// Forms that MySQL 9.7 stored with 10,000 rounds. HEX(authentication_string).
    const STORED_BY_SERVER: [(&str, &str); 2] = [
        (
            "secret",
            "24412430304124062B4A01187E57481F7F464B4925794C55284E4B4C394D43793432425079773355576F64433137774A6F2F44727073793333307A697A72335A6962366D412E",
        ),
        (
            LONG,
            "244124303041243F60030434650B55405E6B5E6A0A632D6A6277726637787134674746736E4B4D5A35636441756B595A57716A367358725272345A486D623548782F6267712F",
        ),
    ];

    #[test]
    fn the_native_form_equals_that_of_mariadb() {
        // MariaDB 10.11: SELECT PASSWORD('…')
        for (password, stored) in [
            ("secret", "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7"),
            ("Pässwörd ☃", "*0AFDDCEBF614356A35EDA7FC68F9D5DBB083AE11"),
        ] {
            assert_eq!(mysql_native(&secret(password)).expose_secret(), stored);
        }
    }

    #[test]
    fn a_server_verifies_an_answer_with_its_stored_hash() {
        let (password, nonce) = (secret("secret"), b"twenty bytes of it..");
        let sha1 = |bytes: &[u8]| {
            digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes)
                .as_ref()
                .to_vec()
        };
        let stored = unhex(&mysql_native(&password).expose_secret()[1..]);
        let mask = sha1(&[nonce.as_slice(), &stored].concat());
        let once = masked(&mysql_native_answer(&password, nonce), &mask);
        assert_eq!(sha1(&once), stored);

        let sha256 = |bytes: &[u8]| digest::digest(&digest::SHA256, bytes).as_ref().to_vec();
        let stored = sha256(&sha256(b"secret"));
        let mask = sha256(&[stored.as_slice(), nonce].concat());
        let once = masked(&caching_sha2_answer(&password, nonce), &mask);
        assert_eq!(sha256(&once), stored);
    }

    #[test]
    fn a_form_of_the_server_matches_its_password_only() {
        for (password, stored) in STORED_BY_SERVER {
            let stored = unhex(stored);
            assert!(caching_sha2_matches(&stored, &secret(password)));
            assert!(!caching_sha2_matches(&stored, &secret("another")));
        }
    }

    #[test]
    fn a_new_form_matches_its_password_and_is_printable() {
        for password in ["x", LONG, &"ü".repeat(127)] {
            let stored = caching_sha2(&secret(password), 5).unwrap();
            let stored = stored.expose_secret();
            assert_eq!(stored.len(), 3 + 3 + 1 + SALT_LEN + DIGEST_LEN);
            assert!(stored.starts_with("$A$005$"), "{stored}");
            assert!(stored.bytes().all(|b| b.is_ascii_graphic()), "{stored}");
            assert!(caching_sha2_matches(stored.as_bytes(), &secret(password)));
        }
    }

    #[test]
    fn two_forms_of_one_password_differ() {
        let made = || caching_sha2(&secret("x"), 5).unwrap();
        assert_ne!(made().expose_secret(), made().expose_secret());
    }

    #[test]
    fn refuses_rounds_that_the_server_does_not_compute() {
        for thousands in [0, 4, 0x1000, u16::MAX] {
            let made = caching_sha2(&secret("x"), thousands).map(|_| ());
            assert_eq!(made, Err(VerifierError::Rounds { thousands }));
        }
    }

    #[test]
    fn a_malformed_form_matches_no_password() {
        let whole = unhex(STORED_BY_SERVER[0].1);
        let changed = |at: usize, byte: u8| {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            bytes
        };
        let mut longer = whole.clone();
        longer.push(b'.');
        let malformed = [
            Vec::new(),
            whole[..whole.len() - 1].to_vec(),
            longer,
            changed(1, b'B'),
            changed(3, b'+'),
            changed(6, b'.'),
            // No rounds: 00A, the last digit gone.
            changed(5, b'0'),
        ];
        for stored in malformed {
            assert!(
                !caching_sha2_matches(&stored, &secret("secret")),
                "{stored:?}"
            );
        }
    }
}
