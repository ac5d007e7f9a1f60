//! The worker dies at every single call of a first run, or AWS turns it away for half a minute:
//! AWSCURRENT signs in with all its privileges, and the next run ends what was begun. Cuts of later runs are in
//! `cut_table/redshift.rs`.

use std::time::{Duration, Instant};

use twinkey_stores::stage;

use super::house::{House, MASTER_SECRET, On};
use super::rotations::{furnish, may_work};
use crate::cut_table::redshift::dies_at;
use twinkey_testkit::aws::redshift::HOME;

/// More than any run makes.
const MOST_CALLS: usize = 150;
/// Deaths at every call take minutes: as a rule it is every third, and in CI every one.
fn stride() -> usize {
    match std::env::var_os("TWINKEY_ALL_ENGINES") {
        Some(_) => 1,
        None => 3,
    }
}
/// What AWS says for so long, the run waits out.
const HALF_A_MINUTE: Duration = Duration::from_secs(30);

pub async fn a_house() -> House {
    let master = format!("master_secret = \"{MASTER_SECRET}\"");
    let house = House::open(On::Cluster, "", &master).await;
    furnish(&house).await;
    house
}

/// Who was cut off keeps the lock until its lease runs out: here, at once. Another worker goes on.
pub async fn the_lease_runs_out(house: &House) {
    house.forget_the_journal();
    let there = "SELECT 1 FROM twinkey.locks";
    if house.as_admin(HOME, &[there]).await.is_ok() {
        let past = "UPDATE twinkey.locks SET expires = getdate() - interval '1 second'";
        house.dba(HOME, &[past]).await;
    }
}

/// What must hold at every instant: whoever signs in is complete.
async fn the_promises_hold(house: &House) {
    may_work(house, stage::CURRENT).await;
    if house.has(stage::PENDING).await
        && house
            .as_user(stage::PENDING, HOME, &["SELECT 1"])
            .await
            .is_ok()
    {
        may_work(house, stage::PENDING).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_at_any_call_of_a_first_run_harms_nobody_and_the_next_run_converges() {
    let house = a_house().await;
    let mut deaths = 0;
    for k in (1..MOST_CALLS).step_by(stride()) {
        // A standby that nobody has made yet.
        house.forget_the_clone().await;
        let reached = dies_at(&house, k).await;
        the_promises_hold(&house).await;
        if !reached {
            break;
        }
        deaths += 1;
        the_lease_runs_out(&house).await;
        if house.current_user().await == "app" {
            house.good(&["rotate", "house"]).await;
        }
        assert_eq!(
            house.current_user().await,
            "app_clone",
            "after a death at call {k}"
        );
        may_work(&house, stage::CURRENT).await;
        may_work(&house, stage::PREVIOUS).await;
    }
    assert!(deaths * stride() > 40, "a run makes more calls: {deaths}");
    println!(
        "a first run dies {deaths} times, at every {}. call: 0 violations",
        stride()
    );
}

/// Both at once, so that the test takes as long as the longer.
#[tokio::test(flavor = "multi_thread")]
async fn too_many_statements_and_throttling_for_half_a_minute_only_delay() {
    let (crowded, throttled) = tokio::join!(a_house(), a_house());
    let faults = crowded.stand_in.faults();
    let name = "ActiveStatementsExceededException";
    faults.answer_for("BatchExecuteStatement", HALF_A_MINUTE, 400, name);
    let faults = throttled.stand_in.faults();
    for action in ["DescribeStatement", "GetStatementResult"] {
        faults.answer_for(action, HALF_A_MINUTE, 400, "ThrottlingException");
    }
    let begun = Instant::now();
    let rotate = ["rotate", "house"];
    tokio::join!(crowded.good(&rotate), throttled.good(&rotate));
    println!(
        "half a minute of being turned away: done after {:?}",
        begun.elapsed()
    );
    for house in [crowded, throttled] {
        may_work(&house, stage::CURRENT).await;
        let turned_away = house.count("BatchExecuteStatement") + house.count("DescribeStatement");
        assert!(turned_away < 120, "it does not hammer: {turned_away}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_the_database_refuses_ends_the_run_with_its_words_and_its_number() {
    let house = a_house().await;
    house.redshift().fail(
        "ALTER USER \"app_clone\" CONNECTION",
        1,
        "no more users today",
    );
    let output = house.twinkey(&["rotate", "house"]).await;
    let said = super::house::text(&output.stderr);
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
    may_work(&house, stage::CURRENT).await;
    house.good(&["rotate", "house"]).await;
    may_work(&house, stage::CURRENT).await;
}
