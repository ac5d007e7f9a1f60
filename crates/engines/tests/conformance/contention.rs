//! Runs that compete for the lock of one pair, beside an application that takes it too.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::case::Case;

/// Takes and frees the lock of the pair again and again.
async fn compete(case: &Case<'_>, holders: &AtomicU32, taken: &AtomicU32) {
    let mut admin = case.admin().await;
    for _ in 0..40 {
        if admin.lock(&case.pair).await.unwrap().is_taken() {
            assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "two runs");
            taken.fetch_add(1, Ordering::SeqCst);
            // A round trip, in which the others try too.
            admin.lock_holders(&case.pair).await.unwrap();
            holders.fetch_sub(1, Ordering::SeqCst);
            assert!(admin.reset().await);
        }
    }
    admin.close().await;
}

/// Three runs compete, while the application takes and frees the lock. Two never have it at once.
pub async fn runs_beside_an_application(case: &Case<'_>, mut hold: impl AsyncFnMut()) {
    let (holders, taken) = (AtomicU32::new(0), AtomicU32::new(0));
    let done = AtomicBool::new(false);
    let application = async {
        while !done.load(Ordering::SeqCst) {
            hold().await;
        }
    };
    let runs = async {
        tokio::join!(
            compete(case, &holders, &taken),
            compete(case, &holders, &taken),
            compete(case, &holders, &taken),
        );
        done.store(true, Ordering::SeqCst);
    };
    tokio::join!(application, runs);
    assert!(taken.load(Ordering::SeqCst) > 0, "no run had the lock");
}
