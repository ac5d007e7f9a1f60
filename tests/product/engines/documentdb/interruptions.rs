//! Runs on DocumentDB that are killed at any of their commands, those of the pair's lock included.

use super::fixture::DocumentdbFixture;
use crate::engines::pair::{StandbyState, assert_completed_after_each_kill, pair_tests};
use twinkey_testkit::interruption::Interruption;

/// The lock, the user and the password, each after a renewal, and the lock's release.
const CREATING: usize = 5;
/// The same with two changes of roles.
const CHANGING_ROLES: usize = 7;

async fn assert_completed(state: StandbyState, interruption: Interruption, min_kills: usize) {
    assert_completed_after_each_kill::<DocumentdbFixture>(state, interruption, min_kills).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_killed_before_any_command_is_completed() {
    let at = Interruption::BeforeExecution;
    assert_completed(StandbyState::Missing, at, CREATING).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_killed_after_any_command_is_completed() {
    let at = Interruption::AfterExecution;
    assert_completed(StandbyState::Missing, at, CREATING).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_roles_killed_before_any_command_is_completed() {
    let at = Interruption::BeforeExecution;
    assert_completed(StandbyState::Different, at, CHANGING_ROLES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_roles_killed_after_any_command_is_completed() {
    let at = Interruption::AfterExecution;
    assert_completed(StandbyState::Different, at, CHANGING_ROLES).await;
}

pair_tests!(DocumentdbFixture: a_run_killed_at_a_password_continues_with_it);
