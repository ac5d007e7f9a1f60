//! Refused rotations on DocumentDB.

use twinkey_stores::stage;

use super::assert_pair_is_equal;
use super::fixture::DocumentdbFixture;
use crate::engines::pair::pair_tests;
use twinkey_testkit::environment::Setup;
use twinkey_testkit::environment::documentdb::MongoEnvironment;
use twinkey_testkit::mongo::recording_relay::UNREADABLE;

pair_tests!(
    DocumentdbFixture:
    a_wrong_password_has_its_own_code_for_each_user
    a_missing_privilege_is_reported_with_its_statement
    a_stopped_server_is_unreachable
    sessions_of_the_standby_stop_a_manual_run
    the_master_and_superusers_are_not_rotated
);

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_current_op_stops_no_run() {
    let env = MongoEnvironment::on_mongo(Setup::default()).await;
    env.run_ok(&["rotate", "shop"]).await;
    let relay = &env.server.relay;
    relay.respond_with_error("currentOp", 59, "CommandNotFound", "no such command");
    let _session = env.signed_in(stage::PREVIOUS).await;
    env.run_ok(&["rotate", "shop"]).await;
    assert_pair_is_equal(&env).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsupported_command_changes_nothing_in_use() {
    let env = MongoEnvironment::on_mongo(Setup::default()).await;
    let (before, _) = env.read(stage::CURRENT).await;
    let relay = &env.server.relay;
    relay.respond_with_error("createUser", 59, "CommandNotFound", "no such command");
    let output = env.fails(&["rotate", "shop"], 1, "db_refused").await;
    assert!(output.contains("no such command"), "{output}");
    assert_eq!(env.read(stage::CURRENT).await.0, before);
    env.signed_in(stage::CURRENT).await;
    relay.pass_all();
    env.run_ok(&["rotate", "shop"]).await;
    assert_pair_is_equal(&env).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_receives_no_command_by_default() {
    let env = MongoEnvironment::on_mongo(Setup {
        rotation: "tls = { mode = \"verify-full\" }".into(),
        ..Setup::default()
    })
    .await;
    let before = env.state().await;
    let output = env.twinkey(&["rotate", "shop"]).await;
    // The server closes the connection, which appears as a reset or as an end.
    let text = String::from_utf8(output.stderr).unwrap();
    let is_expected = ["tls_failed", "db_unreachable"].map(|code| text.contains(code));
    assert!(is_expected.contains(&true), "{text}");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(env.state().await, before);
    let log = env.log();
    let mut lines = log.lines();
    assert!(lines.all(|line| line == UNREADABLE), "{log}");
}
