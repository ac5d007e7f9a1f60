//! Runs on MariaDB that are killed at any of their statements.
//!
//! The pair has accounts at three hosts, and the standby is created each time.

use super::fixture::MariadbFixture;
use crate::engines::pair::{StandbyState, assert_completed_after_each_kill, pair_tests};
use twinkey_testkit::interruption::Interruption;

/// Three accounts, their grants and three passwords.
const MIN_KILLS: usize = 9;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_before_any_statement_is_completed() {
    let (state, at) = (StandbyState::Missing, Interruption::BeforeExecution);
    assert_completed_after_each_kill::<MariadbFixture>(state, at, MIN_KILLS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_after_any_statement_is_completed() {
    let (state, at) = (StandbyState::Missing, Interruption::AfterExecution);
    assert_completed_after_each_kill::<MariadbFixture>(state, at, MIN_KILLS).await;
}

pair_tests!(MariadbFixture: a_run_killed_at_a_password_continues_with_it);
