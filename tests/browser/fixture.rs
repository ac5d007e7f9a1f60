//! A worker with several rotations on one PostgreSQL, and a browser.

use chrono::{DateTime, Utc};
use reqwest::Client;
use serde_json::{Value as Json, json};
use tokio::process::Child;

use super::chromium::Browser;
use twinkey_testkit::environment::{
    Environment, FIRST, MASTER_SECRET, Setup, free_address, run, until,
};

pub const TOKEN: &str = "an-admin-token-of-some-length";

/// The rotations: name, schedule and additional keys.
const ROTATIONS: [(&str, &str, &str); 6] = [
    ("billing", "cron(0 2,14 * * ? *)", "window = \"2h\""),
    ("inventory", "cron(30 4 * * ? *)", "window = \"1h\""),
    (
        "orders",
        "cron(0 3 * * ? *)",
        "window = \"1h\"\nmin_interval = \"15m\"",
    ),
    (
        "payments",
        "rate(6 hours)",
        "window = \"30m\"\nprobe = [\"SELECT 1 FROM payments.ledger\"]",
    ),
    ("reporting", "cron(0 22 ? * MON-FRI *)", "window = \"3h\""),
    ("sessions", "cron(15 9 * * ? *)", "window = \"45m\""),
];

/// The worker and the browser.
pub struct BrowserFixture {
    pub env: Environment,
    pub url: String,
    pub browser: Browser,
    client: Client,
    _serve: Child,
}

impl BrowserFixture {
    pub async fn open() -> Self {
        let (env, browser) = tokio::join!(Environment::open(Setup::default()), Browser::open());
        let mut root = env.root("shop").await;
        let mut master = env.connect("rdsmaster", &env.master, "shop").await.unwrap();
        let address = free_address();
        let mut config = format!(
            "[server]\nlisten = \"{address}\"\nadmin_token_file = \"token\"\n[journal]\nurl = \"sqlite://journal.db\"\n[secrets]\nbackend = \"aws\"\nregion = \"eu-west-1\"\nendpoint_url = \"{}\"\n[defaults]\nmin_interval = \"0s\"\n",
            env.stand_in().url()
        );
        for (name, schedule, more) in ROTATIONS {
            run(
                &mut master,
                &format!("CREATE ROLE {name} LOGIN PASSWORD '{FIRST}'"),
            )
            .await;
            run(
                &mut root,
                &format!("CREATE SCHEMA {name} AUTHORIZATION {name}"),
            )
            .await;
            run(
                &mut root,
                &format!(
                    "CREATE TABLE {name}.items (id int); ALTER TABLE {name}.items OWNER TO {name}"
                ),
            )
            .await;
            env.put(&secret(name), &env.document(name, FIRST)).await;
            config += &format!(
                "[[rotation]]\nname = \"{name}\"\nsecret = \"{}\"\nmaster_secret = \"{MASTER_SECRET}\"\ntls = {{ mode = \"disable\" }}\nschedule = \"{schedule}\"\n{more}\n",
                secret(name)
            );
        }
        std::fs::write(env.config(), config).unwrap();
        std::fs::write(env.folder.path().join("token"), TOKEN).unwrap();
        Self {
            _serve: env.serve(&address).await,
            url: format!("http://{address}"),
            client: Client::new(),
            env,
            browser,
        }
    }

    /// Signs in with the token.
    pub async fn sign_in(&self) {
        self.browser.go(&format!("{}/", self.url)).await;
        self.browser.write("#token", TOKEN).await;
        self.browser.click("main button").await;
        self.browser.shows("The next 24 hours").await;
    }

    /// Sends a request to the API.
    pub async fn post(&self, path: &str) -> Json {
        let request = self
            .client
            .post(format!("{}{path}", self.url))
            .bearer_auth(TOKEN);
        request.send().await.unwrap().json().await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Json {
        let request = self
            .client
            .get(format!("{}{path}", self.url))
            .bearer_auth(TOKEN);
        request.send().await.unwrap().json().await.unwrap()
    }

    /// Rotates through the API, and waits until the run has finished.
    pub async fn rotated(&self, name: &str) -> Json {
        let begun = self.post(&format!("/v1/rotations/{name}/rotate")).await;
        let path = format!(
            "/v1/runs/{}",
            begun["id"].as_str().unwrap_or_else(|| panic!("{begun}"))
        );
        until("the run has finished", async || {
            self.get(&path).await["state"] != "running"
        })
        .await;
        self.get(&path).await
    }

    /// The violations that the accessibility checker finds in the current page.
    pub async fn faults(&self, axe: &str) -> Vec<String> {
        self.browser
            .script(&format!("{axe}\nreturn typeof axe"))
            .await;
        let found = self.browser.script_later(
            "const done = arguments[arguments.length - 1]; axe.run().then(done, (e) => done({violations: [{id: String(e), nodes: []}]}))",
        );
        let found = found.await;
        let nodes = |fault: &Json| {
            let nodes = fault["nodes"].as_array().unwrap().iter();
            let html = nodes.map(|node| format!("{} {}", node["html"], node["failureSummary"]));
            html.take(3).collect::<Vec<_>>().join("\n")
        };
        assert!(
            found["passes"].as_array().is_some_and(|p| p.len() > 10),
            "{found}"
        );
        let faults = found["violations"].as_array().unwrap().iter();
        faults
            .map(|fault| format!("{}: {}", fault["id"], nodes(fault)))
            .collect()
    }
}

pub fn secret(rotation: &str) -> String {
    format!("prod/{rotation}/db")
}

/// The time of the last success in the API's view of a rotation.
pub fn last_success(view: &Json) -> Option<DateTime<Utc>> {
    serde_json::from_value(json!(view["last_success"])).unwrap()
}
