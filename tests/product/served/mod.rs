//! The served store of a worker, from the outside: `twinkey serve`, `twinkey keys`, `twinkey secret`.

mod clients;
mod commands;
mod rotations;

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::{Credentials, SharedCredentialsProvider};
use serde_json::Value as Json;
use tokio::process::Child;

use twinkey_testkit::aws::sdk_config;
use twinkey_testkit::environment::{Backend, Setup, Environment, free_address, until};

/// A worker on an embedded store, which is served.
pub struct ServedWorker {
    pub env: Environment,
    /// Of the served store.
    pub address: String,
    _serve: Child,
}

/// A key that `twinkey keys add` has made.
pub struct IssuedKey {
    pub id: String,
    pub secret: String,
    pub token: String,
}

/// Serves the store of a shop's config too.
pub fn serve_store(env: &Environment, address: &str, more: &str) {
    let config = std::fs::read_to_string(env.config()).unwrap();
    let key_file = "key_file = \"secrets.key\"";
    let serve = format!(
        "{key_file}\nserve = {{ listen = \"{address}\", keys_file = \"keys.toml\"{more} }}"
    );
    assert!(config.contains(key_file));
    std::fs::write(env.config(), config.replace(key_file, &serve)).unwrap();
}

/// Makes a key.
pub async fn add_key(env: &Environment, name: &str, actions: &[&str], secret: &str) -> IssuedKey {
    let mut args = vec!["keys", "add", name, "--json", "--secret", secret];
    for action in actions {
        args.extend(["--action", action]);
    }
    let printed: Json = serde_json::from_str(&env.run_ok(&args).await).unwrap();
    let text = |field: &str| printed[field].as_str().unwrap().to_owned();
    IssuedKey {
        id: text("AccessKeyId"),
        secret: text("SecretAccessKey"),
        token: text("AgentToken"),
    }
}

impl ServedWorker {
    pub async fn open() -> Self {
        let (admin, address) = (free_address(), free_address());
        let plan = Setup {
            config: format!("[server]\nlisten = \"{admin}\""),
            ..Setup::default()
        };
        let env = Environment::open_with(plan, Backend::Local).await;
        serve_store(&env, &address, "");
        let serve = env.serve(&admin).await;
        Self {
            env,
            address,
            _serve: serve,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn config(&self, key: &IssuedKey) -> SdkConfig {
        let credentials = Credentials::new(&key.id, &key.secret, None, None, "tests");
        let provider = SharedCredentialsProvider::new(credentials);
        let config = sdk_config(&self.url()).into_builder();
        config.credentials_provider(provider).build()
    }

    pub fn client(&self, key: &IssuedKey) -> Client {
        Client::new(&self.config(key))
    }

    /// A key, made while the worker runs, once it is known there.
    pub async fn key(&self, name: &str, actions: &[&str], secret: &str) -> IssuedKey {
        let key = add_key(&self.env, name, actions, secret).await;
        let url = format!("{}/v1/none-of-this-name", self.url());
        let asked = reqwest::Client::new();
        until("the worker knows the key", async || {
            let asked = asked
                .get(&url)
                .header("X-Aws-Parameters-Secrets-Token", &key.token);
            asked.send().await.unwrap().status() != 403
        })
        .await;
        key
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.env.folder.path().join("serve.log")).unwrap()
    }
}
