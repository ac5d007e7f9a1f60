//! Races of real workers over a real PostgreSQL: two and five on one window, by hand against the
//! schedule, with people and other rotators in between. An independent checker signs in with AWSCURRENT
//! all the time. The workers have journals of their own, so that only the database's lock and the store's
//! compare-and-swap keep them apart.

mod external_writer;
mod processes;
mod tasks;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use twinkey_stores::local::LocalStore;

use twinkey_testkit::environment::many_pairs::ManyPairs;

/// What whoever loses a race may say, and nothing else.
pub const LOSER_CODES: [&str; 3] = ["lost_race", "already_running", "pending_conflict"];

/// Signs in with AWSCURRENT of some pairs, over and over.
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

    /// Ends it, and says how often it signed in; it has failed if it ever could not.
    pub async fn end(self) -> u64 {
        self.stop.cancel();
        self.task.await.unwrap();
        self.sign_ins.load(Ordering::Relaxed)
    }
}
