//! Workers that are killed at each call of a first run, and throttled runs.
//!
//! AWSCURRENT signs in with all its privileges, and the next run completes the change.
//! Interruptions of later runs are in `faults/cut_table/redshift.rs`.

use std::time::{Duration, Instant};

use twinkey_stores::stage;

use super::fixture::{Deployment, MASTER_SECRET, RedshiftFixture};
use super::rotations::{furnish, may_work};
use crate::faults::cut_table::{places, redshift::dies_at};
use twinkey_testkit::aws::redshift::HOME;

/// More calls than any run has.
const MAX_CALLS: usize = 150;
/// The distance between the tested calls of `make test`.
const STEP: usize = 3;
/// Duration of throttling that a run must survive.
const THROTTLING: Duration = Duration::from_secs(30);

pub async fn furnished_fixture() -> RedshiftFixture {
    let master = format!("master_secret = \"{MASTER_SECRET}\"");
    let fixture = RedshiftFixture::open(Deployment::Cluster, "", &master).await;
    furnish(&fixture).await;
    fixture
}

/// Expires the lease of a killed worker, so that another worker can continue.
pub async fn expire_lease(fixture: &RedshiftFixture) {
    fixture.remove_journal();
    let there = "SELECT 1 FROM twinkey.locks";
    if fixture.as_admin(HOME, &[there]).await.is_ok() {
        let past = "UPDATE twinkey.locks SET expires = getdate() - interval '1 second'";
        fixture.dba(HOME, &[past]).await;
    }
}

/// Asserts that every user that can sign in is complete.
async fn assert_invariants(fixture: &RedshiftFixture) {
    may_work(fixture, stage::CURRENT).await;
    if fixture.has(stage::PENDING).await
        && fixture
            .as_user(stage::PENDING, HOME, &["SELECT 1"])
            .await
            .is_ok()
    {
        may_work(fixture, stage::PENDING).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_run_killed_at_any_call_is_completed() {
    let fixture = furnished_fixture().await;
    let (mut deaths, mut last) = (0, 0);
    for k in places(1, STEP, MAX_CALLS) {
        // The standby does not exist yet.
        fixture.remove_clone().await;
        let reached = dies_at(&fixture, k).await;
        assert_invariants(&fixture).await;
        if !reached {
            break;
        }
        (deaths, last) = (deaths + 1, k);
        expire_lease(&fixture).await;
        if fixture.current_user().await == "app" {
            fixture.good(&["rotate", "house"]).await;
        }
        assert_eq!(
            fixture.current_user().await,
            "app_clone",
            "after a death at call {k}"
        );
        may_work(&fixture, stage::CURRENT).await;
        may_work(&fixture, stage::PREVIOUS).await;
    }
    assert!(last > 40, "a run makes more calls than {last}");
    println!("a first run dies {deaths} times, at calls 1 to {last}: 0 violations");
}

/// Both limits run concurrently to shorten the test.
#[tokio::test(flavor = "multi_thread")]
async fn throttling_for_half_a_minute_only_delays_a_run() {
    let (crowded, throttled) = tokio::join!(furnished_fixture(), furnished_fixture());
    let faults = crowded.stand_in.faults();
    let name = "ActiveStatementsExceededException";
    faults.answer_for("BatchExecuteStatement", THROTTLING, 400, name);
    let faults = throttled.stand_in.faults();
    for action in ["DescribeStatement", "GetStatementResult"] {
        faults.answer_for(action, THROTTLING, 400, "ThrottlingException");
    }
    let begun = Instant::now();
    let rotate = ["rotate", "house"];
    tokio::join!(crowded.good(&rotate), throttled.good(&rotate));
    println!(
        "half a minute of being turned away: done after {:?}",
        begun.elapsed()
    );
    for fixture in [crowded, throttled] {
        may_work(&fixture, stage::CURRENT).await;
        let turned_away =
            fixture.count("BatchExecuteStatement") + fixture.count("DescribeStatement");
        assert!(turned_away < 120, "it does not hammer: {turned_away}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_statement_is_reported_with_number_and_message() {
    let fixture = furnished_fixture().await;
    fixture.redshift().fail(
        "ALTER USER \"app_clone\" CONNECTION",
        1,
        "no more users today",
    );
    let output = fixture.twinkey(&["rotate", "house"]).await;
    let said = super::fixture::text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in [
        "error[db_refused]",
        "no more users today",
        "ALTER USER \"app_clone\" CONNECTION LIMIT 20",
        "statement ",
        "hint: ",
    ] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
    may_work(&fixture, stage::CURRENT).await;
    fixture.good(&["rotate", "house"]).await;
    may_work(&fixture, stage::CURRENT).await;
}
