//! The environment of a scan, on any engine.

use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value as Json, json};
use tokio::process::Command;
use twinkey_stores::stage;

use crate::engines::redshift::fixture::{self, RedshiftFixture};
use crate::engines::redshift::secrecy::statements_of_the_api;
use twinkey_testkit::environment::{Backend, Database, Environment, MASTER_SECRET, SECRET};

const LABELS: [&str; 3] = [stage::CURRENT, stage::PENDING, stage::PREVIOUS];

pub trait LeakFixture {
    /// The name of the rotation.
    const ROTATION: &'static str;
    const SECRET: &'static str;
    const MASTER_SECRET: &'static str;

    /// A command of the program.
    fn command(&self) -> Command;
    /// The folder of the config, the journal and other files.
    fn folder(&self) -> &Path;
    /// Whether the store is the embedded one.
    fn is_local(&self) -> bool;
    /// The documents of all labels, AWSCURRENT first.
    async fn documents(&self) -> Vec<Json>;
    fn master(&self) -> Json;
    async fn put_text(&self, name: &str, text: &str);
    /// The server's log of statements.
    async fn log(&self) -> String;
}

impl<D: Database> LeakFixture for Environment<D> {
    const ROTATION: &'static str = "shop";
    const SECRET: &'static str = SECRET;
    const MASTER_SECRET: &'static str = MASTER_SECRET;

    fn command(&self) -> Command {
        Self::command(self, env!("CARGO_BIN_EXE_twinkey"))
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn is_local(&self) -> bool {
        matches!(self.backend, Backend::Local)
    }

    async fn documents(&self) -> Vec<Json> {
        let there = self.labels().await;
        let mut all = Vec::new();
        for label in LABELS {
            if there.iter().any(|(_, on)| on.iter().any(|l| l == label)) {
                all.push(self.read(label).await.0);
            }
        }
        all
    }

    fn master(&self) -> Json {
        self.document("rdsmaster", self.master.expose_secret())
    }

    async fn put_text(&self, name: &str, text: &str) {
        Self::put_text(self, name, text).await;
    }

    async fn log(&self) -> String {
        Self::log(self)
    }
}

impl LeakFixture for RedshiftFixture {
    const ROTATION: &'static str = "house";
    const SECRET: &'static str = fixture::SECRET;
    const MASTER_SECRET: &'static str = fixture::MASTER_SECRET;

    fn command(&self) -> Command {
        Self::command(self)
    }

    fn folder(&self) -> &Path {
        Self::folder(self)
    }

    fn is_local(&self) -> bool {
        false
    }

    async fn documents(&self) -> Vec<Json> {
        let mut all = Vec::new();
        for label in LABELS {
            if self.has(label).await {
                all.push(self.read(label).await);
            }
        }
        all
    }

    fn master(&self) -> Json {
        json!({
            "username": "admin", "password": fixture::MASTER,
            "dbClusterIdentifier": twinkey_testkit::aws::redshift::CLUSTER,
        })
    }

    async fn put_text(&self, name: &str, text: &str) {
        let text = SecretString::from(text.to_owned());
        let store = self.stand_in.store();
        store.create_or_put(name, &text).await.unwrap();
    }

    /// The statements that the Data API lists for a day.
    async fn log(&self) -> String {
        statements_of_the_api(self).await.join("\n")
    }
}
