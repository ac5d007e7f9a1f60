//! The served store as applications use it: with the AWS SDK, with wrongly signed requests, and
//! over the interface of AWS's agent.

mod agent;
mod api;
mod audit;
mod errors;
mod lists;
mod rights;
mod rotation;
mod stale;
mod tools;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::{Credentials, SharedCredentialsProvider};
use reqwest::StatusCode;
use secrecy::ExposeSecret;
use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use twinkey_core::telemetry::Clock;
use twinkey_core::telemetry::metrics::Metrics;
use twinkey_stores::listener::Listener;
use twinkey_stores::local::LocalStore;
use twinkey_stores::served::keys::{AccessKey, AccessKeys, NewKey};
use twinkey_stores::served::policy::Policy;
use twinkey_stores::served::{Served, router};

use twinkey_testkit::aws::sdk_config;
use twinkey_testkit::signed;

/// A served store on a free port. Dropping it stops the server and deletes its files.
pub struct Place {
    /// Another opener of the same file, as a command's is.
    pub beside: LocalStore,
    /// May do everything.
    pub admin: NewKey,
    /// May read `prod/*`.
    pub app: NewKey,
    pub served: Arc<Served>,
    host: String,
    endpoint: JoinHandle<()>,
    folder: TempDir,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.endpoint.abort();
    }
}

fn key(new: &NewKey, name: &str, actions: &[&str], secrets: &str) -> AccessKey {
    let actions: Vec<String> = actions.iter().map(|action| (*action).to_owned()).collect();
    let policy = Policy::new(&actions, &[secrets.to_owned()]).unwrap();
    AccessKey::new(&new.id, name, &new.secret, policy)
}

impl Place {
    pub async fn open() -> Self {
        Self::open_with(|served| served).await
    }

    /// A served store that `configure` has changed before its start.
    pub async fn open_with(configure: impl FnOnce(Served) -> Served) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let open = async || {
            LocalStore::open(&file("s.db"), &file("s.key"))
                .await
                .unwrap()
        };
        let (served, beside) = (open().await, open().await);
        let (admin, app) = (NewKey::draw().unwrap(), NewKey::draw().unwrap());
        let reads = [
            "GetSecretValue",
            "DescribeSecret",
            "BatchGet*",
            "ListSecrets",
        ];
        let keys: AccessKeys = [
            key(&admin, "admin", &["*"], "*"),
            key(&app, "app", &reads, "prod/*"),
        ]
        .into_iter()
        .collect();
        let served = Served::new(Arc::new(served), keys, Metrics::default(), Clock::system());
        let served = Arc::new(configure(served));
        let listener = Listener::bind(([127, 0, 0, 1], 0).into(), None)
            .await
            .unwrap();
        let host = listener.address().to_string();
        let serving = listener.serve(router(Arc::clone(&served)), std::future::pending());
        Self {
            endpoint: tokio::spawn(serving),
            served,
            host,
            beside,
            admin,
            app,
            folder,
        }
    }

    /// The file of the store.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("s.db")
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.host)
    }

    pub fn config(&self, key: &NewKey) -> SdkConfig {
        let secret = key.secret.expose_secret();
        let credentials = Credentials::new(&key.id, secret, None, None, "tests");
        let provider = SharedCredentialsProvider::new(credentials);
        let config = sdk_config(&self.url()).into_builder();
        config.credentials_provider(provider).build()
    }

    /// Who may do everything.
    pub fn client(&self) -> Client {
        Client::new(&self.config(&self.admin))
    }

    /// The headers of a request, signed by that key now.
    pub fn signed(&self, key: &NewKey, action: &str, body: &str) -> Vec<(String, String)> {
        let key = (&*key.id, key.secret.expose_secret());
        signed::headers(
            &self.host,
            key,
            action,
            body,
            SystemTime::from(Clock::system().now()),
        )
    }

    /// What is answered to a request as it stands.
    pub async fn answer(&self, headers: &[(String, String)], body: &str) -> (StatusCode, Json) {
        let mut request = reqwest::Client::new()
            .post(self.url())
            .body(body.to_owned());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    /// What is answered to that action of the admin.
    pub async fn ask(&self, action: &str, body: Json) -> (StatusCode, Json) {
        let body = body.to_string();
        let headers = self.signed(&self.admin, action, &body);
        self.answer(&headers, &body).await
    }
}
