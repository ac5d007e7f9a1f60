//! twinkey rotates database credentials without downtime.
//!
//! Each secret has two database users. Applications read the one in AWSCURRENT; a run gives the
//! other, the standby, a new password and exactly the active user's privileges, signs in with it,
//! and only then moves AWSCURRENT. `docs/architecture.md` is the map of this crate.

// A worker that holds credentials half-way ends in an error that says what to do, not in a panic.
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod admin;
pub mod cli;
#[cfg(test)]
mod code_tests;
pub mod config;
pub mod hook;
pub mod iam;
pub mod import;
pub mod journal;
pub mod notify;
pub mod rotation;
pub mod schedule;
pub mod store;
pub mod worker;
