//! A shop to rotate: a PostgreSQL with a master as on RDS, the application's user with a table, both
//! secrets in a store, a config, and the twinkey binary to run on it.

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value as Json, json};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use twinkey::demo::postgres::{LocalPostgres, Options};
use twinkey::store::aws::AwsStore;
use twinkey::store::local::LocalStore;
use twinkey::store::{SecretStore, Selector, VersionId, stage};

use super::aws::{StandIn, sdk_config};
use super::moto::Moto;

pub const SECRET: &str = "prod/shop";
pub const MASTER_SECRET: &str = "prod/master";

/// Where the secrets of a shop are.
pub enum Backend {
    StandIn(StandIn),
    Moto(Moto),
    Local,
}

/// What differs from the usual shop.
pub struct Plan {
    pub version: Option<u32>,
    pub user: &'static str,
    /// More keys of `[[rotation]]`, as TOML lines.
    pub rotation: String,
    /// More sections of the config, as TOML.
    pub config: String,
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
            settings: vec!["log_statement=all".into(), "fsync=off".into()],
            tls: None,
        }
    }
}

pub struct Shop {
    pub server: LocalPostgres,
    pub backend: Backend,
    pub folder: TempDir,
    pub user: String,
    pub master: SecretString,
    store: Box<dyn SecretStore>,
}

impl Shop {
    /// A shop on the strict stand-in.
    pub async fn open(plan: Plan) -> Self {
        Self::open_with(plan, Backend::StandIn(StandIn::start().await)).await
    }

    pub async fn open_with(plan: Plan, backend: Backend) -> Self {
        let mut options = Options::new(LocalPostgres::find(plan.version).unwrap());
        options.settings.clone_from(&plan.settings);
        options.tls.clone_from(&plan.tls);
        let server = tokio::task::spawn_blocking(move || LocalPostgres::start(&options).unwrap())
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
        let shop = Self {
            user: plan.user.into(),
            master: SecretString::from("Master-0123456789-abcdef-XYZ"),
            server,
            backend,
            folder,
            store,
        };
        shop.populate().await;
        shop.configure(&plan);
        shop
    }

    async fn populate(&self) {
        let user = quoted(&self.user);
        let mut root = self.root("postgres").await;
        run(
            &mut root,
            &format!(
                "CREATE ROLE rdsmaster LOGIN CREATEROLE CREATEDB PASSWORD '{}'",
                self.master.expose_secret()
            ),
        )
        .await;
        let mut master = self
            .connect("rdsmaster", &self.master, "postgres")
            .await
            .unwrap();
        let first = "First-0123456789-abcdef-XYZ";
        run(
            &mut master,
            &format!("CREATE ROLE {user} LOGIN PASSWORD '{first}'"),
        )
        .await;
        run(&mut master, "CREATE DATABASE shop").await;
        run(
            &mut root,
            &format!("GRANT CREATE ON DATABASE shop TO {user}"),
        )
        .await;
        let mut app = self
            .connect(&self.user, &SecretString::from(first), "shop")
            .await
            .unwrap();
        run(&mut app, "CREATE SCHEMA work").await;
        run(&mut app, "CREATE TABLE work.orders (id int PRIMARY KEY)").await;
        self.put(
            MASTER_SECRET,
            &self.document("rdsmaster", self.master.expose_secret()),
        )
        .await;
        self.put(SECRET, &self.document(&self.user, first)).await;
    }

    /// A secret document with fields that twinkey does not know.
    pub fn document(&self, user: &str, password: &str) -> Json {
        json!({
            "engine": "postgres", "host": self.server.host(), "port": self.server.port(),
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

    /// The binary with the shop's config, ready to be given arguments.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("TWINKEY_CONFIG", self.config())
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env_remove("RUST_BACKTRACE")
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs the binary to its end.
    pub async fn twinkey(&self, args: &[&str]) -> Output {
        self.command(env!("CARGO_BIN_EXE_twinkey"))
            .args(args)
            .output()
            .await
            .unwrap()
    }

    /// Runs the binary to its end, which must be good; gives what it printed.
    pub async fn good(&self, args: &[&str]) -> String {
        let output = self.twinkey(args).await;
        assert!(
            output.status.success(),
            "twinkey {args:?}: {}\n{}",
            String::from_utf8_lossy(&output.stderr),
            String::from_utf8_lossy(&output.stdout)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs the binary; it must end with status 1 (or `status`) and this code, and a hint.
    pub async fn fails(&self, args: &[&str], status: i32, code: &str) -> String {
        let output = self.twinkey(args).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{args:?}: {said}");
        assert!(
            said.contains(&format!("error[{code}]: ")),
            "{args:?}: {said}"
        );
        assert!(said.contains("hint: "), "{args:?}: {said}");
        said
    }

    /// Runs the binary; it must end with status 1 and this code, and have changed nothing.
    pub async fn refuses(&self, args: &[&str], code: &str) -> String {
        let before = self.state().await;
        let said = self.fails(args, 1, code).await;
        assert_eq!(self.state().await, before, "{args:?}: {code}");
        said
    }

    /// Starts `serve` and waits until its endpoint at `address` answers.
    pub async fn serve(&self, address: &str) -> Child {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join("serve.log"))
            .unwrap();
        let mut child = self
            .command(env!("CARGO_BIN_EXE_twinkey"))
            .arg("serve")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let url = format!("http://{address}/readyz");
        until("the worker is ready", async || {
            if let Some(status) = child.try_wait().unwrap() {
                let log = std::fs::read_to_string(self.folder.path().join("serve.log")).unwrap();
                panic!("serve ended: {status}\n{log}");
            }
            reqwest::get(&url)
                .await
                .is_ok_and(|r| r.status().is_success())
        })
        .await;
        child
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
    pub async fn root(&self, database: &str) -> PgConnection {
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
    ) -> Result<PgConnection, sqlx::Error> {
        PgConnectOptions::new_without_pgpass()
            .host(self.server.host())
            .port(self.server.port())
            .username(user)
            .password(password.expose_secret())
            .database(database)
            .ssl_mode(PgSslMode::Prefer)
            .disable_statement_logging()
            .connect()
            .await
    }

    /// A connection with the credentials under a label.
    pub async fn signed_in(&self, label: &str) -> PgConnection {
        let (document, _) = self.read(label).await;
        let password = SecretString::from(document["password"].as_str().unwrap());
        self.connect(document["username"].as_str().unwrap(), &password, "shop")
            .await
            .unwrap_or_else(|e| panic!("{label} does not sign in: {e}"))
    }

    /// What must not have changed by a run that failed: the labels, the current document, the roles.
    pub async fn state(&self) -> String {
        let current = self.read(stage::CURRENT).await;
        let mut root = self.root("postgres").await;
        let roles: Vec<(String, Option<String>)> =
            sqlx::query_as("SELECT rolname::text, rolpassword FROM pg_authid ORDER BY 1")
                .fetch_all(&mut root)
                .await
                .unwrap();
        format!("{current:?} {:?} {roles:?}", self.labels().await)
    }

    /// The server's log so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.server.log_path()).unwrap()).into_owned()
    }
}

/// Carries out SQL.
pub async fn run(connection: &mut PgConnection, sql: &str) {
    connection
        .execute(AssertSqlSafe(sql.to_owned()))
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"));
}

/// One value.
pub async fn value<T>(connection: &mut PgConnection, sql: &str) -> T
where
    T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
        .fetch_one(connection)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"))
}

/// A quoted identifier.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
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
