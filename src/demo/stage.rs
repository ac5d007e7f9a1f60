//! What the demo is shown on: a PostgreSQL with a master that is no superuser (as on RDS), an
//! application's user with a table, and both secrets in an embedded store.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};

use crate::config::settings::{
    GrantsMode, InUse, JournalLocation, Limits, Missed, Rotation, SecretsBackend, Server, Settings,
    StandbyMode, TlsSettings,
};
use crate::demo::postgres::{LaunchError, LocalPostgres, Options};
use crate::engine::{EngineOptions, TlsMode};
use crate::journal::{JournalError, SqliteJournal};
use crate::rotation::event::Events;
use crate::rotation::run::Rotator;
use crate::rotation::site::{HostLimits, Site};
use crate::schedule::{Schedule, WindowPlan};
use crate::secret::Sensitive;
use crate::secret::password::PasswordPolicy;
use crate::store::StoreError;
use crate::store::local::LocalStore;
use crate::telemetry::Clock;

/// The application's secret.
pub const SECRET: &str = "demo/shop";
/// The master's.
pub const MASTER_SECRET: &str = "demo/master";

/// Why there is no stage.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StageError {
    #[error(transparent)]
    Launch(#[from] LaunchError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("the demo's database cannot be set up: {0}")]
    Database(#[from] sqlx::Error),
    #[error("the demo's folder cannot be made: {0}")]
    Folder(#[from] std::io::Error),
    #[error("{0}")]
    Other(String),
}

impl StageError {
    /// What to do now.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Launch(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::Journal(error) => error.hint(),
            Self::Database(_) | Self::Other(_) => {
                "this is a defect of the demo: please report it".into()
            }
            Self::Folder(_) => "make the temporary folder writable (TMPDIR chooses another)".into(),
        }
    }
}

/// A set stage. Dropping it stops the server and removes its files.
pub struct Stage {
    pub settings: Settings,
    pub rotator: Rotator,
    _server: LocalPostgres,
    _folder: Folder,
}

impl Stage {
    /// Starts the server, makes the users and a table, and stores both secrets.
    ///
    /// # Errors
    /// [`StageError`]
    pub async fn set(
        min_interval: Duration,
        every: Duration,
        window: Duration,
    ) -> Result<Self, StageError> {
        let options = Options::new(LocalPostgres::find(None)?);
        let server = tokio::task::spawn_blocking(move || LocalPostgres::start(&options))
            .await
            .map_err(|e| StageError::Other(e.to_string()))??;
        let folder = Folder::make()?;
        let master = password()?;
        let app = password()?;
        populate(&server, &master, &app).await?;

        let store =
            LocalStore::open(&folder.file("secrets.db"), &folder.file("secrets.key")).await?;
        let document = |user: &str, password: &Sensitive| {
            SecretString::from(
                serde_json::json!({
                    "engine": "postgres", "host": server.host(), "port": server.port(),
                    "username": user, "password": password.expose_secret(), "dbname": "shop",
                    "note": "fields that twinkey does not know survive",
                })
                .to_string(),
            )
        };
        store
            .create_or_put(MASTER_SECRET, &document("rdsmaster", &master))
            .await?;
        store.create_or_put(SECRET, &document("app", &app)).await?;
        let journal = SqliteJournal::open(&folder.file("journal.db")).await?;
        let settings = settings(&folder, min_interval, every, window)?;
        Ok(Self {
            rotator: Rotator {
                site: Site {
                    store: Arc::new(store),
                    clock: Clock::system(),
                    hosts: HostLimits::new(settings.limits.per_host),
                },
                journal: Arc::new(journal),
                events: Events::default(),
                worker: "demo".into(),
            },
            settings,
            _server: server,
            _folder: folder,
        })
    }
}

fn password() -> Result<Sensitive, StageError> {
    PasswordPolicy::default()
        .generate()
        .map_err(|_| StageError::Other("the operating system gave no randomness".into()))
}

/// As on RDS: the superuser stays out of it, the master is made with CREATEROLE, and it makes the
/// application's user.
async fn populate(
    server: &LocalPostgres,
    master: &Sensitive,
    app: &Sensitive,
) -> Result<(), StageError> {
    let superuser = server.superuser();
    let connect = |user: &str, password: &Sensitive, database: &str| {
        PgConnectOptions::new_without_pgpass()
            .host(server.host())
            .port(server.port())
            .username(user)
            .password(password.expose_secret())
            .database(database)
            .ssl_mode(PgSslMode::Disable)
            .disable_statement_logging()
    };
    let quoted = |p: &Sensitive| format!("'{}'", p.expose_secret().replace('\'', "''"));
    let mut root = connect(&superuser.username, &superuser.password, "postgres")
        .connect()
        .await?;
    let master_sql = format!(
        "CREATE ROLE rdsmaster LOGIN CREATEROLE CREATEDB PASSWORD {}",
        quoted(master)
    );
    root.execute(AssertSqlSafe(master_sql)).await?;
    let mut rds = connect("rdsmaster", master, "postgres").connect().await?;
    let app_sql = format!("CREATE ROLE app LOGIN PASSWORD {}", quoted(app));
    rds.execute(AssertSqlSafe(app_sql)).await?;
    rds.execute("CREATE DATABASE shop").await?;
    rds.execute("GRANT CREATE ON DATABASE shop TO app").await?;
    let mut shop = connect("app", app, "shop").connect().await?;
    shop.execute("CREATE SCHEMA app").await?;
    shop.execute("CREATE TABLE app.orders (id bigserial PRIMARY KEY, made_by name NOT NULL DEFAULT session_user)")
        .await?;
    Ok(())
}

fn settings(
    folder: &Folder,
    min_interval: Duration,
    every: Duration,
    window: Duration,
) -> Result<Settings, StageError> {
    let seconds = u32::try_from(every.as_secs()).unwrap_or(u32::MAX);
    let windows = WindowPlan::for_demo(Schedule::every_seconds(seconds), window)
        .map_err(|e| StageError::Other(e.to_string()))?;
    Ok(Settings {
        server: Server {
            listen: ([127, 0, 0, 1], 0).into(),
            admin_token: None,
        },
        journal: JournalLocation::Sqlite(folder.file("journal.db")),
        secrets: SecretsBackend::Local {
            path: folder.file("secrets.db"),
            key_file: folder.file("secrets.key"),
        },
        limits: Limits {
            concurrency: 16,
            per_host: 4,
            store_writes_per_second: 40,
        },
        rotations: vec![Rotation {
            name: "shop".into(),
            secret: SECRET.into(),
            windows: Some(windows),
            master_secret: Some(MASTER_SECRET.into()),
            engine: None,
            clone_suffix: "_clone".into(),
            standby: StandbyMode::Create,
            grants: GrantsMode::Sync,
            min_interval,
            in_use: InUse::Wait,
            missed: Missed::Skip,
            probe: vec!["SELECT count(*) FROM app.orders WHERE false".into()],
            password: PasswordPolicy::default(),
            tls: TlsSettings {
                // The server is this machine's own, on loopback.
                mode: Some(TlsMode::Disable),
                ca_file: None,
            },
            options: EngineOptions::default(),
        }],
    })
}

/// A private temporary folder, removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn make() -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let path = std::env::temp_dir().join(format!("twinkey-demo-{}", uuid::Uuid::new_v4()));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is in the temporary folder, where it is swept up in time.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
