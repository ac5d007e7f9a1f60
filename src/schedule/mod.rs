//! When a rotation's windows open and close: pure, no clock and no tokio inside. All times are UTC.
//!
//! What can go wrong, and what prevents it:
//! - an expression is read otherwise than its author meant: AWS's grammar is read as it is documented,
//!   everything else is refused with an error that points at the bad field, and a reading of the same
//!   rules minute by minute, written independently, agrees with ours on random expressions;
//! - a rotation never happens because its expression never fires: refused when it is read;
//! - two windows of one rotation overlap, and one instant belongs to two runs: a [`WindowPlan`] with
//!   overlapping windows cannot be made;
//! - the search for the next opening does not end: it walks at most the months of 230 years.
//!
//! [`expression`] is the schedule itself; `cron` and `rate` are its two kinds, `fields` and `items`
//! read the text of the former; [`window`] turns openings into windows; `aws` says what AWS would not take.

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
