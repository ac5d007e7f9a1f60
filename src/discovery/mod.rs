//! Discovery: rotations that `[[discover]]` finds in a store, instead of `[[rotation]]`s of the config.
//!
//! A listing records the secrets that it found in the journal ([`KnownSecret`]). [`plan()`] then derives the
//! rotations from these, from the tables of the config and from its `[[rotation]]`s. It is pure: a worker, a
//! restart without the store, another worker of the journal and a command have the same result.
//!
//! # Failure modes
//! - A listing fails at its second page, and half of the rotations vanish. Only a complete listing is
//!   recorded.
//! - ListSecrets is up to five minutes old, and omits a secret that exists. A secret is gone only if
//!   DescribeSecret agrees.
//! - A mistake in one secret's tags stops other rotations. It concerns that secret alone.
//! - A stranger's tag leads to the master of another team: [`Discover`].
//! - A rotation has another name after a restart, and its pause is lost. The journal keeps the name that a
//!   secret was given.
//! - A secret is deleted, and another one without tags is created with its name, and is rotated until the
//!   next listing. A run compares the ARN of the secret with the one that was found.
//! - A secret is deleted and created again, and its rotation has another name. The new secret takes the
//!   name that the rotation of the former one had, and the former one is not listed any more.
//! - Two secrets have names that are equal as names of rotations. The second one is given a suffix.
//! - A secret is rotated twice, by its `[[rotation]]` and as a discovered one, or by two `[[discover]]`.
//!   The config comes first, then the earlier table.
//! - A master or a pooler's secret has the tag, and is rotated as an application's. It is refused.
//! - A tag is added while a window is open, and the application is surprised. Windows that opened before a
//!   rotation was armed are not its own ([`Discovered`]).
//!
//! [`Discovered`]: crate::config::settings::Discovered

mod changes;
mod filter;
mod listing;
mod name;
mod plan;
mod report;
#[cfg(test)]
mod tests;

pub use changes::changes;
pub use filter::{filters, matches, query};
pub use listing::{list, with_listing};
pub use plan::{Discovery, Finding, FoundSecret, plan};
pub use report::{DiscoveredSecret, DiscoveryState};

#[cfg(doc)]
use crate::config::settings::Discover;
#[cfg(doc)]
use crate::journal::KnownSecret;
