//! Flips that are visible in the served store at once.

use aws_sdk_secretsmanager::error::ProvideErrorMetadata;
use serde_json::Value as Json;

use super::ServedWorker;
use twinkey_testkit::environment::{SECRET, until};

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
