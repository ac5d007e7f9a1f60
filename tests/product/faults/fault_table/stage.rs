//! A worker with its surroundings.

use std::any::Any;

use reqwest::{Client, RequestBuilder};
use serde_json::Value as Json;
use tokio::process::Child;
use twinkey_testkit::environment::{Environment, Setup, free_address, run, until};

use super::gate::Gate;
use super::row::Act;
use crate::admin::TOKEN;

/// A worker, the servers that it uses, and what a fault keeps.
pub struct Stage {
    pub env: Environment,
    pub address: String,
    pub serve: Option<Child>,
    pub gate: Option<Gate>,
    /// Values that live as long as the fault.
    pub kept: Vec<Box<dyn Any>>,
    client: Client,
    /// The length of the log before the fault.
    log_begin: usize,
}

impl Stage {
    /// Starts the servers, and the worker after `prepare`.
    pub async fn open(setup: Setup, prepare: Option<Act>) -> Self {
        let address = free_address();
        let server = format!("[server]\nlisten = \"{address}\"\nadmin_token_file = \"token\"");
        let env = Environment::open(Setup {
            config: format!("{}\n{server}", setup.config),
            ..setup
        })
        .await;
        std::fs::write(env.folder.path().join("token"), TOKEN).unwrap();
        let mut stage = Self {
            env,
            address,
            serve: None,
            gate: None,
            kept: Vec::new(),
            client: Client::new(),
            log_begin: 0,
        };
        if let Some(prepare) = prepare {
            prepare(&mut stage).await;
        }
        if stage.serve.is_none() {
            stage.serve = Some(stage.env.serve(&stage.address).await);
        }
        stage.log_begin = stage.log().len();
        stage
    }

    /// Configures keys of the rotation.
    pub fn configure(&self, rotation: String) {
        let address = &self.address;
        self.env.configure(&Setup {
            config: format!("[server]\nlisten = \"{address}\"\nadmin_token_file = \"token\""),
            rotation,
            ..Setup::default()
        });
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.url());
        self.client.get(url).bearer_auth(TOKEN)
    }

    /// A POST of a rotation's action.
    pub fn post(&self, action: &str) -> RequestBuilder {
        let url = format!("{}/v1/rotations/shop/{action}", self.url());
        self.client.post(url).bearer_auth(TOKEN)
    }

    /// Asks for a run.
    pub async fn rotate(&self) {
        self.post("rotate").send().await.unwrap();
    }

    /// Locks the users for as long as the fault, so that a run waits in `set`.
    pub async fn lock_users(&mut self) {
        let mut root = self.env.root("postgres").await;
        run(&mut root, "BEGIN").await;
        run(&mut root, "LOCK TABLE pg_authid IN EXCLUSIVE MODE").await;
        self.kept.push(Box::new(root));
    }

    /// The body of a response.
    pub async fn text(&self, path: &str) -> String {
        let answer = self.get(path).send().await.unwrap();
        answer.text().await.unwrap()
    }

    /// The status of `/readyz`, and its code.
    pub async fn ready(&self) -> String {
        let answer = self.get("/readyz").send().await.unwrap();
        let status = answer.status().as_u16().to_string();
        if status == "200" {
            return status;
        }
        let health: Json = answer.json().await.unwrap();
        let problem = health["problems"][0].as_str().unwrap_or_default();
        format!("{status} {}", problem.split(':').next().unwrap_or_default())
    }

    /// State and code by the command.
    pub async fn status(&self) -> String {
        let output = self.env.twinkey(&["status", "--json"]).await;
        let errors = String::from_utf8(output.stderr).unwrap();
        if let Some((_, rest)) = errors.split_once("error[") {
            return rest.split(']').next().unwrap().to_owned();
        }
        let shown: Json = serde_json::from_slice(&output.stdout).unwrap();
        let words = [&shown[0]["state"], &shown[0]["problem"]["code"]];
        let words: Vec<&str> = words.iter().filter_map(|word| word.as_str()).collect();
        let note = errors.contains("there is no journal");
        format!(
            "{}{}",
            words.join(" "),
            if note { ", no journal" } else { "" }
        )
    }

    /// The log of the worker since the fault.
    pub fn log(&self) -> String {
        let log = self.env.folder.path().join("serve.log");
        let log = std::fs::read_to_string(log).unwrap_or_default();
        log[self.log_begin.min(log.len())..].to_owned()
    }

    /// The states of the runs, the newest first.
    pub async fn runs(&self) -> Vec<String> {
        let runs: Json = serde_json::from_str(&self.text("/v1/runs").await).unwrap();
        let runs = runs.as_array().unwrap().iter();
        runs.map(|run| run["state"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Rotates without the fault. Runs that were recorded before stay in the history.
    pub async fn rotates_again(&self) {
        let before = self.runs().await;
        until("the run has succeeded", async || {
            self.rotate().await;
            let runs = self.runs().await;
            runs[..runs.len() - before.len()]
                .iter()
                .any(|state| state == "succeeded")
        })
        .await;
        let runs = self.runs().await;
        let kept = &runs[runs.len() - before.len()..];
        let ended = |state: &String| !matches!(state.as_str(), "running" | "deferred");
        for (before, kept) in before.iter().zip(kept) {
            assert!(before == kept || !ended(before), "{before} became {kept}");
        }
    }

    /// Ends the worker.
    pub async fn close(mut self) {
        if let Some(mut serve) = self.serve.take() {
            let _ = serve.kill().await;
        }
    }
}
