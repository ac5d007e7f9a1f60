//! A shop to rotate: a database server with a master as on RDS, the application's user with a table,
//! both secrets in a store, a config, and the twinkey binary to run on it.

mod binary;
pub mod documentdb;
pub mod mariadb;
pub mod postgres;
pub mod many_pairs;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::postgres::LocalPostgres;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use twinkey_core::secret::Credentials;
use twinkey_stores::aws::AwsStore;
use twinkey_stores::local::LocalStore;
use twinkey_stores::{SecretStore, Selector, VersionId, stage};

#[allow(
    unused_imports,
    reason = "not every test target that has a shop asks it in SQL"
)]
pub use self::postgres::{quoted, run, value};
use super::aws::sdk_config;
pub use super::aws::StandIn;
use super::moto::Moto;

pub const SECRET: &str = "prod/shop";
pub const MASTER_SECRET: &str = "prod/master";
/// The application's first password.
pub const FIRST: &str = "First-0123456789-abcdef-XYZ";

/// What a shop needs of its server; the rest of it is the same for all.
#[allow(
    async_fn_in_trait,
    reason = "only tests implement it, on one thread a test"
)]
pub trait Database: Sized + Send + 'static {
    /// As the secrets' field `engine` names it.
    const ENGINE: &'static str;
    type Connection;
    /// Why somebody cannot connect.
    type Error: std::error::Error;

    /// Blocks until it takes connections.
    fn start(plan: &Plan) -> Self;
    fn port(&self) -> u16;
    fn superuser(&self) -> &Credentials;
    /// Where the statements are logged.
    fn log_path(&self) -> PathBuf;
    /// The master `rdsmaster`, the user with the password [`FIRST`], and the schema `shop` to work in.
    async fn populate(&self, master: &SecretString, user: &str);
    async fn connect(
        &self,
        user: &str,
        password: &SecretString,
        database: &str,
    ) -> Result<Self::Connection, Self::Error>;
    /// Whether this connection of the application may do what the first user may.
    async fn may_work(connection: &mut Self::Connection) -> bool;
    /// Every user and what is stored of it, as text to compare.
    async fn users(&self) -> String;
}

/// Where the secrets of a shop are.
pub enum Backend {
    StandIn(StandIn),
    Moto(Moto),
    Local,
}

/// What differs from the usual shop.
pub struct Plan {
    /// Of PostgreSQL; the newest unless told.
    pub version: Option<u32>,
    pub user: &'static str,
    /// More keys of `[[rotation]]`, as TOML lines.
    pub rotation: String,
    /// More sections of the config, as TOML.
    pub config: String,
    /// More settings of the server, `name=value`.
    pub settings: Vec<String>,
    /// Certificate chain and key of the server.
    pub tls: Option<(String, String)>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            version: None,
            user: "app",
            rotation: String::new(),
            config: String::new(),
            settings: Vec::new(),
            tls: None,
        }
    }
}

pub struct Environment<D: Database = LocalPostgres> {
    pub server: D,
    pub backend: Backend,
    pub folder: TempDir,
    pub user: String,
    pub master: SecretString,
    store: Box<dyn SecretStore>,
}

impl Environment {
    /// A shop on PostgreSQL and the strict stand-in.
    pub async fn open(plan: Plan) -> Self {
        Self::open_with(plan, Backend::StandIn(StandIn::start().await)).await
    }

    pub async fn open_with(plan: Plan, backend: Backend) -> Self {
        Self::build(plan, backend).await
    }
}

impl<D: Database> Environment<D> {
    async fn build(plan: Plan, backend: Backend) -> Self {
        let (server, plan) = tokio::task::spawn_blocking(move || (D::start(&plan), plan))
            .await
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store: Box<dyn SecretStore> = match &backend {
            Backend::StandIn(stand_in) => {
                Box::new(AwsStore::from_config(&sdk_config(&stand_in.url())))
            }
            Backend::Moto(moto) => Box::new(AwsStore::from_config(&sdk_config(moto.url()))),
            Backend::Local => Box::new(
                LocalStore::open(
                    &folder.path().join("secrets.db"),
                    &folder.path().join("secrets.key"),
                )
                .await
                .unwrap(),
            ),
        };
        let env = Self {
            user: plan.user.into(),
            master: SecretString::from("Master-0123456789-abcdef-XYZ"),
            server,
            backend,
            folder,
            store,
        };
        env.populate().await;
        env.configure(&plan);
        env
    }

    async fn populate(&self) {
        self.server.populate(&self.master, &self.user).await;
        self.put(
            MASTER_SECRET,
            &self.document("rdsmaster", self.master.expose_secret()),
        )
        .await;
        self.put(SECRET, &self.document(&self.user, FIRST)).await;
    }

    /// A secret document with fields that twinkey does not know.
    pub fn document(&self, user: &str, password: &str) -> Json {
        json!({
            "engine": D::ENGINE, "host": "127.0.0.1", "port": self.server.port(),
            "username": user, "password": password, "dbname": "shop",
            "zeta": {"kept": [1, 2.50, null]}, "alpha": "kept too",
        })
    }

