//! What the demo is shown on: its shops, their secrets in an embedded store, and the settings of one
//! worker for all of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::shop::{Premises, Shop};
use twinkey::config::settings::{
    GrantsMode, InUse, JournalLocation, Limits, Missed, Rotation, SecretsBackend, Server, Settings,
    StandbyMode, TlsSettings,
};
use twinkey::journal::{JournalError, SqliteJournal};
use twinkey::rotation::event::Events;
use twinkey::rotation::context::admin_cache::IdleAdmins;
use twinkey::rotation::run::Rotator;
use twinkey::rotation::context::RunContext;
use twinkey::rotation::context::host_limits::HostLimits;
use twinkey::schedule::{Schedule, WindowPlan};
use twinkey_core::aws::Aws;
use twinkey_core::secret::password::PasswordPolicy;
use twinkey_core::telemetry::Clock;
use twinkey_engines::{EngineOptions, TlsMode};
use twinkey_stores::StoreError;
use twinkey_stores::local::LocalStore;
use twinkey_testkit::LaunchError;
use twinkey_core::code::Diagnostic;

/// Why there is no stage.
#[derive(Debug, thiserror::Error)]
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
    #[error("the demo's dashboard cannot listen on this machine: {0}")]
    Endpoint(std::io::Error),
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
            Self::Endpoint(_) => "is the loopback interface up? `ip addr show lo` tells".into(),
            Self::Folder(_) => "make the temporary folder writable (TMPDIR chooses another)".into(),
        }
    }
}

/// A set stage. Dropping it stops the servers and removes their files.
pub struct Stage {
    pub settings: Settings,
    pub rotator: Rotator,
    _shops: Vec<Premises>,
    _folder: Folder,
}

impl Stage {
    /// Opens the shops and stores their secrets. A server that is not installed is an error before
    /// any is started.
    ///
    /// # Errors
    /// [`StageError`]
    pub async fn set(
        shops: &[Shop],
        min_interval: Duration,
        every: Duration,
        window: Duration,
    ) -> Result<Self, StageError> {
        for shop in shops {
            shop.look_for_server()?;
        }
        let folder = Folder::make()?;
        let store =
            LocalStore::open(&folder.file("secrets.db"), &folder.file("secrets.key")).await?;
        let mut premises = Vec::new();
        for shop in shops {
            let open = shop.open().await?;
            store
                .create_or_put(shop.master_secret(), &open.master)
                .await?;
            store.create_or_put(shop.secret(), &open.app).await?;
            premises.push(open);
        }
        let journal = SqliteJournal::open(&folder.file("journal.db")).await?;
        let settings = settings(shops, &folder, min_interval, every, window)?;
        Ok(Self {
            rotator: Rotator {
                context: RunContext {
                    store: Arc::new(store),
                    aws: Aws::default(),
                    rds: twinkey::rds::RdsEndpoints::default(),
                    clock: Clock::system(),
                    hosts: HostLimits::new(settings.limits.per_host),
                    idle_admins: IdleAdmins::none(),
                },
                journal: Arc::new(journal),
                events: Events::default(),
                worker: "demo".into(),
            },
            settings,
            _shops: premises,
            _folder: folder,
        })
    }
}

fn settings(
    shops: &[Shop],
    folder: &Folder,
    min_interval: Duration,
    every: Duration,
    window: Duration,
) -> Result<Settings, StageError> {
    let seconds = u32::try_from(every.as_secs()).unwrap_or(u32::MAX);
    let windows = WindowPlan::for_demo(Schedule::every_seconds(seconds), window)
        .map_err(|e| StageError::Other(e.to_string()))?;
    Ok(Settings {
        notify: Vec::new(),
        hooks: Vec::new(),
        server: Server {
            listen: ([127, 0, 0, 1], 0).into(),
            admin_token: None,
            tls: None,
        },
        journal: JournalLocation::Sqlite(folder.file("journal.db")),
        secrets: SecretsBackend::Local {
            path: folder.file("secrets.db"),
            key_file: folder.file("secrets.key"),
            serve: None,
        },
        limits: Limits {
            concurrency: 16,
            per_host: 4,
            store_writes_per_second: 40,
        },
        rotations: shops
            .iter()
            .map(|shop| rotation(*shop, &windows, min_interval))
            .collect(),
    })
}

fn rotation(shop: Shop, windows: &WindowPlan, min_interval: Duration) -> Rotation {
    Rotation {
        name: shop.rotation().into(),
        secret: shop.secret().into(),
        windows: Some(windows.clone()),
        master_secret: Some(shop.master_secret().into()),
        master_host: None,
        masters: None,
        engine: None,
        clone_suffix: "_clone".into(),
        standby: StandbyMode::Create,
        grants: GrantsMode::Sync,
        min_interval,
        in_use: InUse::Wait,
        retire_after: None,
        heartbeat: None,
        missed: Missed::Skip,
        probe: vec![shop.probe().into()],
        password: PasswordPolicy::default(),
        tls: TlsSettings {
            // The server is this machine's own, on loopback.
            mode: Some(TlsMode::Disable),
            ca_file: None,
        },
        options: EngineOptions::default(),
    }
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
