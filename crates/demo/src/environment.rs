//! The environment of the demo: databases, their secrets in an embedded store, and the settings of
//! one worker.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::app::{App, RunningApp};
use twinkey::config::settings::{
    GrantsMode, InUse, JournalLocation, Limits, Missed, Readers, Rotation, RotationSeries,
    SecretsBackend, Server, Settings, StandbyMode, Strategy, TlsSettings,
};
use twinkey::journal::{JournalError, SqliteJournal};
use twinkey::rotation::context::SharedContext;
use twinkey::rotation::event::Events;
use twinkey::rotation::run::Rotator;
use twinkey::schedule::{Schedule, WindowPlan};
use twinkey::store::Stores;
use twinkey_core::code::Diagnostic;
use twinkey_core::secret::password::PasswordPolicy;
use twinkey_core::telemetry::Clock;
use twinkey_engines::{EngineOptions, TlsMode};
use twinkey_stores::StoreError;
use twinkey_stores::local::LocalStore;
use twinkey_testkit::LaunchError;

/// Errors of the demo's start.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
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
    #[error("the demo's dashboard cannot listen on this machine: {0}")]
    Endpoint(std::io::Error),
    #[error("{0}")]
    Other(String),
}

impl DemoError {
    /// The remedy.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Launch(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::Journal(error) => error.hint(),
            Self::Database(_) | Self::Other(_) => {
                "this is a defect of the demo: please report it".into()
            }
            Self::Endpoint(_) => "bring the loopback interface up (`ip link set lo up`)".into(),
            Self::Folder(_) => "make the temporary folder writable (TMPDIR chooses another)".into(),
        }
    }
}

/// A running environment. Dropping it stops the servers and removes their files.
pub struct Environment {
    pub settings: Settings,
    pub rotator: Rotator,
    _apps: Vec<RunningApp>,
    _folder: Folder,
}

impl Environment {
    /// Starts the servers and stores their secrets. If a server is not installed, none is started.
    ///
    /// # Errors
    /// [`DemoError`]
    pub async fn start(
        apps: &[App],
        min_interval: Duration,
        every: Duration,
        window: Duration,
    ) -> Result<Self, DemoError> {
        for app in apps {
            app.find_server()?;
        }
        let folder = Folder::make()?;
        let store =
            LocalStore::open(&folder.file("secrets.db"), &folder.file("secrets.key")).await?;
        let mut running = Vec::new();
        for app in apps {
            let open = app.open().await?;
            store
                .create_or_put(app.master_secret(), &open.master)
                .await?;
            store.create_or_put(app.secret(), &open.app).await?;
            running.push(open);
        }
        let journal = SqliteJournal::open(&folder.file("journal.db")).await?;
        let settings = settings(apps, &folder, min_interval, every, window)?;
        Ok(Self {
            rotator: Rotator {
                context: SharedContext::new(
                    Stores::single(Arc::new(store)),
                    Clock::system(),
                    settings.limits.per_host,
                ),
                journal: Arc::new(journal),
                events: Events::default(),
                worker: "demo".into(),
            },
            settings,
            _apps: running,
            _folder: folder,
        })
    }
}

fn settings(
    apps: &[App],
    folder: &Folder,
    min_interval: Duration,
    every: Duration,
    window: Duration,
) -> Result<Settings, DemoError> {
    let seconds = u32::try_from(every.as_secs()).unwrap_or(u32::MAX);
    let windows = WindowPlan::for_demo(Schedule::every_seconds(seconds), window)
        .map_err(|e| DemoError::Other(e.to_string()))?;
    Ok(Settings {
        notify: Vec::new(),
        hooks: Vec::new(),
        server: Server {
            listen: ([127, 0, 0, 1], 0).into(),
            admin_token: None,
            tokens: Vec::new(),
            tls: None,
            metrics: RotationSeries::All,
        },
        journal: JournalLocation::Sqlite(folder.file("journal.db")),
        keep: Duration::from_secs(400 * 86_400),
        secrets: SecretsBackend::Local {
            path: folder.file("secrets.db"),
            key_file: folder.file("secrets.key"),
            serve: None,
        },
        stores: Vec::new(),
        limits: Limits {
            concurrency: 16,
            per_host: 4,
            store_writes_per_second: 40,
        },
        rotations: apps
            .iter()
            .map(|app| rotation(*app, &windows, min_interval))
            .collect(),
        discover: Vec::new(),
    })
}

fn rotation(app: App, windows: &WindowPlan, min_interval: Duration) -> Rotation {
    Rotation {
        name: app.rotation().into(),
        secret: app.secret().into(),
        store: None,
        windows: Some(windows.clone()),
        master_secret: Some(app.master_secret().into()),
        master_host: None,
        masters: None,
        engine: None,
        strategy: Strategy::Alternating,
        clone_suffix: "_clone".into(),
        standby: StandbyMode::Create,
        grants: GrantsMode::Sync,
        min_interval,
        in_use: InUse::Wait,
        readers: Readers::default(),
        poolers: Vec::new(),
        retire_after: None,
        heartbeat: None,
        missed: Missed::Skip,
        paused: false,
        probe: vec![app.probe().into()],
        password: PasswordPolicy::default(),
        tls: TlsSettings {
            // The server listens on loopback.
            mode: Some(TlsMode::Disable),
            ca_file: None,
        },
        options: EngineOptions::default(),
        discovered: None,
    }
}

/// A private temporary folder. Dropping it removes it.
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
        // The system removes the rest of the temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
