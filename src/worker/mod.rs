//! The worker: arms every rotation's next window, sleeps to it exactly, and has it worked through.
//!
//! What can go wrong, and what prevents it:
//! - something rotates because the worker started: only windows that open from now on are armed; one
//!   that is open already is taken up if a run of it was begun, or under `missed = "run"`;
//! - a window goes by unseen (the worker was down, the machine slept): it is recorded as missed;
//! - a bad new config: it is refused whole, and the old one stays.

pub mod agenda;
pub mod backoff;
pub mod fleet;
pub mod heartbeat;
pub mod measure;
pub mod outlook;
mod pulse;
pub mod recover;
mod retire;
pub mod roster;
pub mod serve;
mod take_up;
pub mod views;
pub mod windows;

#[cfg(test)]
mod tests;
