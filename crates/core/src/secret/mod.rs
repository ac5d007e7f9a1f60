//! Secrets: JSON documents, pairs of users, new passwords, and the stored forms of engines.
//!
//! # Failure modes
//! - A password is printed by accident. Every password and document is a [`Sensitive`]: its `Debug`
//!   is redacted, it has no `Display` and no `Serialize`, and it is wiped on drop.
//! - A rotation drops an unknown field. [`document::Document`] replaces two values in the original
//!   text and leaves every other byte unchanged.
//! - The two users of a pair are confused. Only [`pair::Pair`] determines the standby user.

mod credentials;
pub mod document;
pub mod pair;
pub mod password;
pub mod verifier;

/// Type of passwords, of documents that contain them, and of equivalent hashes. Redacted in
/// `Debug`, wiped on drop, read only through `ExposeSecret`.
pub type Sensitive = secrecy::SecretString;
pub use credentials::Credentials;
pub use secrecy::ExposeSecret;
