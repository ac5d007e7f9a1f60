//! Five workers and five hundred rotations in one window. In the middle one worker is killed, and one is frozen for
//! longer than its lease.

use std::collections::BTreeMap;
use std::time::Instant;

use tokio::process::Child;
use twinkey::journal::{Journal, Run, RunState};

use super::Works;
use crate::serving::{open_now, signal};
use twinkey_testkit::aws::StandIn;
use twinkey_testkit::environment::many_pairs::ManyPairs;
use twinkey_testkit::environment::{Backend, Plan, until};

const WORKERS: usize = 5;
const PAIRS: usize = 500;
/// All workers together: ten seconds for a thousand writes, at the least.
const LIMITS: &str = "concurrency = 8\nper_host = 16\nstore_writes_per_second = 100";

fn is_of(run: &Run, worker: &Child) -> bool {
    let its = format!("-{}", worker.id().unwrap());
    run.worker.ends_with(&its)
}

fn is_on(run: &Run) -> bool {
    run.state == RunState::Running
}

async fn succeeded(works: &Works) -> usize {
    let runs = works.runs().await;
    let succeeded = runs.iter().filter(|r| r.state == RunState::Succeeded);
    succeeded.count()
}

/// Stops a worker while some of its runs are on; gives those.
async fn caught_at_work(works: &Works, worker: &Child) -> Vec<Run> {
    let mut caught = Vec::new();
    until("a worker is at work", async || {
        signal(worker, "STOP");
        caught = works.runs().await;
        caught.retain(|run| is_on(run) && is_of(run, worker));
        if caught.is_empty() {
            signal(worker, "CONT");
        }
        !caught.is_empty()
    })
    .await;
    caught
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_rotations_survive_a_killed_and_a_frozen_worker_with_one_new_version_each() {
    let plan = Plan {
        settings: vec!["max_connections=500".into(), "log_statement=none".into()],
        ..Plan::default()
    };
    let stand_in = StandIn::start().await;
    // As AWS's quota is to what a config asks for by default.
    stand_in.faults().limit_writes(125);
    let backend = Backend::StandIn(stand_in);
    let fixture = ManyPairs::open_as(plan, PAIRS, backend).await;
    let (schedule, opens) = open_now();
    let works = Works::open(fixture, LIMITS, &schedule, opens).await;
    let begun = Instant::now();
    let mut workers: Vec<Child> = (0..WORKERS).map(|n| works.worker(n)).collect();

    until("the window is being worked", async || {
        succeeded(&works).await > 50
    })
    .await;
    let killed = caught_at_work(&works, &workers[0]).await;
    workers[0].kill().await.unwrap();
    let frozen = caught_at_work(&works, &workers[1]).await;
    until("others go on with what the two had begun", async || {
        for run in killed.iter().chain(&frozen) {
            let now = works.journal.run(run.id).await.unwrap().unwrap();
            if now.attempt == run.attempt {
                return false;
            }
        }
        true
    })
    .await;
    signal(&workers[1], "CONT");
    for wanted in (100..=PAIRS).step_by(100) {
        until("hundred rotations more are done", async || {
            succeeded(&works).await >= wanted
        })
        .await;
    }
    let took = begun.elapsed();
    until("the frozen worker has noticed", async || {
        works.log(1).contains("lost_race")
    })
    .await;
    for worker in &mut workers[1..] {
        signal(worker, "TERM");
        assert!(worker.wait().await.unwrap().success());
    }

    works.each_secret_has_one_new_version().await;
    let runs = works.runs().await;
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
