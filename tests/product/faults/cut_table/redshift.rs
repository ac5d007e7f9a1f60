//! Cuts on Redshift. Every request of a run is an AWS call, to the store or to the Data API.

use std::process::Stdio;
use std::time::Instant;

use twinkey_stores::stage;

use super::{CutRow, Recovery, places};
use crate::engines::redshift::fixture::RedshiftFixture;
use crate::engines::redshift::interruptions::{expire_lease, furnished_fixture};
use crate::engines::redshift::rotations::works;
use twinkey_testkit::aws::faults::Cut;
use twinkey_testkit::environment::until;

/// An upper bound of the calls of a run.
const MAX_CALLS: usize = 150;

/// The distance between cuts of `make test`.
const STEP: usize = 5;

pub async fn every_cut() -> Vec<CutRow> {
    let (mut lost, mut killed) = tokio::join!(lost(), killed());
    lost.append(&mut killed);
    lost
}

fn row(kind: &'static str) -> CutRow {
    CutRow::new("Redshift (stand-in)", "AWS", kind)
}

/// A lost or refused response is requested again: no run fails, and nothing is done twice.
async fn lost() -> Vec<CutRow> {
    let house = furnished_fixture().await;
    house.good(&["rotate", "house"]).await;
    let mut rows = Vec::new();
    for (kind, cut) in [
        ("call cut after it took effect", Cut::After),
        ("500 once", Cut::Answer(500, "InternalServiceError")),
        ("throttled once", Cut::Answer(400, "ThrottlingException")),
    ] {
        let mut row = row(kind);
        for k in places(1, STEP, MAX_CALLS) {
            if !one_answer_lost(&house, &mut row, k, cut).await {
                break;
            }
        }
        rows.push(row);
    }
    rows
}

/// `false`: the run made fewer calls.
async fn one_answer_lost(house: &RedshiftFixture, row: &mut CutRow, k: usize, cut: Cut) -> bool {
    let faults = house.stand_in.faults();
    let (before, calls) = (house.current_user().await, faults.calls().len());
    let statements = house.redshift().history().len();
    faults.cut(k, cut);
    let begun = Instant::now();
    let output = house.twinkey(&["rotate", "house"]).await;
    let reached = faults.calls().len() >= calls + k;
    faults.forget_cuts();
    if !reached {
        return false;
    }
    row.recoveries.push((Recovery::SameRun, begun.elapsed()));
    let mut broken = broken(house).await;
    if !output.status.success() || house.current_user().await == before {
        broken.push("the run failed".into());
    }
    let history = house.redshift().history();
    let those = history[statements..].iter();
    if those
        .filter(|seen| seen.sql.contains(" PASSWORD 'md5"))
        .count()
        != 1
    {
        broken.push("one token, one statement: the password was not set once".into());
    }
    add_violations(row, k, broken);
    true
}

/// The worker is killed after a call took effect. Its later calls have no effect.
async fn killed() -> Vec<CutRow> {
    let house = furnished_fixture().await;
    house.good(&["rotate", "house"]).await;
    let mut row = row("worker killed after a call took effect");
    for k in places(1, STEP, MAX_CALLS) {
        let before = house.current_user().await;
        if !dies_at(&house, k).await {
            break;
        }
        let mut broken = broken(&house).await;
        let pending = house.has(stage::PENDING).await;
        let pending = if pending {
            Some(house.read(stage::PENDING).await)
        } else {
            None
        };
        expire_lease(&house).await;
        let begun = Instant::now();
        let moved = house.current_user().await != before;
        if !moved {
            let output = house.twinkey(&["rotate", "house"]).await;
            if !output.status.success() {
                broken.push(format!(
                    "the next run fails: {}",
                    String::from_utf8_lossy(&output.stderr)
                ));
            }
        }
        let recovery = match pending {
            _ if moved => Recovery::SameRun,
            Some(pending) if pending == house.read(stage::CURRENT).await => {
                Recovery::NextRunContinued
            }
            _ => Recovery::NextRunRestarted,
        };
        row.recoveries.push((recovery, begun.elapsed()));
        if house.current_user().await == before {
            broken.push("the run did not end: AWSCURRENT has not moved".into());
        }
        broken.extend(self::broken(&house).await);
        add_violations(&mut row, k, broken);
    }
    // A successful run removes the leftovers of a dead one.
    house.good(&["rotate", "house"]).await;
    house.good(&["rotate", "house"]).await;
    if !house.probe_secrets().await.is_empty() {
        row.violations.push("a probe's secret is left".into());
    }
    vec![row]
}

/// Starts a run, and kills it after its k-th call took effect. `false`: it made fewer calls.
pub async fn dies_at(house: &RedshiftFixture, k: usize) -> bool {
    let faults = house.stand_in.faults();
    let before = faults.calls().len();
    faults.cut(k, Cut::After);
    for later in k + 1..k + 20 {
        faults.cut(later, Cut::Before);
    }
    let mut command = house.command();
    command
        .args(["rotate", "house"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut run = command.spawn().unwrap();
    let mut ended = false;
    until("the run comes to its end or to the call", async || {
        ended = run.try_wait().unwrap().is_some();
        ended || faults.calls().len() >= before + k
    })
    .await;
    let _ = run.kill().await;
    let reached = faults.calls().len() >= before + k;
    faults.forget_cuts();
    reached
}

/// The promises that do not hold.
async fn broken(house: &RedshiftFixture) -> Vec<String> {
    let mut broken = Vec::new();
    if !works(house, stage::CURRENT).await {
        broken.push("promise 1: AWSCURRENT does not sign in with all its privileges".into());
    }
    let mut known = false;
    let current = house.current_user().await;
    for label in [stage::CURRENT, stage::PREVIOUS, stage::PENDING] {
        if house.has(label).await && house.read(label).await["username"] != current.as_str() {
            known |= house
                .as_user(label, twinkey_testkit::aws::redshift::HOME, &["SELECT 1"])
                .await
                .is_ok();
        }
    }
    if !known {
        broken.push("promise 3: the standby has a password that is not in the store".into());
    }
    broken
}

fn add_violations(row: &mut CutRow, k: usize, broken: Vec<String>) {
    let place = format!("{} {}, call {k}", row.engine, row.kind);
    row.violations
        .extend(broken.into_iter().map(|what| format!("{place}: {what}")));
}
