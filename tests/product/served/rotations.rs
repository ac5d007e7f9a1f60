//! Flips that are visible in the served store at once.

use std::collections::BTreeMap;

use aws_sdk_secretsmanager::error::ProvideErrorMetadata;
use serde_json::Value as Json;

use super::ServedWorker;
use twinkey_testkit::environment::{MASTER_SECRET, SECRET, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_flip_by_another_process_is_visible_to_the_next_read() {
    let worker = ServedWorker::open().await;
    let key = worker.key("app", &["GetSecretValue"], "prod/*").await;
    let client = worker.client(&key);
    let read = async || {
        let value = client
            .get_secret_value()
            .secret_id(SECRET)
            .send()
            .await
            .unwrap();
        serde_json::from_str::<Json>(value.secret_string().unwrap()).unwrap()
    };
    let mut before = read().await;
    for _ in 0..3 {
        worker.env.run_ok(&["rotate", "shop", "--force"]).await;
        let after = read().await;
        assert_ne!(after["password"], before["password"]);
        assert_ne!(after["username"], before["username"]);
        before = after;
    }
    let (status, agent) = {
        let agent = reqwest::Client::new().get(format!("{}/v1/{SECRET}", worker.url()));
        let agent = agent.header("X-Aws-Parameters-Secrets-Token", &key.token);
        let answer = agent.send().await.unwrap();
        (answer.status(), answer.json::<Json>().await.unwrap())
    };
    assert_eq!(status, 200);
    let agent: Json = serde_json::from_str(agent["SecretString"].as_str().unwrap()).unwrap();
    assert_eq!(agent, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_described_with_its_rotation() {
    let keys = "schedule = \"rate(300 days)\"\nwindow = \"2h\"";
    let worker = ServedWorker::open_with(keys).await;
    let actions = ["DescribeSecret", "ListSecrets"];
    let key = worker.key("app", &actions, "prod/*").await;
    let client = worker.client(&key);
    let describe = async |secret: &str| {
        let describe = client.describe_secret().secret_id(secret);
        describe.send().await.unwrap()
    };
    let before = describe(SECRET).await;
    let rules = before.rotation_rules().unwrap();
    assert_eq!(
        (
            rules.schedule_expression(),
            rules.duration(),
            rules.automatically_after_days()
        ),
        (Some("rate(300 days)"), Some("2h"), Some(300))
    );
    assert_eq!(before.rotation_enabled(), Some(true));
    assert_eq!(before.last_rotated_date(), None);
    assert!(before.next_rotation_date().is_some());

    // Another process rotates, and pauses.
    worker.env.run_ok(&["rotate", "shop"]).await;
    let rotated = describe(SECRET).await;
    let last = rotated.last_rotated_date().unwrap();
    assert!(last >= rotated.created_date().unwrap());
    worker.env.run_ok(&["pause", "shop"]).await;
    let paused = describe(SECRET).await;
    assert_eq!(paused.rotation_enabled(), Some(false));
    assert_eq!(paused.next_rotation_date(), None);
    assert_eq!(paused.rotation_rules(), before.rotation_rules());

    let list = client.list_secrets().send().await.unwrap();
    let enabled: BTreeMap<&str, Option<bool>> = list
        .secret_list()
        .iter()
        .map(|one| (one.name().unwrap(), one.rotation_enabled()))
        .collect();
    let expected = [(MASTER_SECRET, None), (SECRET, Some(false))];
    assert_eq!(enabled, BTreeMap::from(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn rotate_secret_runs_the_rotation_once() {
    let worker = ServedWorker::open().await;
    let actions = ["RotateSecret", "DescribeSecret", "GetSecretValue"];
    let key = worker.key("ci", &actions, "prod/*").await;
    let client = worker.client(&key);
    let describe = async || {
        let describe = client.describe_secret().secret_id(SECRET);
        describe.send().await.unwrap()
    };
    let before = describe().await;
    let previous = before.version_ids_to_stages().unwrap();
    let previous = previous.keys().next().unwrap().clone();
    let token = "6f1c1f0e-5a0b-4b57-9a54-3a4f3a2b1c0d";
    let rotate = client.rotate_secret().secret_id(SECRET);
    let rotate = rotate.client_request_token(token);
    let started = rotate.clone().send().await.unwrap();
    assert_eq!(started.version_id(), Some(token));
    until("the run has succeeded", async || {
        describe().await.last_rotated_date().is_some()
    })
    .await;
    let after = describe().await;
    let labels = after.version_ids_to_stages().unwrap();
    assert!(labels[token].contains(&"AWSCURRENT".to_owned()));
    assert_eq!(labels[&previous], ["AWSPREVIOUS"]);

    let again = rotate.send().await.unwrap();
    assert_eq!(again.version_id(), Some(token));
    let rotate = client.rotate_secret().secret_id(SECRET);
    let refused = rotate.client_request_token(&previous).send().await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Some("InvalidRequestException"));
    assert!(refused.message().unwrap().contains("already in use"));
    let history = ["history", "shop", "--json"];
    let runs: Json = serde_json::from_str(&worker.env.run_ok(&history).await).unwrap();
    let runs = runs.as_array().unwrap();
    assert_eq!(runs.len(), 1, "{runs:?}");
    let actor = &runs[0]["actor"]["name"];
    assert_eq!(actor, "arn:aws:iam::000000000000:user/ci");
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_keys_are_refused_and_changes_logged_and_counted() {
    let worker = ServedWorker::open().await;
    let key = worker.key("ci", &["*"], "ci/*").await;
    let client = worker.client(&key);
    let create = client
        .create_secret()
        .name("ci/a")
        .secret_string("hunter2-hunter2");
    create.send().await.unwrap();
    let denied = client.get_secret_value().secret_id(SECRET).send().await;
    assert_eq!(denied.unwrap_err().code(), Some("AccessDeniedException"));

    let list = worker.env.run_ok(&["keys", "list"]).await;
    for shown in [&*key.id, "ci", "ci/*"] {
        assert!(list.contains(shown), "{list}");
    }
    let listed = worker.env.run_ok(&["keys", "list", "--json"]).await;
    assert!(!format!("{list}{listed}").contains(&key.secret));
    worker.env.run_ok(&["keys", "remove", &key.id]).await;
    until("the key is refused", async || {
        let get = client.get_secret_value().secret_id("ci/a").send().await;
        get.is_err_and(|error| error.code() == Some("UnrecognizedClientException"))
    })
    .await;
    worker
        .env
        .fails(&["keys", "remove", &key.id], 2, "config_invalid")
        .await;

    let log = worker.log();
    let logged = |action: &str, secret: &str| {
        let lines = log
            .lines()
            .filter(|line| line.contains("request to the served store"));
        let of = |line: &&str| line.contains(action) && line.contains(&format!("{secret:?}"));
        lines.filter(of).count()
    };
    assert_eq!(logged("CreateSecret", "ci/a"), 1, "{log}");
    assert_eq!(logged("AccessDeniedException", SECRET), 1, "{log}");
    assert!(log.contains(&key.id) && !log.contains(&key.secret) && !log.contains("hunter2"));
    let admin = std::fs::read_to_string(worker.env.config()).unwrap();
    let admin = admin.split('"').nth(1).unwrap();
    let metrics = reqwest::get(format!("http://{admin}/metrics"))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    for counted in [
        "twinkey_served_requests_total{interface=\"api\",action=\"CreateSecret\",outcome=\"ok\"} 1",
        "twinkey_served_requests_total{interface=\"api\",action=\"GetSecretValue\",outcome=\"AccessDeniedException\"} 1",
    ] {
        assert!(metrics.contains(counted), "{metrics}");
    }
}
