//! Texts of servers with control characters, line breaks and marks of the text direction.

use serde_json::{Value as Json, json};
use twinkey_testkit::environment::{Environment, FIRST, Setup, free_address, until};
use twinkey_testkit::hostile::{Demand, HostileServer, MongodbDemand};

use super::MASTER_PASSWORD;
use crate::serving::worker::terminate;

const TEXT: &str =
    "denied\r\n2026-11-29T00:00:00Z  INFO twinkey::worker: forged\u{1b}[2J\u{9b}\u{202e}\u{200b}";
const RAW: [char; 6] = ['\r', '\u{1b}', '\u{9b}', '\u{202e}', '\u{200b}', '\0'];
const ESCAPED: &str = "denied\\u{d}\\u{a}2026-11-29";

fn assert_safe(what: &str, text: &str) {
    for raw in RAW {
        assert!(!text.contains(raw), "{what} has {raw:?}: {text:?}");
    }
    let forged = |line: &str| line.starts_with("2026-11-29T00:00:00Z");
    assert!(!text.lines().any(forged), "{what}: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_of_servers_are_escaped_wherever_they_are_shown() {
    let servers = [
        (
            "postgres",
            HostileServer::demanding(Demand::Error(TEXT), None).await,
        ),
        ("mariadb", HostileServer::mysql_error(TEXT).await),
        (
            "documentdb",
            HostileServer::mongodb(MongodbDemand::Error(TEXT), None).await,
        ),
    ];
    let address = free_address();
    let rotations: String = servers
        .iter()
        .map(|(engine, _)| {
            format!("[[rotation]]\nname = \"{engine}\"\nsecret = \"{engine}/db\"\nmaster_secret = \"{engine}/master\"\nengine = \"{engine}\"\ntls = {{ mode = \"disable\" }}\n")
        })
        .collect();
    let env = Environment::open(Setup {
        config: format!("{rotations}\n[server]\nlisten = \"{address}\""),
        ..Setup::default()
    })
    .await;
    for (engine, server) in &servers {
        let document = |user: &str, password: &str| json!({"host": "localhost", "port": server.port(), "username": user, "password": password});
        let master = document("rdsmaster", MASTER_PASSWORD);
        env.put(&format!("{engine}/master"), &master).await;
        env.put(&format!("{engine}/db"), &document("app", FIRST))
            .await;
    }
    let mut serve = env.serve(&address).await;
    let client = reqwest::Client::new();
    let url = |path: &str| format!("http://{address}{path}");
    for (engine, _) in &servers {
        let path = url(&format!("/v1/rotations/{engine}/rotate"));
        let answer = client.post(path).send().await.unwrap();
        assert_eq!(answer.status(), 202, "{engine}");
    }
    let mut runs = Json::Null;
    until("every run has failed", async || {
        let answer = client.get(url("/v1/runs")).send().await.unwrap();
        runs = answer.json().await.unwrap();
        let all = runs.as_array().unwrap();
        all.iter().filter(|run| run["state"] == "failed").count() == servers.len()
    })
    .await;
    for run in runs.as_array().unwrap() {
        let message = run["error"]["message"].as_str().unwrap();
        assert!(message.contains(ESCAPED), "{run:#}");
        assert_safe("the message of a run", message);
    }
    let mut shown = vec![
        ("history", env.run_ok(&["history"]).await),
        ("status", env.run_ok(&["status"]).await),
        (
            "the log",
            std::fs::read_to_string(env.folder.path().join("serve.log")).unwrap(),
        ),
    ];
    for path in ["/", "/v1/rotations", "/v1/rotations/postgres/check"] {
        let answer = client.get(url(path)).send().await.unwrap();
        shown.push((path, answer.text().await.unwrap()));
    }
    for (engine, _) in &servers {
        let failed = env.twinkey(&["rotate", engine]).await;
        assert_eq!(failed.status.code(), Some(1), "{engine}");
        shown.push(("rotate", String::from_utf8(failed.stderr).unwrap()));
        let status = env.run_ok(&["status", engine]).await;
        shown.push(("status NAME", status));
        let failed = env.twinkey(&["check", engine, "--json"]).await;
        let text = String::from_utf8(failed.stdout).unwrap();
        assert!(serde_json::from_str::<Json>(&text).is_ok(), "{text}");
        shown.push(("check --json", text));
    }
    for (what, text) in &shown {
        assert_safe(what, text);
    }
    let log = &shown[2].1;
    assert!(log.contains(ESCAPED), "{log}");
    terminate(&serve);
    assert!(serve.wait().await.unwrap().success());
}
