//! Worker: starts the run of every window on time and supervises it.
//!
//! # Failure modes
//! - A start of the worker triggers a rotation. Only windows that open after the start are armed. A
//!   window that is open already is processed if a run of it had begun, or under `missed = "run"`.
//! - A window passes while no worker runs or the machine sleeps. It is recorded as missed.
//! - A new config is invalid. It is rejected as a whole, and the old one stays active.

pub mod catch_up;
pub mod discovery;
pub mod heartbeat;
pub mod housekeeping;
pub mod leftovers;
pub mod metrics_recorder;
pub mod next_tries;
pub mod readiness;
pub mod renames;
mod retire;
pub mod rotation_functions;
pub mod rotation_state;
pub mod scheduler;
pub mod served_rotations;
pub mod standby_sessions;
pub mod state;
pub mod summaries;
#[cfg(test)]
pub(crate) mod tests;
pub mod upcoming;
pub mod view_filter;
pub mod views;
pub mod window_queue;
pub mod window_runner;
mod window_start;
