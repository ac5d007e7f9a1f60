//! Tests that are the same for MariaDB and DocumentDB, generic over a fixture.
//!
//! Neither engine changes users in transactions, so that a server can be left between any two
//! commands of a run.

mod failures;
mod interruptions;
mod rotations;

use std::sync::Arc;

use serde_json::Value as Json;
use tokio::sync::Notify;
use twinkey_testkit::environment::{Backend, Database, Environment, Setup};
use twinkey_testkit::interruption::Interruption;

pub(crate) use self::failures::*;
pub(crate) use self::interruptions::*;
pub(crate) use self::rotations::*;

/// The standby before an interrupted run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StandbyState {
    Missing,
    /// It lacks a privilege and has a surplus one.
    Different,
}

/// An engine's environment for the tests of a pair.
pub(crate) trait PairFixture: Sized {
    type Database: Database;
    /// Number of cases of [`Self::revoke_from_master`].
    const MASTER_CASES: usize;
    /// A part of the finding that refuses to rotate a superuser.
    const SUPERUSER_FINDING: &'static str;
    /// Whether the last command of a run follows the flip, because it releases the lock.
    const RELEASES_LOCK_BY_COMMAND: bool;

    async fn start(plan: Setup, backend: Backend) -> Self;

    /// A fixture whose worker connects through a relay that can interrupt it.
    async fn start_interruptible() -> Self;

    fn env(&self) -> &Environment<Self::Database>;

    /// The server's report of a user without the user's name.
    async fn report(&self, user: &str) -> String;

    /// Asserts that the two users are equal and both sign in.
    async fn assert_pair_is_equal(&self);

    /// Asserts that a completed run left no part of the current user behind.
    async fn assert_complete(&self);

    /// Grants one privilege of every kind to `app`.
    async fn grant_every_kind(&self) {}

    /// Asserts that the user of a label can use the privileges of every kind.
    async fn assert_every_kind_is_usable(&self, _label: &str) {}

    /// Causes a missing privilege of the master and returns the statement that must be reported.
    async fn revoke_from_master(&self, case: usize) -> String;

    /// Grants the missing privilege again.
    async fn grant_to_master(&self, case: usize);

    /// Creates a superuser and returns its secret document.
    async fn create_superuser(&self) -> Json;

    /// Prepares the standby of an interrupted run.
    async fn prepare_standby(&self, state: StandbyState);

    /// Interrupts the worker at its `nth` writing command, and then notifies the result.
    fn interrupt_at(&self, nth: usize, interruption: Interruption) -> Arc<Notify>;

    /// Interrupts the worker before a password's command, and then notifies the result.
    async fn interrupt_before_password(&self) -> Arc<Notify>;

    /// Relays all later commands.
    fn remove_interruption(&self);

    /// Waits until the server has closed the connections of a killed worker.
    async fn wait_for_disconnect(&self) {}

    /// Removes the pair's lock of a killed worker.
    async fn remove_lock(&self) {}
}

/// Defines tests that call the generic functions of these names with a fixture.
macro_rules! pair_tests {
    ($fixture:ty: $($name:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                crate::engines::pair::$name::<$fixture>().await;
            }
        )+
    };
}
pub(crate) use pair_tests;
