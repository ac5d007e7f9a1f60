//! One cell of the matrix: a pair with a master, a database, two secrets and a config of its own, on
//! a server that the cells of an engine share.

mod fix;
mod steps;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value as Json, json};
use tokio::process::Command;
use twinkey_stores::{SecretStore, Selector, VersionId, stage};
use twinkey_testkit::aws::StandIn;
use twinkey_testkit::environment::FIRST;
use twinkey_testkit::hostile::HostileServer;
use twinkey_testkit::locations::twinkey_program;

use super::MatrixEngine;
use super::row::{Login, Row};

pub const MASTER_PASSWORD: &str = "Master-0123456789-abcdef-XYZ";

/// The names of a cell.
#[derive(Debug, Clone)]
pub struct Names {
    pub user: String,
    pub clone: String,
    pub master: String,
    pub database: String,
}

pub struct Cell<'e, E: MatrixEngine> {
    pub engine: &'e E,
    pub names: Names,
    folder: PathBuf,
    sessions: Vec<E::Session>,
    /// Servers of the fault.
    kept: Vec<Box<dyn std::any::Any>>,
}

/// What a command printed.
pub struct Printed {
    pub status: Option<i32>,
    pub stdout: String,
    pub code: Option<String>,
    pub message: String,
    pub hint: String,
}

impl<'e, E: MatrixEngine> Cell<'e, E> {
    /// Creates the pair's base user, the master, the database, both secrets and the config.
    pub async fn create(engine: &'e E, folder: &Path, number: usize, row: &Row) -> Self {
        let id = format!("r{number:02}");
        let user = row.user.clone().unwrap_or_else(|| id.clone());
        let names = Names {
            clone: format!("{user}_clone"),
            user,
            master: format!("{id}_master"),
            database: id.clone(),
        };
        let folder = folder.join(&id);
        std::fs::create_dir(&folder).unwrap();
        let cell = Self {
            engine,
            names,
            folder,
            sessions: Vec::new(),
            kept: Vec::new(),
        };
        engine.create(&cell.names).await;
        cell.restore().await;
        let config = format!(
            "[journal]\nurl = \"sqlite://journal.db\"\n[secrets]\nbackend = \"aws\"\n\
             region = \"eu-west-1\"\nendpoint_url = \"{}\"\n{}",
            cell.stand_in().url(),
            cell.rotation("shop", &cell.secret()),
        );
        std::fs::write(cell.config(), config).unwrap();
        cell
    }

    pub fn secret(&self) -> String {
        format!("prod/{}", self.names.database)
    }

    pub fn master_secret(&self) -> String {
        format!("prod/{}/master", self.names.database)
    }

    /// The secret of another rotation, in some rows.
    fn other_secret(&self) -> String {
        format!("prod/{}/other", self.names.database)
    }

    /// A rotation of this pair, as TOML.
    fn rotation(&self, name: &str, secret: &str) -> String {
        let master_secret = self.master_secret();
        let mode = self.engine.tls_mode();
        let ca_file = self.engine.ca_file();
        let ca_file = ca_file.map(|file| format!("tls.ca_file = \"{}\"\n", file.display()));
        format!(
            "[[rotation]]\nname = \"{name}\"\nsecret = \"{secret}\"\n\
             master_secret = \"{master_secret}\"\nmin_interval = \"0s\"\n\
             tls.mode = \"{mode}\"\n{}",
            ca_file.unwrap_or_default()
        )
    }

    /// The document of a user at the shared server.
    fn document(&self, user: &str, password: &str) -> Json {
        self.engine.document(&self.names, user, password)
    }

    fn config(&self) -> PathBuf {
        self.folder.join("twinkey.toml")
    }

    fn stand_in(&self) -> &StandIn {
        self.engine.stand_in()
    }

    async fn restore(&self) {
        let names = &self.names;
        let document = self.document(&names.user, FIRST);
        self.put(&self.secret(), &document.to_string()).await;
        let document = self.document(&names.master, MASTER_PASSWORD);
        self.put(&self.master_secret(), &document.to_string()).await;
    }

