//! A journal that is wiped during a window: version ids and the compare-and-swap of the store
//! prevent a second rotation.

use twinkey::journal::RunState;

use super::WorkersFixture;
use crate::serving::worker::{open_now, signal};
use twinkey_testkit::aws::StandIn;
use twinkey_testkit::environment::many_pairs::ManyPairs;
use twinkey_testkit::environment::{Backend, run, until};

const PAIRS: usize = 24;

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_journal_causes_no_second_version() {
    let backend = Backend::StandIn(StandIn::start().await);
    let pairs = ManyPairs::open(PAIRS, backend).await;
    let (schedule, opens) = open_now();
    let limits = "concurrency = 4\nper_host = 3\nstore_writes_per_second = 20";
    let fixture = WorkersFixture::open(pairs, limits, &schedule, opens).await;
    let mut root = fixture.pairs.env.root("journal").await;
    let mut workers = [fixture.worker(0), fixture.worker(1)];
    until("some runs have finished and some are running", async || {
        let runs = fixture.runs().await;
        let state = |state| runs.iter().filter(|r| r.state == state).count();
        state(RunState::Succeeded) >= 3 && state(RunState::Running) >= 1
    })
    .await;
    run(
        &mut root,
        "TRUNCATE rotations, runs, steps, store_quota, host_places",
    )
    .await;
    let over = fixture.flipped().await;
    assert!((3..PAIRS).contains(&over), "{over} of {PAIRS} had flipped");
    until(
        "every secret is rotated and no run is running",
        async || {
            let on = |state| matches!(state, RunState::Running | RunState::Deferred);
            fixture.flipped().await == PAIRS && !fixture.runs().await.iter().any(|r| on(r.state))
        },
    )
    .await;
    for worker in &mut workers {
        signal(worker, "TERM");
        assert!(worker.wait().await.unwrap().success());
    }
    fixture.each_secret_has_one_new_version().await;
}
