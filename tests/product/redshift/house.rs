//! A warehouse to rotate: the stand-in's Redshift with an admin and the application's user, both
//! secrets in its Secrets Manager, a config, and the twinkey binary to run on it.

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
use twinkey_testkit::shop::run;

pub const SECRET: &str = "prod/house";
pub const MASTER_SECRET: &str = "prod/master";
/// The application's first password.
pub const FIRST: &str = "First0123456789abcdefXYZ";
pub const MASTER: &str = "Master0123456789abcdefXYZ";
/// A test's own secret, to sign in with past twinkey.
const INDEPENDENT: &str = "independent";
/// The second database.
pub const OTHER: &str = "other";

/// Where the Data API goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    Cluster,
    Workgroup,
}

pub struct House {
    pub stand_in: StandIn,
    folder: TempDir,
    on: On,
}

impl House {
    /// `redshift`: the rotation's key, as TOML; `more` keys of it besides.
    pub async fn open(on: On, redshift: &str, more: &str) -> Self {
        let options = Options::new(LocalPostgres::find(None).unwrap());
        let stand_in = StandIn::with_redshift(options).await;
        let house = Self {
            stand_in,
            folder: tempfile::tempdir().unwrap(),
            on,
        };
        let admin = format!("CREATE USER admin PASSWORD '{MASTER}' CREATEUSER");
        let app = format!("CREATE USER app PASSWORD '{FIRST}'");
        house
            .dba(HOME, &[&admin, &app, &format!("CREATE DATABASE {OTHER}")])
            .await;
        let master = json!({"username": "admin", "password": MASTER});
        house.put(MASTER_SECRET, &master).await;
        let mut document = json!({
            "engine": "redshift", "host": "127.0.0.1", "port": house.redshift().server().port(),
            "username": "app", "password": FIRST, "dbname": HOME, "kept": [1, 2.50, null],
        });
        match on {
            On::Cluster => document["dbClusterIdentifier"] = json!(CLUSTER),
            On::Workgroup => document["workgroupName"] = json!(WORKGROUP),
        }
        house.put(SECRET, &document).await;
        house.configure(redshift, more);
        house
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

    /// The secret is in the embedded store from now on, and AWS is where the environment says.
    pub async fn keep_secrets_here(&self, redshift: &str) {
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

    async fn put(&self, name: &str, document: &Json) {
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

    /// Runs the binary to its end, which must be good; gives what it printed.
    pub async fn good(&self, args: &[&str]) -> String {
        let output = self.twinkey(args).await;
        let (said, printed) = (text(&output.stderr), text(&output.stdout));
        assert!(output.status.success(), "{args:?}: {said}\n{printed}");
        printed
    }

    /// The next run is another worker's, with a journal of its own.
    pub fn forget_the_journal(&self) {
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.to_string_lossy().contains("journal.db") {
                std::fs::remove_file(path).unwrap();
            }
        }
    }

    /// Whether there is a version with the label.
    pub async fn has(&self, label: &str) -> bool {
        let store = self.stand_in.store();
        store.get(SECRET, Selector::Stage(label)).await.is_ok()
    }

    /// Carries statements out as the user of a label, by a secret of the test's own and past twinkey.
    pub async fn as_user(&self, label: &str, database: &str, sqls: &[&str]) -> Result<(), String> {
        let document = self.read(label).await;
        self.put(INDEPENDENT, &document).await;
        self.by_secret(INDEPENDENT, database, sqls).await
    }

    pub async fn as_admin(&self, database: &str, sqls: &[&str]) -> Result<(), String> {
        self.by_secret(MASTER_SECRET, database, sqls).await
    }

    /// The base user is active again, and the clone was never there.
    pub async fn forget_the_clone(&self) {
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
        let call = match self.on {
            On::Cluster => call.cluster_identifier(CLUSTER),
            On::Workgroup => call.workgroup_name(WORKGROUP),
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

    /// How often an action was called.
    pub fn count(&self, action: &str) -> usize {
        self.stand_in.faults().count(action)
    }

    /// Secrets that are there: none of a probe's may be left.
    pub async fn probe_secrets(&self) -> Vec<String> {
        let mut names = self.stand_in.store().names().await.unwrap();
        names.retain(|name| name.starts_with("twinkey/probe/"));
        names
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
