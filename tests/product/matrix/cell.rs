//! One cell of the matrix: a pair with a master, a database, two secrets and a config of its own, on
//! a server that the cells of an engine share.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use aws_sdk_secretsmanager::primitives::Blob;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value as Json, json};
use tokio::process::Command;
use twinkey_stores::{SecretStore, Selector, VersionId, stage};
use twinkey_testkit::aws::{StandIn, sdk_config};
use twinkey_testkit::environment::FIRST;
use twinkey_testkit::locations::twinkey_program;

use super::row::{Fix, Login, Row, Step};
use super::{MatrixEngine, hint};

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
    pub kept: Vec<Box<dyn std::any::Any>>,
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
             region = \"eu-west-1\"\nendpoint_url = \"{}\"\n[[rotation]]\nname = \"shop\"\n\
             secret = \"{}\"\nmaster_secret = \"{}\"\nmin_interval = \"0s\"\n{}\n",
            engine.stand_in().url(),
            cell.secret(),
            cell.master_secret(),
            engine.rotation(),
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

    fn config(&self) -> PathBuf {
        self.folder.join("twinkey.toml")
    }

    fn stand_in(&self) -> &StandIn {
        self.engine.stand_in()
    }

    async fn restore(&self) {
        let (engine, names) = (self.engine, &self.names);
        let document = engine.document(names, &names.user, FIRST);
        self.put(&self.secret(), &document.to_string()).await;
        let document = engine.document(names, &names.master, MASTER_PASSWORD);
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

    fn filled(&self, text: &str) -> String {
        let names = &self.names;
        text.replace("{user}", &names.user)
            .replace("{clone}", &names.clone)
            .replace("{master}", &names.master)
            .replace("{database}", &names.database)
            .replace("{password}", FIRST)
    }

    fn filled_fields(&self, fields: &Map<String, Json>) -> Map<String, Json> {
        let filled = |value: &Json| match value {
            Json::String(text) => self.filled(text).into(),
            other => other.clone(),
        };
        let fields = fields.iter();
        fields
            .map(|(name, value)| (name.clone(), filled(value)))
            .collect()
    }

    /// Carries out the fix of a row, and returns its description.
    pub async fn mend(&mut self, row: &Row, hint: &str) -> Result<String, String> {
        if !hint.contains(&row.hint) {
            return Err(format!("the hint does not contain {:?}: {hint}", row.hint));
        }
        let mut hint = hint.to_owned();
        for (from, to) in &row.open {
            if !hint.contains(from) {
                return Err(format!("{from:?} is not in the hint: {hint}"));
            }
            hint = hint.replace(from, &self.filled(to));
        }
        let mut carried_out = Vec::new();
        match row.fix {
            Fix::Statements => {
                for statement in hint::statements(&hint) {
                    let done = self.engine.execute(&self.names.database, &statement).await;
                    done.map_err(|error| format!("the hint's {statement}: {error}"))?;
                    carried_out.push(statement);
                }
            }
            Fix::Keys => {
                for (key, value) in hint::keys(&hint) {
                    self.set(&key, Some(&value));
                    carried_out.push(format!("{key} = {value}"));
                }
            }
            Fix::Steps => carried_out.push(format!("({})", row.hint)),
        }
        if carried_out.is_empty() {
            return Err(format!("the hint has no statement and no key: {hint}"));
        }
        for step in &row.steps {
            self.step(step).await;
        }
        Ok(carried_out.join("; "))
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

    /// Gives the application's secret another port.
    pub async fn redirect(&self, port: u16) {
        let edit =
            |document: &mut Map<String, Json>| drop(document.insert("port".into(), json!(port)));
        self.edit(&self.secret(), edit).await;
    }

    /// Gives the master secret another port.
    pub async fn redirect_master(&self, port: u16) {
        let edit =
            |document: &mut Map<String, Json>| drop(document.insert("port".into(), json!(port)));
        self.edit(&self.master_secret(), edit).await;
    }

    /// Whether AWSCURRENT signs in.
    pub async fn current_signs_in(&self) -> Result<(), String> {
        self.sign_in(Login::Application).await.map(drop)
    }

    /// Carries out one step.
    pub async fn step(&mut self, step: &Step) {
        let faults = self.engine.stand_in().faults();
        let (secret, master) = (self.secret(), self.master_secret());
        match step {
            Step::Sql(sql) => self.execute(&self.names.database, sql).await,
            Step::ServerSql(sql) => self.execute(E::SERVER_DATABASE, sql).await,
            Step::Secret(fields) => {
                let fields = self.filled_fields(fields);
                self.edit(&secret, |document| document.extend(fields)).await;
            }
            Step::SecretWithout(field) => self.edit(&secret, |d| drop(d.remove(field))).await,
            Step::SecretOfBytes(length) => {
                let pad = |document: &mut Map<String, Json>| {
                    document.insert("padding".into(), json!(""));
                    let missing = length - Json::Object(document.clone()).to_string().len();
                    document.insert("padding".into(), json!("x".repeat(missing)));
                };
                self.edit(&secret, pad).await;
            }
            Step::Master(fields) => {
                let fields = self.filled_fields(fields);
                self.edit(&master, |document| document.extend(fields)).await;
            }
            Step::MasterWithout(field) => self.edit(&master, |d| drop(d.remove(field))).await,
            Step::SecretText(text) => self.put(&secret, text).await,
            Step::SecretBinary => {
                let client = self.client();
                let put = client.put_secret_value().secret_id(secret);
                let binary = Blob::new([0, 1, 2]);
                put.secret_binary(binary).send().await.unwrap();
            }
            Step::Restore => self.restore().await,
            Step::DeleteSecret => self.delete(secret).await,
            Step::DeleteMaster => self.delete(master).await,
            Step::Set(key, value) => self.set(key, Some(&self.filled(value))),
            Step::Unset(key) => self.set(key, None),
            Step::Config(from, to) => {
                let text = std::fs::read_to_string(self.config()).unwrap();
                let (from, to) = (self.filled(from), self.filled(to));
                assert!(text.contains(&from), "{from} is not in {text}");
                std::fs::write(self.config(), text.replace(&from, &to)).unwrap();
            }
            Step::Sessions(login, count) => {
                for _ in 0..*count {
                    let session = self.sign_in(*login).await.unwrap();
                    self.sessions.push(session);
                }
            }
            Step::AllSessions(login) => {
                while let Ok(session) = self.sign_in(*login).await {
                    self.sessions.push(session);
                }
            }
            Step::Held(login, sql) => {
                let mut session = self.sign_in(*login).await.unwrap();
                let sql = self.filled(sql);
                E::execute_in(&mut session, &sql).await;
                self.sessions.push(session);
            }
            Step::CloseSessions => {
                for session in self.sessions.drain(..) {
                    E::close(session).await;
                }
            }
            Step::Run(args) => {
                let args: Vec<&str> = args.iter().map(String::as_str).collect();
                let printed = self.twinkey(&args).await;
                assert_eq!(printed.status, Some(0), "{args:?}: {}", printed.message);
            }
            Step::NoJournal => {
                for file in ["journal.db", "journal.db-wal", "journal.db-shm"] {
                    // The last two exist after a kill only.
                    let _ = std::fs::remove_file(self.folder.join(file));
                }
            }
            Step::ForeignPending => {
                let id = VersionId(uuid::Uuid::new_v4().to_string());
                let (engine, names) = (self.engine, &self.names);
                let document = engine.document(names, &names.user, "Another-0123456789");
                let value = SecretString::from(document.to_string());
                let store = self.stand_in().store();
                let put = store.put(&secret, &id, &value, stage::PENDING);
                put.await.unwrap();
            }
            Step::NoPending => {
                let store = self.stand_in().store();
                let description = store.describe(&secret).await.unwrap();
                let pending = description.labelled(stage::PENDING).cloned();
                let removed = store.move_stage(&secret, stage::PENDING, pending.as_ref(), None);
                removed.await.unwrap();
            }
            Step::Describe(fields) => {
                faults.patch_description(&secret, Json::Object(fields.clone()));
            }
            Step::StoreAnswers(action, error) => {
                let [action, error] = [action, error].map(|text| &*text.clone().leak());
                faults.answer(action, usize::MAX, 400, error);
            }
            Step::StoreWorks => faults.forget_answers(),
            Step::Engine(name) => E::act(self, name).await,
        }
    }

    async fn execute(&self, database: &str, statement: &str) {
        let statement = self.filled(statement);
        let done = self.engine.execute(database, &statement).await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    fn client(&self) -> aws_sdk_secretsmanager::Client {
        aws_sdk_secretsmanager::Client::new(&sdk_config(&self.stand_in().url()))
    }

    async fn delete(&self, secret: String) {
        let client = self.client();
        let delete = client.delete_secret().secret_id(secret);
        let delete = delete.force_delete_without_recovery(true);
        delete.send().await.unwrap();
    }
}
