//! `twinkey serve`: windows, signals, metrics, notifications and hooks.

mod accounts;
mod discovered_names;
mod discovery;
mod external_changes;
mod fleet;
pub mod health;
mod heartbeat;
mod hooks;
mod metrics;
mod million;
mod notify;
mod on_demand;
mod service_manager;
pub mod worker;
