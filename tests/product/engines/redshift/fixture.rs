//! Fixture: the stand-in of Redshift with an admin and an application user.
//!
//! Both secrets are in its Secrets Manager; the twinkey program runs with a config for it.

use std::path::Path;
use std::process::Output;

use aws_sdk_redshiftdata::Client;
use aws_sdk_redshiftdata::types::StatusString;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::process::Command;
use twinkey_stores::local::LocalStore;
use twinkey_stores::{SecretStore, Selector, stage};
use twinkey_testkit::postgres::{LocalPostgres, Options};

use twinkey_testkit::aws::redshift::{CLUSTER, HOME, Redshift, WORKGROUP};
use twinkey_testkit::aws::{StandIn, sdk_config};
use twinkey_testkit::environment::run;

pub const SECRET: &str = "prod/house";
pub const MASTER_SECRET: &str = "prod/master";
/// The application's first password.
pub const FIRST: &str = "First0123456789abcdefXYZ";
pub const MASTER: &str = "Master0123456789abcdefXYZ";
/// A secret of the test itself, to sign in without twinkey.
const INDEPENDENT: &str = "independent";
/// The second database.
pub const OTHER: &str = "other";

/// The kind of Redshift deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deployment {
    Cluster,
    Workgroup,
}

pub struct RedshiftFixture {
    pub stand_in: StandIn,
    folder: TempDir,
    deployment: Deployment,
}

impl RedshiftFixture {
    /// `redshift`: the rotation's key `redshift` in TOML; `more`: more keys of the rotation.
    pub async fn open(deployment: Deployment, redshift: &str, more: &str) -> Self {
        let options = Options::new(LocalPostgres::find(None).unwrap());
        let stand_in = StandIn::with_redshift(options).await;
        let fixture = Self {
            stand_in,
            folder: tempfile::tempdir().unwrap(),
            deployment,
        };
        let admin = format!("CREATE USER admin PASSWORD '{MASTER}' CREATEUSER");
        let app = format!("CREATE USER app PASSWORD '{FIRST}'");
        fixture
            .dba(HOME, &[&admin, &app, &format!("CREATE DATABASE {OTHER}")])
            .await;
        let mut master = json!({
            "username": "admin", "password": MASTER,
            "host": "127.0.0.1", "port": fixture.redshift().server().port(),
        });
        let mut document = json!({
            "engine": "redshift", "host": "127.0.0.1", "port": fixture.redshift().server().port(),
            "username": "app", "password": FIRST, "dbname": HOME, "kept": [1, 2.50, null],
        });
        let (field, target) = match deployment {
            Deployment::Cluster => ("dbClusterIdentifier", CLUSTER),
            Deployment::Workgroup => ("workgroupName", WORKGROUP),
        };
        master[field] = json!(target);
        document[field] = json!(target);
        fixture.put(MASTER_SECRET, &master).await;
        fixture.put(SECRET, &document).await;
        fixture.configure(redshift, more);
        fixture
    }

    pub fn configure(&self, redshift: &str, more: &str) {
        let url = self.stand_in.url();
        let text = format!(
            "[journal]\nurl = \"sqlite://journal.db\"\n[secrets]\nbackend = \"aws\"\nregion = \"eu-west-1\"\n\
             endpoint_url = \"{url}\"\n[[rotation]]\nname = \"house\"\nsecret = \"{SECRET}\"\n\
             min_interval = \"0s\"\ntls = {{ mode = \"disable\" }}\nredshift = {{ {redshift} }}\n{more}\n"
        );
        std::fs::write(self.folder.path().join("twinkey.toml"), text).unwrap();
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Moves the secret to the embedded store; the environment names AWS's endpoint.
    pub async fn use_embedded_store(&self, redshift: &str) {
        let path = |file| self.folder.path().join(file);
        let store = LocalStore::open(&path("secrets.db"), &path("secrets.key"))
            .await
            .unwrap();
        let document = SecretString::from(self.read(stage::CURRENT).await.to_string());
        store.create_or_put(SECRET, &document).await.unwrap();
        let text = format!(
            "[journal]\nurl = \"sqlite://journal.db\"\n[secrets]\nbackend = \"local\"\npath = \"secrets.db\"\n\
             key_file = \"secrets.key\"\n[[rotation]]\nname = \"house\"\nsecret = \"{SECRET}\"\n\
             min_interval = \"0s\"\nredshift = {{ {redshift} }}\n"
        );
        std::fs::write(path("twinkey.toml"), text).unwrap();
    }

    pub fn redshift(&self) -> &Redshift {
        self.stand_in.redshift()
    }

    pub async fn dba(&self, database: &str, statements: &[&str]) {
        self.redshift().dba(database, statements).await;
    }

    pub async fn put(&self, name: &str, document: &Json) {
        let text = SecretString::from(document.to_string());
        let store = self.stand_in.store();
        store.create_or_put(name, &text).await.unwrap();
    }

    /// The document with a label.
    pub async fn read(&self, label: &str) -> Json {
        let store = self.stand_in.store();
        let version = store.get(SECRET, Selector::Stage(label)).await.unwrap();
        serde_json::from_str(version.value.expose_secret()).unwrap()
    }

    pub async fn current_user(&self) -> String {
        let document = self.read(stage::CURRENT).await;
        document["username"].as_str().unwrap().to_owned()
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_twinkey"));
        command
            .env("TWINKEY_CONFIG", self.folder.path().join("twinkey.toml"))
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ENDPOINT_URL", self.stand_in.url())
            .env_remove("RUST_BACKTRACE")
            .current_dir(self.folder.path())
            .kill_on_drop(true);
        command
    }

    pub async fn twinkey(&self, args: &[&str]) -> Output {
        self.command().args(args).output().await.unwrap()
    }

    /// Runs the program, asserts that it succeeds, and returns its output.
    pub async fn good(&self, args: &[&str]) -> String {
        let output = self.twinkey(args).await;
        let (said, printed) = (text(&output.stderr), text(&output.stdout));
        assert!(output.status.success(), "{args:?}: {said}\n{printed}");
        printed
    }

    /// Removes the journal, so that the next run is that of another worker.
    pub fn remove_journal(&self) {
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.to_string_lossy().contains("journal.db") {
                std::fs::remove_file(path).unwrap();
            }
        }
    }

