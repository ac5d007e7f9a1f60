//! Five workers and 500 rotations in one window. One worker is killed and one is frozen for longer
//! than its lease.

use std::collections::BTreeMap;
use std::time::Instant;

use tokio::process::Child;
use twinkey::journal::{Journal, Run, RunState};

use super::WorkersFixture;
use crate::serving::worker::{open_now, signal};
use twinkey_testkit::aws::StandIn;
use twinkey_testkit::environment::many_pairs::ManyPairs;
use twinkey_testkit::environment::{Backend, Setup, until};

const WORKERS: usize = 5;
const PAIRS: usize = 500;
/// Of all workers together: 1,000 writes take at least ten seconds.
const LIMITS: &str = "concurrency = 8\nper_host = 16\nstore_writes_per_second = 100";

fn belongs_to(run: &Run, worker: &Child) -> bool {
    let its = format!("-{}", worker.id().unwrap());
    run.worker.ends_with(&its)
}

fn is_running(run: &Run) -> bool {
    run.state == RunState::Running
}

async fn succeeded(fixture: &WorkersFixture) -> usize {
    let runs = fixture.runs().await;
    let succeeded = runs.iter().filter(|r| r.state == RunState::Succeeded);
    succeeded.count()
}

/// Stops a worker during some of its runs, and returns these runs.
async fn stop_during_a_run(fixture: &WorkersFixture, worker: &Child) -> Vec<Run> {
    let mut running = Vec::new();
    until("the worker has a run", async || {
        signal(worker, "STOP");
        running = fixture.runs().await;
        running.retain(|run| is_running(run) && belongs_to(run, worker));
        if running.is_empty() {
            signal(worker, "CONT");
        }
        !running.is_empty()
    })
    .await;
    running
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_rotations_survive_a_killed_and_frozen_worker() {
    let plan = Setup {
        settings: vec!["max_connections=500".into(), "log_statement=none".into()],
        ..Setup::default()
    };
    let stand_in = StandIn::start().await;
    // The ratio of AWS's quota to the default limit.
    stand_in.faults().limit_writes(125);
    let backend = Backend::StandIn(stand_in);
    let pairs = ManyPairs::open_with(plan, PAIRS, backend).await;
    let (schedule, opens) = open_now();
    let fixture = WorkersFixture::open(pairs, LIMITS, &schedule, opens).await;
    let begun = Instant::now();
    let mut workers: Vec<Child> = (0..WORKERS).map(|n| fixture.worker(n)).collect();

    until("fifty runs have succeeded", async || {
        succeeded(&fixture).await > 50
    })
    .await;
    let killed = stop_during_a_run(&fixture, &workers[0]).await;
    workers[0].kill().await.unwrap();
    let frozen = stop_during_a_run(&fixture, &workers[1]).await;
    until("other workers continue the runs of both", async || {
        for run in killed.iter().chain(&frozen) {
            let now = fixture.journal.run(run.id).await.unwrap().unwrap();
            if now.attempt == run.attempt {
                return false;
            }
        }
        true
    })
    .await;
    signal(&workers[1], "CONT");
    for wanted in (100..=PAIRS).step_by(100) {
        until("100 more rotations have succeeded", async || {
            succeeded(&fixture).await >= wanted
        })
        .await;
    }
    let took = begun.elapsed();
    until("the frozen worker reports a lost race", async || {
        fixture.log(1).contains("lost_race")
    })
    .await;
    for worker in &mut workers[1..] {
        signal(worker, "TERM");
        assert!(worker.wait().await.unwrap().success());
    }

    fixture.each_secret_has_one_new_version().await;
    let runs = fixture.runs().await;
    assert_eq!(runs.len(), PAIRS, "one run a window and rotation");
    let mut shares: BTreeMap<&str, usize> = BTreeMap::new();
    for run in &runs {
        let window = run.window.unwrap();
        assert_eq!(
            (run.state, window.opens),
            (RunState::Succeeded, opens),
            "{run:?}"
        );
        assert!(run.finished.is_some_and(|at| at < window.closes), "{run:?}");
        *shares.entry(&run.worker).or_default() += 1;
    }
    println!(
        "{PAIRS} rotations of {WORKERS} workers in {took:.1?}, one killed in {} runs and one frozen in {}: one new version each, all inside the window; shares {:?}",
        killed.len(),
        frozen.len(),
        shares.values().collect::<Vec<_>>()
    );
}
