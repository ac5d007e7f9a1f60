//! `twinkey serve`: windows, signals, metrics, notifications and hooks.

mod heartbeat;
mod hooks;
mod metrics;
mod notify;
mod service_manager;
pub mod worker;
