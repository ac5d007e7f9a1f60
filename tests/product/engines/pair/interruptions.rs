//! Runs that are killed at any of their commands.
//!
//! AWSCURRENT signs in with all its privileges after each, and the next run completes the change.

use std::sync::Arc;

use tokio::sync::Notify;
use twinkey_stores::stage;

use super::{PairFixture, StandbyState};
use twinkey_testkit::environment::{Database, until};
use twinkey_testkit::interruption::Interruption;

/// More commands than any run in these tests has.
const MAX_COMMANDS: usize = 30;

/// Runs `rotate` and kills it when `reached` is notified. `false`: it succeeded without that.
async fn kill_at<F: PairFixture>(fixture: &F, reached: Arc<Notify>) -> bool {
    let mut run = fixture
        .env()
        .command(env!("CARGO_BIN_EXE_twinkey"))
        .args(["rotate", "shop"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let killed = tokio::select! {
        () = reached.notified() => {
            run.kill().await.unwrap();
            true
        }
        status = run.wait() => {
            assert!(status.unwrap().success());
            false
        }
    };
    fixture.remove_interruption();
    fixture.wait_for_disconnect().await;
    killed
}

async fn assert_current_is_usable<F: PairFixture>(fixture: &F) {
    let mut current = fixture.env().signed_in(stage::CURRENT).await;
    assert!(
        F::Database::may_work(&mut current).await,
        "AWSCURRENT has its privileges"
    );
}

/// Removes the killed worker's journal and lock, on which the next run must not depend.
async fn remove_journal_and_lock<F: PairFixture>(fixture: &F) {
    for file in ["journal.db", "journal.db-wal", "journal.db-shm"] {
        // The last two exist only after a kill.
        let _ = std::fs::remove_file(fixture.env().folder.path().join(file));
    }
    fixture.remove_lock().await;
}

/// Kills a run at each of its commands and completes it each time.
pub(crate) async fn assert_completed_after_each_kill<F: PairFixture>(
    standby: StandbyState,
    interruption: Interruption,
    min_kills: usize,
) {
    let fixture = F::start_interruptible().await;
    let env = fixture.env();
    let expected = fixture.report("app").await;
    env.run_ok(&["rotate", "shop"]).await;
    let mut kills = 0;
    for nth in 1..=MAX_COMMANDS {
        fixture.prepare_standby(standby).await;
        let before = env.read(stage::CURRENT).await;
        let reached = fixture.interrupt_at(nth, interruption);
        if !kill_at(&fixture, reached).await {
            break;
        }
        kills += 1;
        if env.read(stage::CURRENT).await != before {
            assert!(F::RELEASES_LOCK_BY_COMMAND, "command {nth} moved the label");
            let (base, clone) = (
                fixture.report("app").await,
                fixture.report("app_clone").await,
            );
            assert_eq!(base, clone, "command {nth}");
        }
        assert_current_is_usable(&fixture).await;

        remove_journal_and_lock(&fixture).await;
        env.run_ok(&["rotate", "shop"]).await;
        assert_current_is_usable(&fixture).await;
        fixture.assert_complete().await;
        for user in ["app", "app_clone"] {
            assert_eq!(
                fixture.report(user).await,
                expected,
                "{user}, command {nth}"
            );
        }
        assert_ne!(env.read(stage::CURRENT).await.1, before.1);
    }
    assert!(kills >= min_kills, "{kills}");
    println!("{kills} kills, each at another command ({interruption:?}): 0 violations");
}

pub(crate) async fn a_run_killed_at_a_password_continues_with_it<F: PairFixture>() {
    let fixture = F::start_interruptible().await;
    let env = fixture.env();
    let reached = fixture.interrupt_before_password().await;
    assert!(kill_at(&fixture, reached).await);
    let (pending, _) = env.read(stage::PENDING).await;
    assert_eq!(pending["username"], "app_clone");
    assert_current_is_usable(&fixture).await;
    // The journal and the server are the same, so that the killed run's leases must expire first.
    until("the next run can start", async || {
        let output = env.twinkey(&["rotate", "shop"]).await;
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() || text.contains("error[already_running]"),
            "{text}"
        );
        output.status.success()
    })
    .await;
    let (current, _) = env.read(stage::CURRENT).await;
    assert!(current == pending, "the pending password is used");
    fixture.assert_complete().await;
    fixture.assert_pair_is_equal().await;
}
