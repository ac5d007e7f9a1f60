//! Keys of applications: an access key as in IAM, and a token for the agent's interface.
//!
//! # Failure modes
//! - A key is guessed. It has 30 random bytes.
//! - A secret is printed or logged. It is a [`Sensitive`] until the SDK's credentials take it,
//!   which also redact and wipe it.
//! - A token outlives its key. It is derived from the secret of the key, and is invalid without it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use aws_credential_types::Credentials;
use aws_lc_rs::{constant_time, digest, hmac, rand};
use aws_smithy_runtime_api::client::identity::Identity;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use crate::local::api::{Action, Caller};
use twinkey_core::secret::Sensitive;

use super::policy::Policy;

/// Prefix of key ids. Keys of AWS begin with AKIA and ASIA, so the prefix tells them apart.
pub const PREFIX: &str = "TWKY";
/// Length of an id, as in AWS.
const ID_LENGTH: usize = 20;
const SECRET_BYTES: usize = 30;
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Id and secret of a new key.
pub struct NewKey {
    pub id: String,
    pub secret: Sensitive,
}

/// No random numbers are available.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system returned no random bytes")]
pub struct NoRandomness;

impl NewKey {
    /// Generates a key.
    ///
    /// # Errors
    /// [`NoRandomness`]
    pub fn draw() -> Result<Self, NoRandomness> {
        let mut id = [0_u8; ID_LENGTH - PREFIX.len()];
        let mut secret = Zeroizing::new([0_u8; SECRET_BYTES]);
        rand::fill(&mut id).map_err(|_| NoRandomness)?;
        rand::fill(secret.as_mut_slice()).map_err(|_| NoRandomness)?;
        let id = id.map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]));
        Ok(Self {
            id: PREFIX.chars().chain(id).collect(),
            secret: Sensitive::from(STANDARD.encode(secret.as_slice())),
        })
    }

    /// The token for the agent's interface, in `X-Aws-Parameters-Secrets-Token`.
    #[must_use]
    pub fn token(&self) -> Sensitive {
        token(&self.id, &self.secret)
    }
}

/// The token of a key. It contains the id and is derived, so that it is not stored.
fn token(id: &str, secret: &Sensitive) -> Sensitive {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
    let signature = hmac::sign(&key, b"twinkey: token for the agent's interface");
    Sensitive::from(format!(
        "{id}.{}",
        URL_SAFE_NO_PAD.encode(signature.as_ref())
    ))
}

/// Key that signs requests.
pub struct AccessKey {
    id: String,
    name: String,
    policy: Policy,
    identity: Identity,
    /// The hash of the token, so that a comparison reveals nothing about partial matches.
    token: digest::Digest,
}

impl AccessKey {
    /// A key; `name` identifies its holder.
    #[must_use]
    pub fn new(id: &str, name: &str, secret: &Sensitive, policy: Policy) -> Self {
        let token = token(id, secret);
        let credentials = Credentials::new(id, secret.expose_secret(), None, None, "twinkey");
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            policy,
            identity: credentials.into(),
            token: hash(token.expose_secret()),
        }
    }

    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The identity that computes signatures.
    pub(super) const fn identity(&self) -> &Identity {
        &self.identity
    }
}

fn hash(text: &str) -> digest::Digest {
    digest::digest(&digest::SHA256, text.as_bytes())
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey")
            .field("id", &self.id)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Caller for AccessKey {
    fn may(&self, action: Action, secret: Option<&str>) -> bool {
        self.policy.allows(action, secret)
    }

    fn arn(&self) -> String {
        format!("arn:aws:iam::000000000000:user/{}", self.name)
    }
}

/// All keys by id.
#[derive(Debug, Default)]
pub struct AccessKeys(HashMap<String, Arc<AccessKey>>);

impl AccessKeys {
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key with an id.
    #[must_use]
    pub fn by_id(&self, id: &str) -> Option<Arc<AccessKey>> {
        self.0.get(id).map(Arc::clone)
    }

    /// The key of a token.
    #[must_use]
    pub fn by_token(&self, token: &str) -> Option<Arc<AccessKey>> {
        let (id, _) = token.split_once('.')?;
        let key = self.0.get(id)?;
        constant_time::verify_slices_are_equal(key.token.as_ref(), hash(token).as_ref())
            .is_ok()
            .then(|| Arc::clone(key))
    }
}

impl FromIterator<AccessKey> for AccessKeys {
    fn from_iter<T: IntoIterator<Item = AccessKey>>(keys: T) -> Self {
        let keys = keys.into_iter();
        Self(keys.map(|key| (key.id.clone(), Arc::new(key))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_keys_have_the_form_of_aws_keys_and_their_own_prefix() {
        let (one, other) = (NewKey::draw().unwrap(), NewKey::draw().unwrap());
        assert!(one.id.len() == 20 && one.id.starts_with(PREFIX));
        assert!(one.id.bytes().all(|b| b.is_ascii_alphanumeric()));
        assert_eq!(one.secret.expose_secret().len(), 40);
        assert_ne!(one.id, other.id);
        assert_ne!(one.secret.expose_secret(), other.secret.expose_secret());
    }

    #[test]
    fn a_token_matches_its_own_key_only() {
        let new = [NewKey::draw().unwrap(), NewKey::draw().unwrap()];
        let policy = Policy::new(&["*".into()], &["*".into()]).unwrap();
        let keys: AccessKeys = new
            .iter()
            .map(|key| AccessKey::new(&key.id, "app", &key.secret, policy.clone()))
            .collect();
        let [one, other] = new.map(|key| key.token().expose_secret().to_owned());
        assert_eq!(keys.by_token(&one).unwrap().id(), &one[..20]);
        let crossed = format!("{}{}", &one[..20], &other[20..]);
        for wrong in [
            &crossed,
            &one[..one.len() - 1],
            &one[..20],
            "",
            ".",
            &format!("{one}0"),
        ] {
            assert!(keys.by_token(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn debug_output_has_no_secret() {
        let new = NewKey::draw().unwrap();
        let policy = Policy::new(&["*".into()], &["*".into()]).unwrap();
        let key = AccessKey::new(&new.id, "app", &new.secret, policy);
        let printed = format!("{key:?} {:?}", key.identity());
        assert!(!printed.contains(new.secret.expose_secret()), "{printed}");
    }
}
