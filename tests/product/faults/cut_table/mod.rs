//! One rotation, cut at each of its requests, for every engine and both stores. Requests to the
//! database and to the store are cut before and after they take effect, by a reset, an error,
//! silence, or the death of the worker.
//!
//! After each cut, checks that do not use the product's decisions verify promises 1 to 3 in the
//! database and the store. Another run then repairs the state, which is checked again. The output
//! of the runs is searched for every password.
//!
//! # Failure modes
//! - A cut does not happen: a cut counts only if the relay or the stand-in reached it. Each kind
//!   continues until a run ends before its cut. `make test` cuts at one of three requests, and
//!   `make cut-table` at each.
//! - A run has nothing to change: the active user is changed before each run.
//! - One violation hides others: violations are collected and reported at the end with the table.

mod engines;
mod fixture;
pub mod redshift;
mod relay;
mod store;
mod wire;

use std::fmt::Write;
use std::iter::StepBy;
use std::ops::RangeInclusive;
use std::time::Duration;

use twinkey_testkit::mysql::LocalMysql;
use twinkey_testkit::postgres::LocalPostgres;

use self::fixture::CutFixture;
use twinkey_testkit::environment::documentdb::LocalMongo;

/// Whether runs are cut at all of their requests, as `make cut-table` does in some minutes.
pub fn at_every_request() -> bool {
    std::env::var_os("TWINKEY_EVERY_CUT").is_some()
}

/// The requests at which runs are cut: all of them, or one of each `step` from `first` on.
pub fn places(first: usize, step: usize, most: usize) -> StepBy<RangeInclusive<usize>> {
    match at_every_request() {
        true => (1..=most).step_by(1),
        false => (first..=most).step_by(step),
    }
}

/// The way in which a cut run was repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// The run repeated the request, or was cut after its last effect.
    SameRun,
    /// The next run continued with the pending password.
    NextRunContinued,
    /// The next run started again.
    NextRunRestarted,
}

/// The cuts of one kind on one engine and store.
pub struct CutRow {
    engine: &'static str,
    store: &'static str,
    kind: &'static str,
    recoveries: Vec<(Recovery, Duration)>,
    violations: Vec<String>,
}

impl CutRow {
    pub const fn new(engine: &'static str, store: &'static str, kind: &'static str) -> Self {
        Self {
            engine,
            store,
            kind,
            recoveries: Vec::new(),
            violations: Vec::new(),
        }
    }

    fn cuts(&self) -> usize {
        self.recoveries.len()
    }

    fn count(&self, recovery: Recovery) -> usize {
        let those = self.recoveries.iter().filter(|(how, _)| *how == recovery);
        those.count()
    }

    /// The median time of the repairs.
    fn typical(&self) -> Duration {
        let mut times: Vec<Duration> = self.recoveries.iter().map(|(_, took)| *took).collect();
        times.sort();
        times.get(times.len() / 2).copied().unwrap_or_default()
    }
}

fn table(rows: &[CutRow]) -> String {
    let mut text = String::from(
        "| engine | store | cut | cuts | run continued by itself | next run continued | next run started again | until repaired (median) | violations |\n| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for row in rows {
        let CutRow {
            engine,
            store,
            kind,
            ..
        } = row;
        writeln!(
            text,
            "| {engine} | {store} | {kind} | {} | {} | {} | {} | {} ms | {} |",
            row.cuts(),
            row.count(Recovery::SameRun),
            row.count(Recovery::NextRunContinued),
            row.count(Recovery::NextRunRestarted),
            row.typical().as_millis(),
            row.violations.len(),
        )
        .unwrap();
    }
    text
}

/// A rotation with a replica 0.2 s behind, whose connections are cut too.
async fn with_reader() -> Vec<CutRow> {
    let fixture = CutFixture::<LocalPostgres>::for_replicas().await;
    let replica = fixture.replica("recovery_min_apply_delay=200ms");
    fixture.with_reader(replica.port()).await.wire_cuts().await
}

/// `strategy = "single"` where a run has a gap.
async fn of_one_user() -> Vec<CutRow> {
    let rows = tokio::join!(
        async {
            let fixture = CutFixture::<LocalPostgres>::on_aws().await;
            fixture.with_one_user().every_cut().await
        },
        async {
            let fixture = CutFixture::<LocalPostgres>::on_local().await;
            fixture.with_one_user().deaths().await
        },
        async {
            let fixture = CutFixture::<LocalMysql>::on_aws().await;
            fixture.with_one_user().every_cut().await
        },
        async {
            let fixture = CutFixture::<LocalMysql>::on_local().await;
            fixture.with_one_user().deaths().await
        },
    );
    let (a, b, c, d) = rows;
    [a, b, c, d].into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_user_cut_at_any_request_has_a_way_in() {
    let rows = of_one_user().await;
    let violations: Vec<&String> = rows.iter().flat_map(|row| &row.violations).collect();
    println!("{}", table(&rows));
    assert!(violations.is_empty(), "{violations:#?}");
    assert!(rows.iter().all(|row| row.cuts() > 0), "each kind was tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_cut_at_any_request_keeps_all_promises() {
    let rows = tokio::join!(
        async {
            CutFixture::<LocalPostgres>::on_aws()
                .await
                .every_cut()
                .await
        },
        async { CutFixture::<LocalPostgres>::on_aws().await.silences().await },
        async { CutFixture::<LocalPostgres>::on_local().await.deaths().await },
        async { CutFixture::<LocalMysql>::on_aws().await.every_cut().await },
        async { CutFixture::<LocalMysql>::on_aws().await.silences().await },
        async { CutFixture::<LocalMysql>::on_local().await.deaths().await },
        async { CutFixture::<LocalMongo>::on_aws().await.every_cut().await },
        async { CutFixture::<LocalMongo>::on_local().await.deaths().await },
        redshift::every_cut(),
        with_reader(),
    );
    let (a, b, c, d, e, f, g, h, i, j) = rows;
    let rows = [a, b, c, d, e, f, g, h, i, j];
    let rows: Vec<CutRow> = rows.into_iter().flatten().collect();
    let cuts: usize = rows.iter().map(CutRow::cuts).sum();
    let violations: Vec<&String> = rows.iter().flat_map(|row| &row.violations).collect();
    println!("{}", table(&rows));
    println!("{cuts} cuts, {} violations", violations.len());
    assert!(violations.is_empty(), "{violations:#?}");
    assert!(rows.iter().all(|row| row.cuts() > 0), "each kind was tried");
    let least = if at_every_request() { 400 } else { 250 };
    assert!(cuts >= least, "{cuts} cuts");
}
