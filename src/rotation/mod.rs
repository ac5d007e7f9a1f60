//! A rotation is a reconciliation, not a script: observe, decide, act, until there is nothing left
//! to do. [`decide`] says what can go wrong and is proved over every state; everything else here is
//! the I/O around it.

mod act;
pub mod attempt;
mod by_hand;
pub mod check;
pub mod decide;
pub mod error;
pub mod event;
pub mod explain;
pub mod heartbeat;
pub mod identity;
mod labels;
pub mod lease;
mod locate;
pub mod masters;
#[cfg(test)]
mod model;
mod observe;
pub mod plan;
mod recorder;
pub mod repair;
pub mod retire;
pub mod rollback;
pub mod run;
pub mod scene;
pub mod site;
mod standby;
