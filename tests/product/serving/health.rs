//! What a worker says of itself: at its start, by `/readyz` and by `/metrics`.

use std::process::Stdio;
use std::time::Duration;

use reqwest::Client;
use serde_json::Value as Json;
use sqlx::{Connection, SqliteConnection};
use tokio::process::{Child, Command};
use twinkey_stores::stage;

use crate::admin::Endpoint;
use crate::serving::worker::{known_before, open_now, runs};
use twinkey_testkit::environment::{Environment, Setup, free_address, until, value};
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
async fn a_worker_without_credentials_is_not_ready_and_says_so() {
    let address = free_address();
    let env = Environment::open(Setup {
        config: format!("[server]\nlisten = \"{address}\""),
        ..Setup::default()
    })
    .await;
    let mut command = env.command(twinkey_program());
    command
        .arg("serve")
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("HOME", env.folder.path());
    let _serve = start(&env, command);
    not_ready(&address, "no AWS credentials were found").await;
    until("the log says so", async || {
        let log = log(&env);
        log.contains("worker not ready") && log.contains("aws_credentials")
    })
    .await;
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