    async fn put(&self, secret: &str, text: &str) {
        let text = SecretString::from(text.to_owned());
        let store = self.stand_in().store();
        store.create_or_put(secret, &text).await.unwrap();
    }

    /// The document with a label.
    pub async fn read(&self, secret: &str, label: &str) -> Option<(Json, VersionId)> {
        let store = self.stand_in().store();
        let version = store.get(secret, Selector::Stage(label)).await.ok()?;
        let document = serde_json::from_str(version.value.expose_secret());
        Some((document.unwrap_or_default(), version.version_id))
    }

    /// The version of AWSCURRENT, its labels and the stored attributes of the pair's users.
    pub async fn state(&self) -> String {
        let description = self.stand_in().store().describe(&self.secret()).await;
        let labels = description.map(|description| description.versions).ok();
        let names = &self.names;
        let base = self.engine.stored(&names.user).await;
        let clone = self.engine.stored(&names.clone).await;
        format!("{labels:?} {base} {clone}")
    }

    /// Runs the program.
    pub async fn twinkey(&self, args: &[&str]) -> Printed {
        let output = Command::new(twinkey_program())
            .args(args)
            .env("TWINKEY_CONFIG", self.config())
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ENDPOINT_URL", self.stand_in().url())
            .env_remove("RUST_BACKTRACE")
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let error = stderr
            .split_once("error[")
            .and_then(|(_, rest)| rest.split_once("]: "));
        let hint = stderr.split_once("hint: ").map(|(_, hint)| hint);
        let hint = hint.and_then(|hint| hint.lines().next());
        Printed {
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            code: error.map(|(code, _)| code.to_owned()),
            hint: hint.unwrap_or_default().to_owned(),
            message: stderr,
        }
    }

    /// Sets or removes a key of the rotation.
    fn set(&self, key: &str, value: Option<&str>) {
        let text = std::fs::read_to_string(self.config()).unwrap();
        let start = format!("{key} = ");
        let mut lines: Vec<String> = (text.lines())
            .filter(|line| !line.starts_with(&start))
            .map(str::to_owned)
            .collect();
        lines.extend(value.map(|value| format!("{start}{value}")));
        std::fs::write(self.config(), lines.join("\n")).unwrap();
    }

    /// Edits the current document of a secret.
    async fn edit(&self, secret: &str, edit: impl FnOnce(&mut Map<String, Json>)) {
        let (mut document, _) = self.read(secret, stage::CURRENT).await.unwrap();
        edit(document.as_object_mut().unwrap());
        self.put(secret, &document.to_string()).await;
    }

    async fn sign_in(&self, login: Login) -> Result<E::Session, String> {
        let (secret, label) = match login {
            Login::Application => (self.secret(), stage::CURRENT),
            Login::Master => (self.master_secret(), stage::CURRENT),
            Login::Previous => (self.secret(), stage::PREVIOUS),
        };
        let (document, _) = self.read(&secret, label).await.unwrap();
        let field = |name: &str| document[name].as_str().unwrap().to_owned();
        let password = SecretString::from(field("password"));
        let (user, database) = (field("username"), &self.names.database);
        self.engine.sign_in(&user, &password, database).await
    }

    /// Gives a secret another port.
    async fn redirect(&self, secret: &str, port: u16) {
        let edit =
            |document: &mut Map<String, Json>| drop(document.insert("port".into(), json!(port)));
        self.edit(secret, edit).await;
    }

    /// Gives the application's secret the port of another server.
    pub async fn redirect_application(&mut self, server: impl std::any::Any, port: u16) {
        self.redirect(&self.secret(), port).await;
        self.kept.push(Box::new(server));
    }

    /// Gives both secrets the port of another server.
    pub async fn redirect_both(&mut self, server: HostileServer) {
        let port = server.port();
        self.redirect(&self.master_secret(), port).await;
        self.redirect_application(server, port).await;
    }

    /// Whether AWSCURRENT signs in.
    pub async fn current_signs_in(&self) -> Result<(), String> {
        self.sign_in(Login::Application).await.map(drop)
    }
}
