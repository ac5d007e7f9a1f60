//! The worker as a process: in windows, and killed during a run.

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use serde_json::Value as Json;
use sqlx::{Connection, PgConnection, SqliteConnection};
use twinkey::rotation::run::version_id;
use twinkey_stores::stage;
use twinkey_stores::{SecretStore, VersionId};

use twinkey_testkit::environment::{Environment, SECRET, Setup, free_address, run, until, value};

/// The runs in the history, without other actions.
pub async fn runs(env: &Environment) -> Json {
    let history = env.run_ok(&["history", "--json"]).await;
    let mut entries: Vec<Json> = serde_json::from_str(&history).unwrap();
    entries.retain(|entry| entry.get("trigger").is_some());
    Json::Array(entries)
}

pub fn terminate(child: &tokio::process::Child) {
    signal(child, "TERM");
}

/// Uses the shell's `kill`, because a minimal system has no such program.
pub fn signal(child: &tokio::process::Child, name: &str) {
    let command = format!("kill -{name} {}", child.id().unwrap());
    let mut shell = std::process::Command::new("sh");
    assert!(shell.args(["-c", &command]).status().unwrap().success());
}

/// A daily window that opened five minutes ago and stays open for two hours.
pub fn open_now() -> (String, DateTime<Utc>) {
    let opens = twinkey_core::telemetry::Clock::system().now() - TimeDelta::minutes(5);
    let opens = opens.with_second(0).unwrap().with_nanosecond(0).unwrap();
    let text = format!(
        "schedule = \"cron({} {} * * ? *)\"\nwindow = \"2h\"",
        opens.minute(),
        opens.hour()
    );
    (text, opens)
}

async fn scheduled_id(env: &Environment, opens: DateTime<Utc>) -> VersionId {
    let description = env.stand_in().store().describe(SECRET).await.unwrap();
    version_id::scheduled(&description.arn, opens)
}

/// An environment with an open window, in which a worker runs when it starts.
async fn environment_in_its_window(address: &str) -> (Environment, DateTime<Utc>) {
    let (schedule, opens) = open_now();
    let env = Environment::open(Setup {
        config: format!("[server]\nlisten = \"{address}\""),
        rotation: format!("{schedule}\nmissed = \"run\""),
        ..Setup::default()
    })
    .await;
    (env, opens)
}

/// Locks the standby until the transaction of the connection ends, so that changes of it wait. The
/// journal has the rotation from before the window.
async fn busy_standby(env: &Environment, opens: DateTime<Utc>) -> PgConnection {
    env.run_ok(&["rotate", "shop"]).await;
    env.run_ok(&["rotate", "shop"]).await;
    known_before(&env.folder.path().join("journal.db"), opens).await;
    let mut root = env.root("postgres").await;
    run(&mut root, "BEGIN").await;
    run(&mut root, "ALTER ROLE app_clone CONNECTION LIMIT 50").await;
    root
}

/// Sets the journal's first sight of the rotation to before the window.
pub async fn known_before(journal: &std::path::Path, opens: DateTime<Utc>) {
    let mut db = SqliteConnection::connect(&format!("sqlite://{}", journal.display()))
        .await
        .unwrap();
    sqlx::query("UPDATE rotations SET first_seen = ?1")
        .bind((opens - TimeDelta::days(1)).timestamp_micros())
        .execute(&mut db)
        .await
        .unwrap();
    db.close().await.unwrap();
}

