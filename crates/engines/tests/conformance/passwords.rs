//! The passwords of the tests, remembered to be looked for in logs.

use std::collections::HashSet;

use parking_lot::Mutex;
use secrecy::SecretString;
use twinkey_core::secret::ExposeSecret;
use twinkey_core::secret::password::PasswordPolicy;

static HANDED_OUT: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A new password, remembered.
pub fn new_password() -> SecretString {
    let password = PasswordPolicy::default().generate().unwrap();
    let mut all = HANDED_OUT.lock();
    all.push(password.expose_secret().to_owned());
    password
}

/// The first 8 bytes in a row of `text` that are in one of the passwords so far.
pub fn leaked(text: &[u8]) -> Option<String> {
    let all = HANDED_OUT.lock();
    assert!(!all.is_empty(), "there is nothing to look for");
    let parts: HashSet<&[u8]> = all
        .iter()
        .flat_map(|one| one.as_bytes().windows(8))
        .collect();
    text.windows(8)
        .find(|part| parts.contains(part))
        .map(|part| String::from_utf8_lossy(part).into_owned())
}
