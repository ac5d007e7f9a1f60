//! The time from the opening of a window to its first effect (AWSPENDING in the store) among 10,000
//! armed rotations: one due each second for a minute, then 1,000 due at once.

use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::Connection;
use tokio::task::JoinSet;
use twinkey::config::settings::Rotation;
use twinkey_stores::local::LocalStore;

use crate::Result;
use crate::fixture::{
    BenchWorker, CONCURRENCY, RecordingStore, opens_at, rotations, rotator, soon,
};
use crate::many::{PAIRS, plan, superuser_document};
use crate::one::sign_in;
use twinkey_testkit::environment::many_pairs::{ManyPairs, secret};
use twinkey_testkit::environment::{Backend, Environment};

const ARMED: usize = 10_000;
const SECONDS: usize = 60;
/// Sign-ins of the active user and of the master.
const SIGN_INS: usize = 2 * CONCURRENCY;
const ROUNDS: usize = 20;
const EACH: &str = "min_interval = \"0s\"";

pub async fn run() -> Result<()> {
    let fixture =
        ManyPairs::add_to(Environment::open_with(plan(), Backend::Local).await, PAIRS).await;
    let begins = soon(3);
    let each_second = |pair: usize| {
        let pair = i64::try_from(pair).unwrap_or_default();
        begins + TimeDelta::seconds(pair)
    };
    let lags = lags(&fixture, SECONDS, "seconds.db", each_second).await?;
    println!(
        "one due each second, {ARMED} armed: first effect after {:.1} ms (p50), {:.1} ms (p99), {:.1} ms (max)",
        at(&lags, 50),
        at(&lags, 99),
        at(&lags, 100),
    );
    let alone = sign_ins_at_once(&fixture).await?;
    let together = soon(3);
    let lags = self::lags(&fixture, PAIRS, "together.db", |_| together).await?;
    let (first, last) = (lags[0], lags[CONCURRENCY - 1]);
    println!(
        "{PAIRS} due at once, {ARMED} armed: first effect of the first after {first:.1} ms, of the {CONCURRENCY}th after {last:.1} ms; \
         the {SIGN_INS} sign-ins before them alone, at once, {alone:.1} ms: ratios {:.2}, {:.2}",
        first / alone,
        last / alone,
    );
    Ok(())
}

/// The milliseconds of the first sign-ins of [`CONCURRENCY`] runs at once, with the driver alone:
/// the median of [`ROUNDS`].
async fn sign_ins_at_once(fixture: &ManyPairs) -> Result<f64> {
    let who = Arc::new(superuser_document(fixture)?);
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let mut signing_in = JoinSet::new();
        for _ in 0..SIGN_INS {
            let who = Arc::clone(&who);
            signing_in.spawn(async move { sign_in(&who).await.map_err(|e| e.to_string()) });
        }
        let connections: std::result::Result<Vec<_>, _> =
            signing_in.join_all().await.into_iter().collect();
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        for connection in connections? {
            connection.close().await?;
        }
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok(at(&times, 50))
}

/// Runs the first `due` pairs among all armed rotations. Returns the milliseconds to their first
/// effects, in ascending order.
async fn lags(
    fixture: &ManyPairs,
    due: usize,
    journal: &str,
    opens: impl Fn(usize) -> DateTime<Utc>,
) -> Result<Vec<f64>> {
    let mut all: Vec<Rotation> = rotations(fixture, EACH)?;
    all.truncate(due);
    for (pair, rotation) in all.iter_mut().enumerate() {
        opens_at(rotation, opens(pair))?;
    }
    for n in due..ARMED {
        let mut idle = all[0].clone();
        idle.name = format!("idle-{n}");
        idle.secret.clone_from(&idle.name);
        opens_at(&mut idle, soon(86_400))?;
        all.push(idle);
    }
    let folder = fixture.env.folder.path();
    let local = LocalStore::open(&folder.join("secrets.db"), &folder.join("secrets.key")).await?;
    let store = Arc::new(RecordingStore::new(Arc::new(local)));
    let rotator = rotator(Arc::clone(&store) as _, &folder.join(journal), true).await?;
    let mut worker = BenchWorker::begin(rotator, all).await;
    worker.succeeded(due).await?;
    worker.end().await?;
    let written = store.written();
    let mut lags: Vec<f64> = (0..due)
        .filter_map(|pair| {
            Some((*written.get(&secret(pair))? - opens(pair)).as_seconds_f64() * 1e3)
        })
        .collect();
    lags.sort_unstable_by(f64::total_cmp);
    Ok(lags)
}

/// A percentile of sorted values.
fn at(sorted: &[f64], percent: usize) -> f64 {
    let place = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted[place]
}
