//! Rotation of one secret as a reconciliation: observe, decide, act, until nothing is left to do.
//!
//! [`decide`] is a pure function that is checked over every state; `observe` and `act` are the I/O
//! around it.

mod act;
pub mod commands;
pub mod context;
pub mod decide;
pub mod error;
pub mod event;
pub(crate) mod external_changes;
#[cfg(test)]
mod model;
pub mod observe;
pub mod refusal;
pub mod run;
