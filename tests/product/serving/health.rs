//! What a worker says of itself: at its start, by `/readyz` and by `/metrics`.

use std::process::Stdio;
use std::time::Duration;

use reqwest::Client;
use serde_json::Value as Json;
use sqlx::{Connection, SqliteConnection};
use tokio::process::{Child, Command};
use twinkey_stores::stage;

use crate::admin::Endpoint;
use crate::faults::credentials::remove_region;
use crate::serving::worker::{known_before, open_now, runs, waits_in_set};
use twinkey_testkit::environment::{Environment, Setup, free_address, until};
use twinkey_testkit::locations::twinkey_program;

/// Starts a worker that need not become ready.
fn start(env: &Environment, mut command: Command) -> Child {
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(env.folder.path().join("serve.log"))
        .unwrap();
    command.stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

fn log(env: &Environment) -> String {
    std::fs::read_to_string(env.folder.path().join("serve.log")).unwrap()
}

/// Waits until `/readyz` answers 503 with these words.
async fn not_ready(address: &str, words: &str) {
    until(words, async || {
        let Ok(answer) = reqwest::get(format!("http://{address}/readyz")).await else {
            return false;
        };
        let status = answer.status();
        let body = answer.text().await.unwrap_or_default();
        status == 503 && body.contains(words)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_credentials_or_region_is_not_ready_and_says_so() {
    let address = free_address();
    let env = Environment::open(Setup {
        config: format!("[server]\nlisten = \"{address}\""),
        ..Setup::default()
    })
    .await;
    let command = || {
        let mut command = env.command(twinkey_program());
        command
            .arg("serve")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("HOME", env.folder.path());
        command
    };
    let mut without_keys = command();
    without_keys
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY");
    let mut serve = start(&env, without_keys);
    not_ready(&address, "no AWS credentials were found").await;
    until("the log says so", async || {
        let log = log(&env);
        log.contains("worker not ready") && log.contains("aws_credentials")
    })
    .await;
    serve.kill().await.unwrap();

    remove_region(&env);
    let mut without_region = command();
    without_region
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test");
    let mut serve = start(&env, without_region);
    not_ready(&address, "no AWS region is set").await;
    serve.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_roots_and_masters_are_named_at_the_start() {
    let address = free_address();
    let env = Environment::open(Setup {
        config: format!("[server]\nlisten = \"{address}\""),
        rotation: "tls = { mode = \"disable\", ca_file = \"no-roots.pem\" }".into(),
        ..Setup::default()
    })
    .await;
    let config = std::fs::read_to_string(env.config()).unwrap();
    let other = config.replace("prod/master", "prod/no-master");
    std::fs::write(env.config(), other).unwrap();
    let mut command = env.command(twinkey_program());
    command.arg("serve");
    let _serve = start(&env, command);
    not_ready(&address, "no-roots.pem").await;
    until("the log names both", async || {
        let log = log(&env);
        log.contains("no-roots.pem")
            && log.contains("master secret not readable")
            && log.contains("prod/no-master")
    })
    .await;
}

/// The value of a metric.
async fn metric(endpoint: &Endpoint, name: &str) -> Option<String> {
    let answer = endpoint.get("/metrics").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let text = answer.text().await.unwrap();
    let mut lines = text.lines();
    lines.find_map(|line| line.strip_prefix(&format!("{name} ")).map(str::to_owned))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_journal_is_noticed_at_once() {
    let endpoint = Endpoint::open(Setup::default()).await;
    let (env, address) = (&endpoint.env, endpoint.url.trim_start_matches("http://"));
    assert_eq!(
        metric(&endpoint, "twinkey_journal_up").await.as_deref(),
        Some("1")
    );
    let store = "twinkey_store_up{store=\"secrets\"}";
    assert_eq!(metric(&endpoint, store).await.as_deref(), Some("1"));
    // With the companions of SQLite.
    let rename = |from: &str, to: &str| {
        for end in ["", "-wal", "-shm"] {
            let path = |name: &str| env.folder.path().join(format!("{name}{end}"));
            std::fs::rename(path(from), path(to)).unwrap();
        }
    };
    rename("journal.db", "kept.db");
    let refused = async || {
        let (status, problem) = endpoint
            .answer(endpoint.post("/v1/rotations/shop/rotate", ""))
            .await;
        assert_eq!(
            (status, &problem["code"]),
            (503, &"journal_unavailable".into())
        );
    };
    refused().await;
    not_ready(address, "deleted or replaced").await;
    assert_eq!(
        metric(&endpoint, "twinkey_journal_up").await.as_deref(),
        Some("0")
    );
    assert_eq!(metric(&endpoint, store).await.as_deref(), Some("1"));
    // A command creates a new file, and the worker does not take it for its own.
    env.run_ok(&["pause", "shop"]).await;
    refused().await;
    not_ready(address, "deleted or replaced").await;
    assert_eq!(env.read(stage::CURRENT).await.0["username"], "app");

    rename("kept.db", "journal.db");
    until("the worker is ready again", async || {
        let answer = reqwest::get(format!("{}/readyz", endpoint.url)).await;
        answer.is_ok_and(|answer| answer.status() == 200)
    })
    .await;
    assert_eq!(
        metric(&endpoint, "twinkey_journal_up").await.as_deref(),
        Some("1")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_the_journal_is_noticed_without_a_run() {
    let address = free_address();
    let env = Environment::open(Setup {
        config: format!("[server]\nlisten = \"{address}\""),
        ..Setup::default()
    })
    .await;
    env.run_ok(&["pause", "shop"]).await;
    env.run_ok(&["resume", "shop"]).await;
    let mut command = env.command("sh");
    // A file that reaches the limit is as a full disk. The log goes to a pipe of its own.
    let script = "trap '' XFSZ; ulimit -f 200; exec \"$0\" serve";
    command.args(["-c", script]).arg(twinkey_program());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let _serve = command.spawn().unwrap();
    until("it is ready at first", async || {
        let answer = reqwest::get(format!("http://{address}/readyz")).await;
        answer.is_ok_and(|answer| answer.status() == 200)
    })
    .await;
    not_ready(&address, "journal").await;
}

/// A connection whose transaction blocks all writes to the journal.
pub async fn locked_journal(env: &Environment) -> SqliteConnection {
    let journal = env.folder.path().join("journal.db");
    let url = format!("sqlite://{}", journal.display());
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    other
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_continues_without_the_client_that_asked_for_it() {
    let endpoint = Endpoint::open(Setup::default()).await;
    let env = &endpoint.env;
    // The claim waits for this lock, longer than the client waits for its answer.
    let mut other = locked_journal(env).await;
    let client = Client::builder()
        .timeout(Duration::from_millis(700))
        .build()
        .unwrap();
    let ask = |client: &Client| {
        client
            .post(format!("{}/v1/rotations/shop/rotate", endpoint.url))
            .bearer_auth(crate::admin::TOKEN)
            .header("Idempotency-Key", "deploy-1")
            .send()
    };
    let error = ask(&client).await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    until("the run has succeeded", async || {
        endpoint.json("/v1/rotations/shop").await["state"] == "idle"
    })
    .await;
    let runs = endpoint.json("/v1/runs").await;
    assert_eq!(runs.as_array().unwrap().len(), 1, "{runs}");
    assert_eq!(runs[0]["state"], "succeeded", "{runs}");
    assert_eq!(env.read(stage::CURRENT).await.0["username"], "app_clone");
    // The key is that of the run.
    let answer = ask(&Client::new()).await.unwrap();
    assert_eq!(answer.status(), 202);
    let same: Json = answer.json().await.unwrap();
    assert_eq!(same["id"], runs[0]["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_without_access_to_its_secret_has_a_waiting_run() {
    let address = free_address();
    let (schedule, opens) = open_now();
    let setup = |missed: &str| Setup {
        config: format!("[server]\nlisten = \"{address}\""),
        rotation: format!("{schedule}\nmissed = \"{missed}\""),
        ..Setup::default()
    };
    let env = Environment::open(setup("run")).await;
    env.run_ok(&["pause", "shop"]).await;
    env.run_ok(&["resume", "shop"]).await;
    known_before(&env.folder.path().join("journal.db"), opens).await;
    let faults = env.stand_in().faults();
    faults.deny("DescribeSecret");
    let mut serve = env.serve(&address).await;
    let waits = async || {
        let status = env.run_ok(&["status", "--json"]).await;
        let status: Json = serde_json::from_str(&status).unwrap();
        status[0]["state"] == "waiting" && status[0]["problem"]["code"] == "store_denied"
    };
    until("the run waits", waits).await;
    let first = runs(&env).await;
    assert_eq!(first.as_array().unwrap().len(), 1, "{first}");
    assert_eq!(first[0]["state"], "deferred", "{first}");
    assert_eq!(first[0]["error"]["code"], "store_denied", "{first}");

    // A worker that may not begin an open window continues this run.
    serve.kill().await.unwrap();
    env.configure(&setup("skip"));
    let mut serve = env.serve(&address).await;
    until("it still waits", waits).await;
    faults.forget_answers();
    until("the run has succeeded", async || {
        runs(&env).await[0]["state"] == "succeeded"
    })
    .await;
    let last = runs(&env).await;
    assert_eq!(last.as_array().unwrap().len(), 1, "{last}");
    assert_eq!(last[0]["id"], first[0]["id"]);
    assert_eq!(env.read(stage::CURRENT).await.0["username"], "app_clone");
    serve.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flip_is_no_failure_although_the_journal_does_not_answer() {
    let endpoint = Endpoint::open(Setup::default()).await;
    let env = &endpoint.env;
    let (status, run) = {
        // The run waits in `set` for this lock. A first run writes to the journal after the flip.
        let mut root = env.root("postgres").await;
        let lock = "BEGIN; LOCK TABLE pg_authid IN EXCLUSIVE MODE";
        sqlx::raw_sql(lock).execute(&mut root).await.unwrap();
        let rotate = endpoint.post("/v1/rotations/shop/rotate", "");
        let (status, run) = endpoint.answer(rotate).await;
        waits_in_set(env).await;
        let mut other = locked_journal(env).await;
        sqlx::raw_sql("ROLLBACK").execute(&mut root).await.unwrap();
        until("AWSCURRENT has moved", async || {
            env.read(stage::CURRENT).await.0["username"] == "app_clone"
        })
        .await;
        // Longer than the lease.
        tokio::time::sleep(Duration::from_secs(17)).await;
        sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
        (status, run)
    };
    assert_eq!(status, 202, "{run}");
    let path = format!("/v1/runs/{}", run["id"].as_str().unwrap());
    until("the run is over", async || {
        endpoint.json(&path).await["state"] != "running"
    })
    .await;
    let run = endpoint.json(&path).await;
    assert_eq!(run["state"], "succeeded", "{run}");
    assert_eq!(endpoint.json("/v1/rotations/shop").await["state"], "idle");
}
