//! The environment of a test: a database server with a master as on RDS, a user with a table,
//! both secrets in a store, a config, and the `twinkey` program.

mod binary;
pub mod documentdb;
pub mod many_pairs;
pub mod mariadb;
pub mod postgres;

use std::path::PathBuf;

use crate::mysql::Flavor;
use crate::postgres::LocalPostgres;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use twinkey_core::secret::Credentials;
use twinkey_stores::aws::AwsStore;
use twinkey_stores::local::LocalStore;
use twinkey_stores::{SecretStore, Selector, VersionId, stage};

pub use self::postgres::{quoted, run, value};
pub use crate::aws::StandIn;
use crate::aws::sdk_config;
use crate::moto::Moto;
pub use crate::ports::free_address;

pub const SECRET: &str = "prod/shop";
pub const MASTER_SECRET: &str = "prod/master";
/// The application's first password.
pub const FIRST: &str = "First-0123456789-abcdef-XYZ";

/// The database server of an environment, and what differs between engines.
#[allow(
    async_fn_in_trait,
    reason = "implemented in this crate only, with one thread a test"
)]
pub trait Database: Sized + Send + 'static {
    /// The value of the field `engine` in secrets.
    const ENGINE: &'static str;
    type Connection;
    /// The error of a connection.
    type Error: std::error::Error;

    /// Starts the server. Blocks until it accepts connections.
    fn start(setup: &Setup) -> Self;
    fn port(&self) -> u16;
    fn superuser(&self) -> &Credentials;
    /// The log of statements.
    fn log_path(&self) -> PathBuf;
    /// Creates the master `rdsmaster`, the user with the password [`FIRST`], and the schema `shop`.
    async fn populate(&self, master: &SecretString, user: &str);
    async fn connect(
        &self,
        user: &str,
        password: &SecretString,
        database: &str,
    ) -> Result<Self::Connection, Self::Error>;
    /// Whether this connection has the privileges of the first user.
    async fn may_work(connection: &mut Self::Connection) -> bool;
    /// Every user with its stored attributes, as text to compare.
    async fn users(&self) -> String;
}

/// The secret store of an environment.
pub enum Backend {
    StandIn(StandIn),
    Moto(Moto),
    Local,
}

/// The options of an environment.
pub struct Setup {
    /// The major version of PostgreSQL; `None`: the newest.
    pub version: Option<u32>,
    /// Of a [`crate::mysql::LocalMysql`].
    pub flavor: Flavor,
    pub user: &'static str,
    /// Additional keys of `[[rotation]]`, as TOML lines.
    pub rotation: String,
    /// Additional sections of the config, as TOML.
    pub config: String,
    /// Additional settings of the server, `name=value`.
    pub settings: Vec<String>,
    /// Lines of PostgreSQL's `pg_hba.conf` before the one that allows passwords.
    pub hba: Vec<String>,
    /// Certificate chain and key of the server.
    pub tls: Option<(String, String)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            version: None,
            flavor: Flavor::Mariadb,
            user: "app",
            rotation: String::new(),
            config: String::new(),
            settings: Vec::new(),
            hba: Vec::new(),
            tls: None,
        }
    }
}

/// A running environment. Dropping it stops the server and removes the files.
pub struct Environment<D: Database = LocalPostgres> {
    pub server: D,
    pub backend: Backend,
    pub folder: TempDir,
    pub user: String,
    pub master: SecretString,
    store: Box<dyn SecretStore>,
}

impl Environment {
    /// An environment with PostgreSQL and the AWS stand-in.
    pub async fn open(setup: Setup) -> Self {
        Self::open_with(setup, Backend::StandIn(StandIn::start().await)).await
    }

    pub async fn open_with(setup: Setup, backend: Backend) -> Self {
        Self::build(setup, backend).await
    }
}

impl<D: Database> Environment<D> {
    async fn build(setup: Setup, backend: Backend) -> Self {
        let (server, setup) = tokio::task::spawn_blocking(move || (D::start(&setup), setup))
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
            user: setup.user.into(),
            master: SecretString::from("Master-0123456789-abcdef-XYZ"),
            server,
            backend,
            folder,
            store,
        };
        env.populate().await;
        env.configure(&setup);
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

    /// Writes a secret without twinkey.
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

    /// Writes the config of these options.
    pub fn configure(&self, setup: &Setup) {
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
        let tls = if setup.rotation.contains("tls =") {
            ""
        } else {
            "tls = { mode = \"disable\" }"
        };
        let interval = if setup.rotation.contains("min_interval") {
            ""
        } else {
            "min_interval = \"0s\""
        };
        let text = format!(
            "{}\n[journal]\nurl = \"sqlite://journal.db\"\n[secrets]\n{secrets}\n[[rotation]]\nname = \"shop\"\nsecret = \"{SECRET}\"\nmaster_secret = \"{MASTER_SECRET}\"\n{tls}\n{interval}\n{}\n",
            setup.config, setup.rotation
        );
        std::fs::write(self.config(), text).unwrap();
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("twinkey.toml")
    }

    pub fn stand_in(&self) -> &StandIn {
        match &self.backend {
            Backend::StandIn(stand_in) => stand_in,
            _ => panic!("the store is not the stand-in"),
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

    /// Each version with its labels.
    pub async fn labels(&self) -> Vec<(String, Vec<String>)> {
        let description = self.store.describe(SECRET).await.unwrap();
        description
            .versions
            .into_iter()
            .map(|(id, labels)| (id.0, labels))
            .collect()
    }

    /// A connection as the superuser, which RDS does not provide.
    pub async fn root(&self, database: &str) -> D::Connection {
        let root = self.server.superuser();
        self.connect(&root.username, &root.password, database)
            .await
            .unwrap()
    }

    ///
    /// # Errors
    /// The error of the driver.
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

    /// The labels, the current document and the users: a failed run must not change them.
    pub async fn state(&self) -> String {
        let current = self.read(stage::CURRENT).await;
        let users = self.server.users().await;
        format!("{current:?} {:?} {users}", self.labels().await)
    }

    /// The log of statements.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.server.log_path()).unwrap()).into_owned()
    }
}

/// Waits for a condition.
///
/// # Panics
/// The condition is false for three minutes. That is long, so that a busy machine does not fail.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..3600 {
        if holds().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("waited for three minutes: {what}");
}
