//! When a rotation's windows open and close: pure, no clock and no tokio inside.
//! [`expression`] reads AWS's grammar, [`window`] turns openings into windows.

pub mod expression;
pub mod window;

pub use expression::{Schedule, ScheduleError};
pub use window::{Window, WindowPlan};
