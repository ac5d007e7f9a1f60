//! Races of workers on a real PostgreSQL: two and five workers in one window, manual against
//! scheduled runs, and external writers. A checker signs in with AWSCURRENT continuously. The
//! workers have separate journals, so that only the lock in the database and the compare-and-swap
//! of the store order them.

mod external_writer;
mod processes;
mod tasks;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use twinkey_stores::local::LocalStore;

use twinkey_testkit::environment::many_pairs::ManyPairs;

/// The codes of a run that loses a race.
pub const LOSER_CODES: [&str; 3] = ["lost_race", "already_running", "pending_conflict"];

/// A task that signs in with AWSCURRENT of some pairs repeatedly.
pub struct SignInChecker {
    stop: CancellationToken,
    task: JoinHandle<()>,
    sign_ins: Arc<AtomicU64>,
}

impl SignInChecker {
    pub fn start(fixture: Arc<ManyPairs>, pairs: std::ops::Range<usize>) -> Self {
        let stop = CancellationToken::new();
        let sign_ins = Arc::new(AtomicU64::new(0));
        let (stopped, count) = (stop.clone(), Arc::clone(&sign_ins));
        let task = tokio::spawn(async move {
            let store: &LocalStore = fixture.env.stand_in().store();
            for pair in pairs.cycle() {
                if stopped.is_cancelled() {
                    break;
                }
                fixture.check(store, pair).await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        });
        Self {
            stop,
            task,
            sign_ins,
        }
    }

    /// Ends the task, and returns the number of sign-ins. A failed sign-in is a panic.
    pub async fn end(self) -> u64 {
        self.stop.cancel();
        self.task.await.unwrap();
        self.sign_ins.load(Ordering::Relaxed)
    }
}
