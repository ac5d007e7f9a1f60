//! `twinkey serve`, killed 200 times at random moments, under applications that open connections
//! with credentials cached for up to `min_interval`.
//!
//! The clock of the worker runs 30 times as fast as real time (libfaketime). Windows of five
//! minutes, the shortest that a config allows, open every ten seconds. A restarted worker
//! continues at the scaled time. The config is an ordinary one.
//!
//! # Failure modes
//! - A busy machine delays an application until its credentials are older than `min_interval`:
//!   such a refusal is counted and is not a failure.
//! - A busy machine delays the start of workers until each is killed before it works: the moments
//!   are chosen from a range that grows with the measured time of a start.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use serde_json::Value as Json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use twinkey::journal::{Journal, Run, RunQuery, RunState, SqliteJournal, StepState, Trigger};
use twinkey_core::telemetry::Clock;
use twinkey_stores::local::LocalStore;
use twinkey_stores::stage;

use crate::serving::worker::{libfaketime, signal};
use twinkey_testkit::environment::many_pairs::{ManyPairs, name};
use twinkey_testkit::environment::{Backend, free_address, until};
use twinkey_testkit::rng::Rng;

const KILLS: usize = 200;
const PAIRS: usize = 16;
/// Seconds of the worker's clock in one real second.
const SPEED: i32 = 30;
const ROTATION_KEYS: &str = "schedule = \"cron(0/5 * * * ? *)\"\nwindow = \"5m\"\nspread = \"3m\"\nmin_interval = \"2m\"\nmissed = \"run\"";
/// `min_interval` in real time.
const INTERVAL: Duration = Duration::from_secs(4);
/// The rest of `min_interval` is for the connection.
const CACHE: Duration = Duration::from_secs(3);
const CLIENTS: usize = 2;

/// The clock of the worker.
struct ScaledClock {
    begin: DateTime<Utc>,
    since: Instant,
}

impl ScaledClock {
    fn now(&self) -> DateTime<Utc> {
        self.begin + TimeDelta::from_std(self.since.elapsed()).unwrap() * SPEED
    }

    fn start(&self, fixture: &ManyPairs) -> tokio::process::Child {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(fixture.env.folder.path().join("serve.log"))
            .unwrap();
        fixture
            .env
            .command(env!("CARGO_BIN_EXE_twinkey"))
            .env("LD_PRELOAD", libfaketime())
            .env(
                "FAKETIME",
                format!("@{} x{SPEED}", self.now().format("%Y-%m-%d %H:%M:%S")),
            )
            .env("TZ", "UTC")
            .env("DONT_FAKE_MONOTONIC", "1")
            .arg("serve")
            .stdout(std::process::Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }
}

/// The connections of an application.
#[derive(Default)]
struct Connections {
    opened: u64,
    /// Refused with credentials older than [`INTERVAL`].
    too_old: u64,
    failures: Vec<String>,
}

/// An application that keeps each secret for [`CACHE`] and opens connections one by one.
struct CachingClient {
    stop: CancellationToken,
    task: JoinHandle<Connections>,
}

impl CachingClient {
    fn start(fixture: Arc<ManyPairs>, store: Arc<LocalStore>, first: usize) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut cache: HashMap<usize, (Json, Instant)> = HashMap::new();
            let mut connections = Connections::default();
            for pair in (first..PAIRS).step_by(CLIENTS).cycle() {
                if stopped.is_cancelled() {
                    break;
                }
                let fresh = cache.get(&pair).filter(|(_, at)| at.elapsed() < CACHE);
                if fresh.is_none() {
                    let at = Instant::now();
                    let current = fixture.read(&*store, pair, stage::CURRENT).await;
                    cache.insert(pair, (current.unwrap().0, at));
                }
                let (document, at) = &cache[&pair];
                connections.opened += 1;
                if let Err(error) = fixture.works(document, pair).await {
                    let (user, age) = (&document["username"], at.elapsed());
                    if age < INTERVAL {
                        let failure = format!("{user}, cached for {age:?}: {error}");
                        connections.failures.push(failure);
                    } else {
                        connections.too_old += 1;
                    }
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            connections
        });
        Self { stop, task }
    }

    async fn end(self) -> Connections {
        self.stop.cancel();
        self.task.await.unwrap()
    }
}

async fn runs(journal: &SqliteJournal) -> Vec<Run> {
    let everything = RunQuery {
        limit: 100_000,
        ..RunQuery::default()
    };
    journal.runs(&everything).await.unwrap()
}

