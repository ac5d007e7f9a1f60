//! The served store of a worker: `twinkey serve`, `twinkey keys` and `twinkey secret`.

mod clients;
mod commands;
mod functions;
mod rekey;
mod rotations;

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::{Credentials, SharedCredentialsProvider};
use serde_json::Value as Json;
use tokio::process::Child;

use twinkey_testkit::aws::sdk_config;
use twinkey_testkit::environment::{Backend, Database, Environment, Setup, free_address, until};

/// A worker with a served embedded store.
pub struct ServedWorker {
    pub env: Environment,
    /// The address of the served store.
    pub address: String,
    _serve: Child,
}

/// A key of `twinkey keys add`.
pub struct IssuedKey {
    pub id: String,
    pub secret: String,
    pub token: String,
}

/// Adds the served store to the config.
pub fn serve_store<D: Database>(env: &Environment<D>, address: &str, more: &str) {
    let config = std::fs::read_to_string(env.config()).unwrap();
    let key_file = "key_file = \"secrets.key\"";
    let serve = format!(
        "{key_file}\nserve = {{ listen = \"{address}\", keys_file = \"keys.toml\"{more} }}"
    );
    assert!(config.contains(key_file));
    std::fs::write(env.config(), config.replace(key_file, &serve)).unwrap();
}

/// Adds a key.
pub async fn add_key<D: Database>(
    env: &Environment<D>,
    name: &str,
    actions: &[&str],
    secret: &str,
) -> IssuedKey {
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

impl IssuedKey {
    /// The config of a client with this key.
    pub fn config(&self, url: &str) -> SdkConfig {
        let credentials = Credentials::new(&self.id, &self.secret, None, None, "tests");
        let provider = SharedCredentialsProvider::new(credentials);
        let config = sdk_config(url).into_builder();
        config.credentials_provider(provider).build()
    }
}

impl ServedWorker {
    pub async fn open() -> Self {
        Self::open_with("").await
    }

    /// A worker whose rotation has further keys.
    pub async fn open_with(rotation: &str) -> Self {
        let (admin, address) = (free_address(), free_address());
        let plan = Setup {
            config: format!("[server]\nlisten = \"{admin}\""),
            rotation: rotation.to_owned(),
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
        key.config(&self.url())
    }

    pub fn client(&self, key: &IssuedKey) -> Client {
        Client::new(&self.config(key))
    }

    /// Adds a key, and waits until the running worker has loaded it.
    pub async fn key(&self, name: &str, actions: &[&str], secret: &str) -> IssuedKey {
        let key = add_key(&self.env, name, actions, secret).await;
        let url = format!("{}/v1/none-of-this-name", self.url());
        let asked = reqwest::Client::new();
        until("the worker has loaded the key", async || {
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