    /// Whether a version has the label.
    pub async fn has(&self, label: &str) -> bool {
        let store = self.stand_in.store();
        store.get(SECRET, Selector::Stage(label)).await.is_ok()
    }

    /// Runs statements as the user of a label with a secret of the test.
    pub async fn as_user(&self, label: &str, database: &str, sqls: &[&str]) -> Result<(), String> {
        let document = self.read(label).await;
        self.put(INDEPENDENT, &document).await;
        self.by_secret(INDEPENDENT, database, sqls).await
    }

    pub async fn as_admin(&self, database: &str, sqls: &[&str]) -> Result<(), String> {
        self.by_secret(MASTER_SECRET, database, sqls).await
    }

    /// Makes the base user active and removes the clone.
    pub async fn remove_clone(&self) {
        let store = self.stand_in.store();
        let mut document = self.read(stage::CURRENT).await;
        document["username"] = json!("app");
        document["password"] = json!(FIRST);
        if self.has(stage::PENDING).await {
            let description = store.describe(SECRET).await.unwrap();
            let pending = description.labelled(stage::PENDING).cloned();
            let taken = store.move_stage(SECRET, stage::PENDING, pending.as_ref(), None);
            taken.await.unwrap();
        }
        self.put(SECRET, &document).await;
        let first = format!("ALTER USER app PASSWORD '{FIRST}'");
        self.dba(HOME, &[&first]).await;
        for database in [OTHER, HOME] {
            let mut root = self.redshift().root(database).await.unwrap();
            let there = sqlx::query("SELECT FROM pg_user WHERE usename = 'app_clone'");
            if there.fetch_optional(&mut root).await.unwrap().is_none() {
                continue;
            }
            run(&mut root, "DROP OWNED BY app_clone").await;
            if database == HOME {
                run(&mut root, "DROP ROLE app_clone").await;
            }
        }
    }

    async fn by_secret(&self, name: &str, database: &str, sqls: &[&str]) -> Result<(), String> {
        let client = Client::new(&sdk_config(&self.stand_in.url()));
        let sqls = sqls.iter().map(|sql| (*sql).to_owned()).collect();
        let call = client.batch_execute_statement().database(database);
        let call = call.set_sqls(Some(sqls));
        let call = match self.deployment {
            Deployment::Cluster => call.cluster_identifier(CLUSTER),
            Deployment::Workgroup => call.workgroup_name(WORKGROUP),
        };
        let submitted = call.secret_arn(name).send().await.unwrap();
        let id = submitted.id().unwrap();
        let ended = client.describe_statement().id(id).wait_time_seconds(30);
        let ended = ended.send().await.unwrap();
        match ended.status() {
            Some(StatusString::Finished) => Ok(()),
            _ => Err(ended.error().unwrap_or("no error").to_owned()),
        }
    }

    /// The number of calls of an action.
    pub fn count(&self, action: &str) -> usize {
        self.stand_in.faults().count(action)
    }

    /// The probe secrets that still exist.
    pub async fn probe_secrets(&self) -> Vec<String> {
        let mut names = self.stand_in.store().names().await.unwrap();
        names.retain(|name| name.starts_with("twinkey/probe/"));
        names
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
