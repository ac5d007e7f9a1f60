//! A warehouse to rotate: the stand-in's Redshift with an admin and the application's user, both
//! secrets in its Secrets Manager, a config, and the twinkey binary to run on it.

use std::process::Output;

use aws_sdk_redshiftdata::Client;
use aws_sdk_redshiftdata::types::StatusString;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::process::Command;
use twinkey::demo::postgres::{LocalPostgres, Options};
use twinkey::store::{SecretStore, Selector, stage};

use crate::support::aws::redshift::{CLUSTER, HOME, Redshift, WORKGROUP};
use crate::support::aws::{StandIn, sdk_config};

pub const SECRET: &str = "prod/house";
pub const MASTER_SECRET: &str = "prod/master";
/// The application's first password.
pub const FIRST: &str = "First0123456789abcdefXYZ";
pub const MASTER: &str = "Master0123456789abcdefXYZ";
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
            .dba(
                HOME,
                &[&admin, &app, &format!("CREATE DATABASE {OTHER}")],
            )
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

    /// Carries one statement out as the user of a label, by its secret itself and past twinkey.
    pub async fn as_user(&self, label: &str, database: &str, sql: &str) -> Result<(), String> {
        let document = self.read(label).await;
        let name = format!("independent/{}", uuid::Uuid::new_v4());
        self.put(&name, &document).await;
        let client = Client::new(&sdk_config(&self.stand_in.url()));
        let call = client.execute_statement().database(database).sql(sql);
        let call = match self.on {
            On::Cluster => call.cluster_identifier(CLUSTER),
            On::Workgroup => call.workgroup_name(WORKGROUP),
        };
        let submitted = call.secret_arn(&name).send().await.unwrap();
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
