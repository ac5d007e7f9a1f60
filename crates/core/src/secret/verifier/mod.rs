//! Stored forms of passwords, so that a statement never contains a password.
//!
//! # Failure modes
//! - The stored form differs from the server's, and the password does not sign in. The forms are
//!   pure functions, and tests compare them with those of real servers.
//! - Two passwords share one salt. Each verifier draws its own.
//! - The duration of a comparison reveals partial matches. Comparisons take constant time.
//! - Intermediate values stay in memory. They are wiped, except inside the digests of aws-lc-rs.

mod ed25519;
mod mysql;
mod postgres;
mod redshift;

pub use ed25519::{mariadb_ed25519, mariadb_ed25519_signature};
pub use mysql::{
    caching_sha2, caching_sha2_answer, caching_sha2_matches, mysql_native, mysql_native_answer,
};
pub use postgres::{ScramKeys, md5, md5_answer, scram_sha_256, scram_sha_256_with};
pub use redshift::{redshift_sha256, redshift_sha256_with};

/// Error of the computation of a stored form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifierError {
    /// No random numbers for a salt; a retry can succeed.
    #[error("the operating system returned no random bytes")]
    NoRandomness,
    /// The server would compute another number of rounds for `caching_sha2_password`.
    #[error(
        "{thousands} thousand rounds are outside the 5 to 4095 thousand that the server accepts"
    )]
    Rounds { thousands: u16 },
}
