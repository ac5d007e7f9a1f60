//! Secrets: the JSON document, the pair of users, new passwords, and what engines store of them.
//!
//! What can go wrong here, and what makes it impossible:
//! - a password is printed by accident: every password and every document is a [`Sensitive`], whose
//!   `Debug` is redacted, which has no `Display` and no `Serialize`, and which is wiped on drop;
//! - a rotation loses a field that it does not know: [`document::Document`] splices two values into
//!   the original text and leaves every other byte alone;
//! - the two users of a pair are mixed up: [`pair::Pair`] is the only place that knows who is standby.

mod credentials;
pub mod document;
pub mod pair;
pub mod password;
pub mod verifier;

/// The one type for passwords, documents that hold them, and hashes that are as good as them.
/// Redacted in `Debug`, wiped on drop, read only through `ExposeSecret`.
pub type Sensitive = secrecy::SecretString;
pub use credentials::Credentials;
pub use secrecy::ExposeSecret;
