//! Refused runs, lost connections, killed workers and concurrent changes.

mod bystanders;
pub mod credentials;
pub mod cut_table;
mod external_changes;
pub mod failures;
mod fault_table;
mod hosts;
mod kills;
pub mod many_workers;
mod races;
mod soak;
