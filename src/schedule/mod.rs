//! Schedules and windows: pure functions of times in UTC, without a clock.
//!
//! [`expression`] parses a schedule; `cron` and `rate` are its two kinds, and `fields` and `items` parse the
//! former. [`window`] derives windows from openings, and `aws` checks AWS's limits.
//!
//! # Failure modes
//! - An expression gets another meaning than intended: the parser accepts AWS's documented grammar only and
//!   marks the invalid field. An independent implementation agrees with it on random expressions.
//! - An expression never fires: the parser refuses it.
//! - Two windows of one rotation overlap: a [`WindowPlan`] with overlapping windows cannot be created.
//! - The search for the next opening does not end: it visits at most the months of 230 years.

mod aws;
mod cron;
pub mod expression;
mod fields;
mod items;
mod rate;
pub mod window;

#[cfg(test)]
mod brute;
#[cfg(test)]
mod tests;

pub use expression::{Schedule, ScheduleError};
pub use window::{Window, WindowError, WindowPlan, spread_offset};
