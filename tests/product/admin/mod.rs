//! The admin endpoint.

mod audit;
pub mod connections;
mod cross_site;
pub mod dashboard;
pub mod events;
mod fuzzed;
mod guesses;
mod idempotency;
mod pages;
mod readers;
mod readiness;
mod roles;
mod routes;
mod tokens;

use reqwest::{Client, RequestBuilder};
use serde_json::Value as Json;
use tokio::process::Child;

use twinkey_testkit::environment::{Environment, Setup, free_address};

pub const TOKEN: &str = "an-admin-token-of-some-length";

/// A worker with a token.
pub struct Endpoint {
    pub env: Environment,
    pub url: String,
    pub client: Client,
    pub serve: Child,
}

impl Endpoint {
    pub async fn open(plan: Setup) -> Self {
        Self::open_after(plan, |_| ()).await
    }

    /// As [`Endpoint::open`], after more files have been written.
    pub async fn open_after(plan: Setup, prepare: impl FnOnce(&Environment)) -> Self {
        let address = free_address();
        let server = format!("[server]\nlisten = \"{address}\"\nadmin_token_file = \"token\"");
        let env = Environment::open(Setup {
            config: format!("{}\n{server}", plan.config),
            ..plan
        })
        .await;
        std::fs::write(env.folder.path().join("token"), TOKEN).unwrap();
        prepare(&env);
        Self {
            serve: env.serve(&address).await,
            env,
            url: format!("http://{address}"),
            client: Client::new(),
        }
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.url);
        self.client.get(url).bearer_auth(TOKEN)
    }

    pub fn post(&self, path: &str, body: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.url);
        let request = self.client.post(url).bearer_auth(TOKEN);
        request.body(body.to_owned())
    }

    /// The status and the JSON body of a response.
    pub async fn answer(&self, request: RequestBuilder) -> (u16, Json) {
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    pub async fn json(&self, path: &str) -> Json {
        let (status, json) = self.answer(self.get(path)).await;
        assert_eq!(status, 200, "{path}: {json}");
        json
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.env.folder.path().join("serve.log")).unwrap()
    }
}