/// Waits until a run waits for a lock in the database.
pub async fn waits_in_set(env: &Environment) {
    let mut look = env.root("postgres").await;
    until("the run waits in `set`", async || {
        value::<i64>(&mut look, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'twinkey' AND wait_event_type = 'Lock'").await > 0
    })
    .await;
}

/// An environment in whose open window `serve` was killed during the step `set`.
async fn killed_during_a_run(address: &str) -> (Environment, DateTime<Utc>) {
    let (env, opens) = environment_in_its_window(address).await;
    let mut root = busy_standby(&env, opens).await;
    let mut serve = env.serve(address).await;
    waits_in_set(&env).await;
    serve.kill().await.unwrap();
    run(&mut root, "ROLLBACK").await;
    let mut look = env.root("postgres").await;
    until(
        "the server has closed the session of the killed worker",
        async || {
            value::<i64>(
                &mut look,
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'twinkey'",
            )
            .await
                == 0
        },
    )
    .await;
    (env, opens)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_is_finished_with_its_version_in_its_window() {
    let address = free_address();
    let (env, opens) = killed_during_a_run(&address).await;
    let id = scheduled_id(&env, opens).await;
    let (pending, pending_id) = env.read(stage::PENDING).await;
    assert_eq!(pending_id, id);
    let before = env.read(stage::CURRENT).await;
    env.signed_in(stage::CURRENT).await;
    env.signed_in(stage::PREVIOUS).await;

    let mut serve = env.serve(&address).await;
    until("the run is finished", async || {
        env.read(stage::CURRENT).await != before
    })
    .await;
    assert_eq!(
        env.read(stage::CURRENT).await,
        (pending, id),
        "the same version, the same password"
    );
    env.signed_in(stage::CURRENT).await;
    until("the journal has the result", async || {
        runs(&env).await[0]["state"] == "succeeded"
    })
    .await;
    let run = &runs(&env).await[0];
    assert_eq!(run["trigger"], "recovery");
    assert!(run["attempt"].as_u64().unwrap() >= 2);
    serve.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_interrupted_by_sigterm_is_finished_later() {
    let address = free_address();
    let (env, opens) = environment_in_its_window(&address).await;
    let mut root = busy_standby(&env, opens).await;
    let mut serve = env.serve(&address).await;
    waits_in_set(&env).await;
    terminate(&serve);
    assert!(serve.wait().await.unwrap().success(), "status 0");
    assert_eq!(runs(&env).await[0]["state"], "deferred");
    run(&mut root, "ROLLBACK").await;

    let before = env.read(stage::CURRENT).await;
    let mut serve = env.serve(&address).await;
    until("the run is finished", async || {
        env.read(stage::CURRENT).await != before
    })
    .await;
    assert_eq!(
        env.read(stage::CURRENT).await.1,
        scheduled_id(&env, opens).await
    );
    serve.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_restarted_after_the_window_reports_it_missed() {
    let address = free_address();
    let (env, _) = killed_during_a_run(&address).await;
    let before = env.state().await;
    let mut serve = env
        .command(env!("CARGO_BIN_EXE_twinkey"))
        .env("LD_PRELOAD", libfaketime())
        .env("FAKETIME", "+3h")
        .env("DONT_FAKE_MONOTONIC", "1")
        .arg("serve")
        .spawn()
        .unwrap();
    until("the journal has the missed window", async || {
        runs(&env).await[0]["state"] == "missed"
    })
    .await;
    assert_eq!(runs(&env).await[0]["error"]["code"], "window_closed");
    assert_eq!(env.state().await, before);
    let status: Json = serde_json::from_str(&env.run_ok(&["status", "--json"]).await).unwrap();
    assert_eq!(status[0]["state"], "missed");
    serve.kill().await.unwrap();
}

/// The library of Debian's libfaketime. Its wrapper program would orphan the worker.
pub fn libfaketime() -> std::path::PathBuf {
    std::fs::read_dir("/usr/lib")
        .unwrap()
        .map(|entry| entry.unwrap().path().join("faketime/libfaketime.so.1"))
        .find(|path| path.exists())
        .expect("libfaketime is not there: run scripts/setup")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_of_the_worker_does_not_rotate() {
    let address = free_address();
    let (schedule, _) = open_now();
    // The rotation is new in this open window, and `missed` is "skip".
    let env = Environment::open(Setup {
        config: format!("[server]\nlisten = \"{address}\""),
        rotation: schedule,
        ..Setup::default()
    })
    .await;
    let before = env.state().await;
    let mut serve = env.serve(&address).await;
    terminate(&serve);
    assert!(serve.wait().await.unwrap().success());
    assert_eq!(env.state().await, before);
    assert_eq!(env.stand_in().faults().count("PutSecretValue"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_reloads_a_valid_config_and_refuses_an_invalid_one() {
    let address = free_address();
    let env = Environment::open(Setup {
        config: format!("[server]\nlisten = \"{address}\""),
        ..Setup::default()
    })
    .await;
    let serve = env.serve(&address).await;
    let hangup = || signal(&serve, "HUP");
    let names = async || -> Vec<String> {
        let all: Json = reqwest::get(format!("http://{address}/v1/rotations"))
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        all.as_array()
            .unwrap()
            .iter()
            .map(|r| r["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let good = std::fs::read_to_string(env.config()).unwrap();
    let log = async || std::fs::read_to_string(env.folder.path().join("serve.log")).unwrap();

    std::fs::write(env.config(), format!("{good}\nnonsense = 1\n")).unwrap();
    hangup();
    until("the invalid config is refused", async || {
        log().await.contains("nonsense")
    })
    .await;
    assert_eq!(names().await, ["shop"]);

    std::fs::write(
        env.config(),
        good.replace("name = \"shop\"", "name = \"store\""),
    )
    .unwrap();
    hangup();
    until("the valid config is active", async || {
        names().await == ["store"]
    })
    .await;
}
