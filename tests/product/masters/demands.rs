//! PostgreSQL servers that demand too much of a worker, whose other rotations go on.

use std::collections::BTreeMap;

use secrecy::ExposeSecret;
use serde_json::{Value as Json, json};
use twinkey_testkit::environment::{Environment, FIRST, Setup, free_address, until};
use twinkey_testkit::hostile::{Demand, HostileServer};

use super::assert_no_password;
use crate::serving::worker::terminate;

/// A demand, and the code of the rotation's error.
const DEMANDS: [(&str, Demand, &str); 6] = [
    ("clear", Demand::ClearText, "db_refused"),
    ("md5", Demand::Md5, "db_refused"),
    ("rounds", Demand::Rounds(2_147_483_647), "db_refused"),
    ("huge", Demand::HugeMessage, "db_refused"),
    ("later", Demand::HugeMessageLater, "db_refused"),
    ("notices", Demand::Notices, "db_refused"),
];

/// A rotation whose real users have a hostile server as their master's host.
fn rotation(name: &str) -> String {
    format!(
        "[[rotation]]\nname = \"{name}\"\nsecret = \"{name}/db\"\nmaster_secret = \"{name}/master\"\ntls = {{ mode = \"disable\" }}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_lives_beside_servers_that_demand_too_much() {
    let address = free_address();
    let rotations: String = DEMANDS.iter().map(|(name, ..)| rotation(name)).collect();
    let env = Environment::open(Setup {
        config: format!("{rotations}\n[server]\nlisten = \"{address}\""),
        ..Setup::default()
    })
    .await;
    let mut servers = Vec::new();
    for (number, (name, demand, _)) in DEMANDS.iter().enumerate() {
        let server = HostileServer::demanding(*demand, None).await;
        let user = format!("user_{number}");
        let secret = env.document(&user, FIRST);
        env.put(&format!("{name}/db"), &secret).await;
        let mut master = env.document("rdsmaster", env.master.expose_secret());
        master["port"] = json!(server.port());
        env.put(&format!("{name}/master"), &master).await;
        servers.push(server);
    }
    let mut serve = env.serve(&address).await;
    let client = reqwest::Client::new();
    let url = |path: &str| format!("http://{address}{path}");
    let names = DEMANDS.iter().map(|(name, ..)| *name);
    for name in names.chain(["shop"]) {
        let path = url(&format!("/v1/rotations/{name}/rotate"));
        let answer = client.post(path).send().await.unwrap();
        assert_eq!(answer.status(), 202, "{name}");
    }
    let mut runs: BTreeMap<String, Json> = BTreeMap::new();
    until("every run has ended", async || {
        let health = client.get(url("/healthz")).send().await.unwrap();
        assert_eq!(health.status(), 200);
        let all: Vec<Json> = client
            .get(url("/v1/runs"))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let ended = all.into_iter().filter(|run| run["state"] != "running");
        runs = ended
            .map(|run| (run["rotation"].as_str().unwrap().to_owned(), run))
            .collect();
        runs.len() > DEMANDS.len()
    })
    .await;
    assert_eq!(runs["shop"]["state"], "succeeded", "{runs:#?}");
    for ((name, demand, code), server) in DEMANDS.iter().zip(&servers) {
        assert_eq!(runs[*name]["error"]["code"], *code, "{demand:?}: {runs:#?}");
        assert!(server.connections() > 0, "{demand:?}");
        assert_no_password(server);
    }
    terminate(&serve);
    assert!(serve.wait().await.unwrap().success());
}
