//! Changes by other processes and people during a run. Each has its own code.

use std::process::Output;

use serde_json::json;
use sqlx::postgres::PgConnection;
use tokio::task::JoinHandle;
use twinkey_stores::stage;

use twinkey_testkit::environment::{Environment, SECRET, Setup, free_address, run, until, value};

/// A lock that only these tests use.
const PROBE: &str = "SELECT pg_advisory_xact_lock(4711)";

/// An environment whose runs wait in `test` until the transaction of the connection ends.
pub(super) async fn held() -> (Environment, PgConnection) {
    let plan = Setup {
        rotation: format!("probe = [\"{PROBE}\"]"),
        ..Setup::default()
    };
    let env = Environment::open(plan).await;
    let mut holder = env.root("shop").await;
    run(&mut holder, "BEGIN").await;
    run(&mut holder, PROBE).await;
    (env, holder)
}

/// Starts a run, and returns when it is in `test`.
pub(super) async fn begun(env: &Environment) -> JoinHandle<Output> {
    let mut command = env.command(env!("CARGO_BIN_EXE_twinkey"));
    let output = command.args(["rotate", "shop"]).output();
    let run = tokio::spawn(async { output.await.unwrap() });
    let mut look = env.root("shop").await;
    until("the run waits in `test`", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%4711%'";
        value::<i64>(&mut look, sql).await > 0
    })
    .await;
    run
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_of_a_rotation_is_refused_in_any_journal() {
    let (env, mut holder) = held().await;
    let first = begun(&env).await;
    env.refuses(&["rotate", "shop"], "already_running").await;
    // A worker with another journal is refused by the lock in the database.
    let config = std::fs::read_to_string(env.config()).unwrap();
    let other = config.replace("journal.db", "other.db");
    std::fs::write(env.config(), other).unwrap();
    env.refuses(&["rotate", "shop"], "already_running").await;
    run(&mut holder, "ROLLBACK").await;
    let first = first.await.unwrap();
    assert!(first.status.success(), "{first:?}");
    env.signed_in(stage::CURRENT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_edited_during_a_run_keeps_the_edit() {
    let (env, mut holder) = held().await;
    let first = begun(&env).await;
    let (mut edited, _) = env.read(stage::CURRENT).await;
    edited["alpha"] = json!("edited");
    env.put(SECRET, &edited).await;
    run(&mut holder, "ROLLBACK").await;
    let first = first.await.unwrap();
    let message = String::from_utf8(first.stderr).unwrap();
    assert_eq!(first.status.code(), Some(1), "{message}");
    assert!(message.contains("error[lost_race]: "), "{message}");
    assert!(!hint_of(&message).is_empty(), "{message}");
    assert_eq!(env.read(stage::CURRENT).await.0, edited);
    env.signed_in(stage::CURRENT).await;
    env.run_ok(&["rotate", "shop"]).await;
}

fn hint_of(message: &str) -> &str {
    message
        .split_once("hint: ")
        .map_or("", |(_, hint)| hint.trim())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_keeps_throttling_has_its_own_code() {
    let env = Environment::open(Setup::default()).await;
    let faults = env.stand_in().faults();
    faults.throttle("PutSecretValue", 30);
    env.refuses(&["rotate", "shop"], "store_throttled").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_with_too_many_new_versions_has_its_own_code() {
    let env = Environment::open(Setup::default()).await;
    env.stand_in().faults().limit_versions(2);
    env.run_ok(&["rotate", "shop"]).await;
    let (before, _) = env.read(stage::CURRENT).await;
    let message = env.refuses(&["rotate", "shop"], "store_quota").await;
    assert!(message.contains("24 hours"), "{message}");
    assert!(!message.contains("store_writes_per_second"), "{message}");
    assert_eq!(env.read(stage::CURRENT).await.0, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_a_journal_is_reported_and_kept() {
    let env = Environment::open(Setup::default()).await;
    let journal = env.folder.path().join("journal.db");
    let text = "another file, and not a database";
    std::fs::write(&journal, text).unwrap();
    let message = env.fails(&["status"], 1, "journal_unavailable").await;
    assert!(message.contains("journal"), "{message}");
    env.refuses(&["rotate", "shop"], "journal_unavailable")
        .await;
    assert_eq!(std::fs::read_to_string(&journal).unwrap(), text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_address_is_in_use_reports_it_and_exits() {
    let address = free_address();
    let _taken = std::net::TcpListener::bind(&address).unwrap();
    let env = Environment::open(Setup {
        config: format!("[server]\nlisten = \"{address}\""),
        ..Setup::default()
    })
    .await;
    let message = env.fails(&["serve"], 1, "internal").await;
    assert!(message.contains(&address), "{message}");
}
