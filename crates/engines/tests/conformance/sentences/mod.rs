//! Tests of every engine. Each has users and a namespace of its own.

mod cuts;
pub mod guards;
pub mod one_user;
mod pairs;
mod transport;

use super::harness::Harness;
use super::passwords::leaked;

pub async fn all(harness: &dyn Harness) {
    pairs::all(harness).await;
    cuts::all(harness).await;
    guards::all(harness).await;
    transport::all(harness).await;
}

/// Runs last: the log of all statements holds no password and no 8 characters of one.
pub fn the_log_holds_no_password(harness: &dyn Harness) {
    let log = std::fs::read(harness.log_path()).unwrap();
    assert_eq!(leaked(&log), None, "a part of a password is in the log");
}
