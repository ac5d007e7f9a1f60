//! Refused rotations: each has its own code and a hint, and changes nothing.

use serde_json::json;
use twinkey_stores::stage;

use super::PairFixture;
use crate::faults::failures::{is_refused, with};
use twinkey_testkit::environment::{Backend, MASTER_SECRET, SECRET, Setup, StandIn};

async fn start<F: PairFixture>() -> F {
    F::start(Setup::default(), Backend::StandIn(StandIn::start().await)).await
}

pub(crate) async fn a_wrong_password_has_its_own_code_for_each_user<F: PairFixture>() {
    let fixture = start::<F>().await;
    let env = fixture.env();
    let (current, _) = env.read(stage::CURRENT).await;
    let master = env.document("rdsmaster", "Wrong-0123456789");
    env.put(MASTER_SECRET, &master).await;
    is_refused(env, "master_signin_failed").await;
    let wrong = with(current, "password", json!("Wrong-0123456789"));
    env.put(SECRET, &wrong).await;
    is_refused(env, "current_signin_failed").await;
}

pub(crate) async fn a_missing_privilege_is_reported_with_its_statement<F: PairFixture>() {
    let fixture = start::<F>().await;
    let env = fixture.env();
    env.run_ok(&["rotate", "shop"]).await;
    env.run_ok(&["rotate", "shop"]).await;
    for case in 0..F::MASTER_CASES {
        let fix = fixture.revoke_from_master(case).await;
        let output = is_refused(env, "privileges_missing").await;
        assert!(output.contains(&fix), "case {case}: {output}");
        fixture.grant_to_master(case).await;
        env.run_ok(&["rotate", "shop"]).await;
        fixture.assert_pair_is_equal().await;
        // The active user is `app` again.
        env.run_ok(&["rotate", "shop"]).await;
    }
}

pub(crate) async fn a_stopped_server_is_unreachable<F: PairFixture>() {
    let fixture = start::<F>().await;
    let env = fixture.env();
    let (current, _) = env.read(stage::CURRENT).await;
    for name in [SECRET, MASTER_SECRET] {
        env.put(name, &with(current.clone(), "port", json!(1)))
            .await;
    }
    is_refused(env, "db_unreachable").await;
}

pub(crate) async fn sessions_of_the_standby_stop_a_manual_run<F: PairFixture>() {
    let fixture = start::<F>().await;
    let env = fixture.env();
    env.run_ok(&["rotate", "shop"]).await;
    let session = env.signed_in(stage::PREVIOUS).await;
    let output = env.refuses(&["rotate", "shop"], "standby_in_use").await;
    assert!(output.contains("app"), "{output}");
    env.run_ok(&["rotate", "shop", "--force"]).await;
    drop(session);
}

pub(crate) async fn the_master_and_superusers_are_not_rotated<F: PairFixture>() {
    let fixture = start::<F>().await;
    let env = fixture.env();
    let master = env.document("rdsmaster", "Master-0123456789-abcdef-XYZ");
    env.put(SECRET, &master).await;
    let output = is_refused(env, "db_refused").await;
    assert!(output.contains("is the master itself"), "{output}");

    let superuser = fixture.create_superuser().await;
    env.put(SECRET, &superuser).await;
    let output = is_refused(env, "db_refused").await;
    assert!(output.contains(F::SUPERUSER_FINDING), "{output}");
}
