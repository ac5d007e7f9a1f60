//! What engines store of a password, so that the password itself never is in a statement.
//!
//! What can go wrong, and what prevents it:
//! - the stored form is not the one the server would have made, and the password does not sign in:
//!   the forms are pure functions of their inputs, compared with what real servers store;
//! - one salt for two passwords: each verifier draws its own;
//! - how long a comparison takes tells how much of it was right: comparisons take constant time;
//! - what is half-way to a password stays in memory: it is wiped, as far as it is ours. What the
//!   digests of aws-lc-rs hold inside is not.

mod ed25519;
mod mysql;
mod postgres;
mod redshift;

pub use ed25519::{mariadb_ed25519, mariadb_ed25519_signature};
pub use mysql::{caching_sha2, caching_sha2_holds, mysql_native};
pub use postgres::{md5, scram_sha_256, scram_sha_256_with};
pub use redshift::{redshift_sha256, redshift_sha256_with};

/// Why a stored form cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifierError {
    /// For a salt. Worth another try.
    #[error("the operating system gives no randomness")]
    NoRandomness,
    /// `caching_sha2_password` would compute another number of rounds than is written there.
    #[error(
        "{thousands} thousand rounds are not among the 5 to 4095 thousand that the server takes"
    )]
    Rounds { thousands: u16 },
}
