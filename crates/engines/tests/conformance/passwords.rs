//! The passwords of the tests, which are recorded to search the logs for them.

use std::collections::HashSet;

use parking_lot::Mutex;
use secrecy::SecretString;
use twinkey_core::secret::ExposeSecret;
use twinkey_core::secret::password::PasswordPolicy;

static HANDED_OUT: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A new password, recorded.
pub fn new_password() -> SecretString {
    let password = PasswordPolicy::default().generate().unwrap();
    let mut all = HANDED_OUT.lock();
    all.push(password.expose_secret().to_owned());
    password
}

/// The first 8 adjacent bytes of `text` that are part of a recorded password.
pub fn leaked(text: &[u8]) -> Option<String> {
    let all = HANDED_OUT.lock();
    assert!(!all.is_empty(), "no password was recorded");
    let parts: HashSet<&[u8]> = all
        .iter()
        .flat_map(|one| one.as_bytes().windows(8))
        .collect();
    text.windows(8)
        .find(|part| parts.contains(part))
        .map(|part| String::from_utf8_lossy(part).into_owned())
}
