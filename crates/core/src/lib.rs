//! Parts that every other crate of twinkey uses: error codes, secret documents, the clock, logs,
//! metrics, tasks, back-off and the AWS SDK's config.

#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod aws;
pub mod backoff;
pub mod code;
pub mod file_access;
pub mod printable;
pub mod secret;
pub mod tasks;
pub mod telemetry;