    /// Writes a secret from outside, as a person would.
    pub async fn put(&self, name: &str, document: &Json) {
        self.put_text(name, &document.to_string()).await;
    }

    pub async fn put_text(&self, name: &str, text: &str) {
        let value = SecretString::from(text.to_owned());
        match &self.backend {
            Backend::StandIn(stand_in) => {
                stand_in.store().create_or_put(name, &value).await.unwrap();
            }
            Backend::Local => {
                let path = |f| self.folder.path().join(f);
                let store = LocalStore::open(&path("secrets.db"), &path("secrets.key"))
                    .await
                    .unwrap();
                store.create_or_put(name, &value).await.unwrap();
            }
            Backend::Moto(moto) => {
                let client = aws_sdk_secretsmanager::Client::new(&sdk_config(moto.url()));
                let text = value.expose_secret();
                let made = client
                    .create_secret()
                    .name(name)
                    .secret_string(text)
                    .send()
                    .await;
                if made.is_err() {
                    client
                        .put_secret_value()
                        .secret_id(name)
                        .secret_string(text)
                        .send()
                        .await
                        .unwrap();
                }
            }
        }
    }

    /// Writes the config; `more` of the plan goes where it belongs.
    pub fn configure(&self, plan: &Plan) {
        let secrets = match &self.backend {
            Backend::StandIn(stand_in) => {
                format!(
                    "backend = \"aws\"\nregion = \"eu-west-1\"\nendpoint_url = \"{}\"",
                    stand_in.url()
                )
            }
            Backend::Moto(moto) => {
                format!(
                    "backend = \"aws\"\nregion = \"eu-west-1\"\nendpoint_url = \"{}\"",
                    moto.url()
                )
            }
            Backend::Local => {
                "backend = \"local\"\npath = \"secrets.db\"\nkey_file = \"secrets.key\"".into()
            }
        };
        let tls = if plan.rotation.contains("tls =") {
            ""
        } else {
            "tls = { mode = \"disable\" }"
        };
        let interval = if plan.rotation.contains("min_interval") {
            ""
        } else {
            "min_interval = \"0s\""
        };
        let text = format!(
            "{}\n[journal]\nurl = \"sqlite://journal.db\"\n[secrets]\n{secrets}\n[[rotation]]\nname = \"shop\"\nsecret = \"{SECRET}\"\nmaster_secret = \"{MASTER_SECRET}\"\n{tls}\n{interval}\n{}\n",
            plan.config, plan.rotation
        );
        std::fs::write(self.config(), text).unwrap();
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("twinkey.toml")
    }

    pub fn stand_in(&self) -> &StandIn {
        match &self.backend {
            Backend::StandIn(stand_in) => stand_in,
            _ => panic!("this shop is not on the stand-in"),
        }
    }

    /// The document with a label, and its version id.
    pub async fn read(&self, label: &str) -> (Json, VersionId) {
        let version = self
            .store
            .get(SECRET, Selector::Stage(label))
            .await
            .unwrap();
        let text = version.value.expose_secret();
        let document = serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.to_owned()));
        (document, version.version_id)
    }

    /// Where every label is.
    pub async fn labels(&self) -> Vec<(String, Vec<String>)> {
        let description = self.store.describe(SECRET).await.unwrap();
        description
            .versions
            .into_iter()
            .map(|(id, labels)| (id.0, labels))
            .collect()
    }

    /// A connection as the superuser, who on RDS would not be there.
    pub async fn root(&self, database: &str) -> D::Connection {
        let root = self.server.superuser();
        self.connect(&root.username, &root.password, database)
            .await
            .unwrap()
    }

    pub async fn connect(
        &self,
        user: &str,
        password: &SecretString,
        database: &str,
    ) -> Result<D::Connection, D::Error> {
        self.server.connect(user, password, database).await
    }

    /// A connection with the credentials under a label.
    pub async fn signed_in(&self, label: &str) -> D::Connection {
        let (document, _) = self.read(label).await;
        let password = SecretString::from(document["password"].as_str().unwrap());
        self.connect(document["username"].as_str().unwrap(), &password, "shop")
            .await
            .unwrap_or_else(|e| panic!("{label} does not sign in: {e}"))
    }

    /// What must not have changed by a run that failed: the labels, the current document, the users.
    pub async fn state(&self) -> String {
        let current = self.read(stage::CURRENT).await;
        let users = self.server.users().await;
        format!("{current:?} {:?} {users}", self.labels().await)
    }

    /// The server's log of statements so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.server.log_path()).unwrap()).into_owned()
    }
}

/// Waits for a condition; gives up after a minute.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..1200 {
        if holds().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("waited for a minute, and never: {what}");
}

/// A port that is free now, and stays so: one below those that the system gives to outgoing
/// connections, and in this process only once.
pub fn free_address() -> String {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    const FIRST: u32 = 12_000;
    const COUNT: u32 = 20_000;
    let begin = std::process::id().wrapping_mul(101);
    loop {
        let next = TAKEN.fetch_add(1, Ordering::Relaxed);
        assert!(next < COUNT, "no port is free");
        let port = FIRST + begin.wrapping_add(next) % COUNT;
        let address = format!("127.0.0.1:{port}");
        if std::net::TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}
