//! Worker that rotates database credentials without downtime.
//!
//! Each secret has two database users. Applications use the one in AWSCURRENT. A run gives the other
//! one, the standby, a new password and the privileges of the active user, signs in with it, and then
//! moves AWSCURRENT. `docs/architecture.md` describes the crates and modules.

// A panic would leave a run without an error code and a hint.
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod admin;
#[cfg(feature = "aws")]
mod aws_request;
pub mod cli;
#[cfg(test)]
mod code_tests;
pub mod config;
pub mod discovery;
pub mod hook;
#[cfg(feature = "aws")]
pub mod iam;
#[cfg(feature = "aws")]
pub mod import;
pub mod journal;
#[cfg(feature = "notify")]
pub mod notify;
pub mod rds;
pub mod rotation;
pub mod schedule;
pub mod store;
pub mod worker;