/// The step of every run that was running when the worker process was killed.
fn steps_at_death(runs: &[Run], process: u32) -> Vec<&'static str> {
    let its = format!("-{process}");
    let on = runs
        .iter()
        .filter(|r| r.state == RunState::Running && r.worker.ends_with(&its));
    on.map(|run| {
        run.steps
            .iter()
            .find(|s| s.state == StepState::Running)
            .map_or("between steps", |s| s.name.as_str())
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_kills_lose_no_connection_and_no_window() {
    const SEED: u64 = 1;
    let fixture = Arc::new(ManyPairs::open(PAIRS, Backend::Local).await);
    let folder = fixture.env.folder.path();
    let address = free_address();
    let ready = format!("http://{address}/readyz");
    let head = format!(
        "[server]\nlisten = \"{}\"\n[journal]\nurl = \"sqlite://journal.db\"\n[secrets]\nbackend = \"local\"\npath = \"secrets.db\"\nkey_file = \"secrets.key\"",
        address
    );
    std::fs::write(fixture.env.config(), fixture.config(&head, ROTATION_KEYS)).unwrap();
    let store = LocalStore::open(&folder.join("secrets.db"), &folder.join("secrets.key")).await;
    let store = Arc::new(store.unwrap());
    let journal = SqliteJournal::open(&folder.join("journal.db"))
        .await
        .unwrap();
    let time = ScaledClock {
        begin: Clock::system().now().with_nanosecond(0).unwrap(),
        since: Instant::now(),
    };

    let clients: Vec<CachingClient> = (0..CLIENTS)
        .map(|first| CachingClient::start(Arc::clone(&fixture), Arc::clone(&store), first))
        .collect();
    let rng = Rng::new(SEED);
    let mut deaths: BTreeMap<&'static str, u32> = BTreeMap::new();
    let mut idle = 0;
    let begun = Instant::now();
    let mut serve = time.start(&fixture);
    until("the worker is ready", async || {
        reqwest::get(&ready)
            .await
            .is_ok_and(|answer| answer.status().is_success())
    })
    .await;
    let start = u64::try_from(begun.elapsed().as_millis()).unwrap();
    serve.kill().await.unwrap();
    for _ in 0..KILLS {
        let mut serve = time.start(&fixture);
        // The range includes the start of the worker.
        tokio::time::sleep(rng.millis(20..1000 + 2 * start)).await;
        assert_eq!(serve.try_wait().unwrap(), None, "the worker exited");
        let process = serve.id().unwrap();
        serve.kill().await.unwrap();
        let steps = steps_at_death(&runs(&journal).await, process);
        idle += u32::from(steps.is_empty());
        for step in steps {
            *deaths.entry(step).or_default() += 1;
        }
    }

    // The last worker runs for two more windows.
    let mut serve = time.start(&fixture);
    let killed_until = time.now();
    until("two windows have passed", async || {
        time.now() > killed_until + TimeDelta::minutes(10)
    })
    .await;
    until("no run is running", async || {
        runs(&journal)
            .await
            .iter()
            .all(|r| r.finished.is_some() && r.state != RunState::Deferred)
    })
    .await;
    let end = time.now();
    signal(&serve, "TERM");
    assert!(serve.wait().await.unwrap().success());
    let mut connections = Connections::default();
    for client in clients {
        let more = client.end().await;
        connections.opened += more.opened;
        connections.too_old += more.too_old;
        connections.failures.extend(more.failures);
    }

    let runs = runs(&journal).await;
    let known = journal.rotation_records().await.unwrap();
    let mut outcomes: BTreeMap<String, u32> = BTreeMap::new();
    let mut unreported = Vec::new();
    let (mut recovered, mut windows) = (0, 0);
    for pair in 0..PAIRS {
        let seen = known[&name(pair)].first_seen.unwrap();
        let of_pair: Vec<&Run> = runs.iter().filter(|r| r.rotation == name(pair)).collect();
        let minutes = TimeDelta::minutes(5 - i64::from(seen.minute() % 5));
        let mut opens = (seen + minutes)
            .with_second(0)
            .unwrap()
            .with_nanosecond(0)
            .unwrap();
        while opens + TimeDelta::minutes(5) <= end {
            windows += 1;
            match of_pair
                .iter()
                .find(|r| r.window.is_some_and(|w| w.opens == opens))
            {
                Some(run) => {
                    let why = run.error.as_ref();
                    let why = why.map(|e| format!(" ({})", e.code)).unwrap_or_default();
                    let outcome = format!("{}{why}", run.state.as_str());
                    *outcomes.entry(outcome).or_default() += 1;
                    recovered += u32::from(run.trigger == Trigger::Recovery);
                }
                None => unreported.push(format!("{} at {opens}", name(pair))),
            }
            opens += TimeDelta::minutes(5);
        }
        fixture.check(&*store, pair).await.unwrap();
    }
    println!(
        "{KILLS} kills (seed {SEED}), {idle} of them between runs; running steps at the others: {deaths:?}"
    );
    println!(
        "{windows} windows of {PAIRS} rotations: {outcomes:?}, {recovered} recovered, {} unreported",
        unreported.len()
    );
    println!(
        "{} connections with credentials up to {INTERVAL:?} old, {} failed ({} more used older ones)",
        connections.opened,
        connections.failures.len(),
        connections.too_old
    );
    let some = &connections.failures[..connections.failures.len().min(10)];
    assert!(connections.failures.is_empty(), "{some:#?}");
    assert!(unreported.is_empty(), "{unreported:?}");
    assert!(
        recovered > 0 && outcomes.contains_key("succeeded"),
        "{recovered} recovered, {outcomes:?}"
    );
}
