//! Config, store and journal, which most commands open.

use std::path::Path;
use std::sync::Arc;

use crate::config::file_access::{self, FileFinding};
use crate::config::settings::{JournalLocation, Rotation, SecretsBackend, Settings};
use crate::discovery::plan;
use crate::hook::before_flip::BeforeFlip;
use crate::journal::{Journal, JournalError, PostgresJournal, SqliteJournal};
use crate::rotation::context::SharedContext;
use crate::rotation::event::Events;
use crate::rotation::run::Rotator;
use crate::store::{SharedLimiters, Stores};
use crate::worker::renames;
use twinkey_core::tasks::Tasks;
use twinkey_core::telemetry::Clock;
use twinkey_core::telemetry::metrics::Metrics;

use super::actor::hostname;
use super::failure::Failure;
use super::selection::unknown;

/// The opened config, store and journal of a command.
pub(super) struct Context {
    pub settings: Settings,
    pub rotator: Rotator,
    pub metrics: Metrics,
}

/// Loads the config.
pub(super) fn settings(config: Option<&Path>) -> Result<Settings, Failure> {
    let environment = crate::config::process_environment();
    Ok(crate::config::load(config, &environment?)?)
}

/// The accepted files of a config with a finding.
///
/// # Errors
/// [`Failure::Config`] if a file is refused.
pub(super) fn check_files(
    config: Option<&Path>,
    settings: &Settings,
) -> Result<Vec<FileFinding>, Failure> {
    let environment = crate::config::process_environment()?;
    let path = crate::config::find(config, &environment)?;
    let findings = file_access::findings(&path, &environment, settings);
    file_access::refuse(&path, &findings)?;
    Ok(findings)
}

/// What a command does, which decides whether it creates files that are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It reads: no file is created, and a missing journal is empty.
    Read,
    /// It changes: a missing journal is created.
    Change,
    /// It is the worker: a missing journal is created, and a missing store if it is served.
    Serve,
}

impl Context {
    /// Opens the store and journal of a config.
    pub(super) async fn open(settings: Settings, purpose: Purpose) -> Result<Self, Failure> {
        let journal = open_journal(&settings.journal, purpose).await?;
        let served = matches!(
            settings.secrets,
            SecretsBackend::Local { serve: Some(_), .. }
        );
        let create = purpose == Purpose::Serve && served;
        let metrics = Metrics::default();
        let worker = format!("{}-{}", hostname(), std::process::id());
        let limits = Arc::clone(&journal);
        let limiters: SharedLimiters =
            Box::new(move |quota, writes| limits.store_writes(quota, writes));
        let stores = Stores::open(&settings, create, limiters, &metrics, &worker).await?;
        let mut context = shared_context(&settings, stores, metrics.clone());
        context.hosts.share(journal.host_slots(&context.tasks));
        Ok(Self {
            metrics,
            rotator: Rotator {
                context,
                journal,
                events: Events::default(),
                worker,
            },
            settings,
        })
    }

    /// Opens a config, passes it to `work`, and closes it whatever the outcome.
    pub(super) async fn with<T>(
        config: Option<&Path>,
        purpose: Purpose,
        work: impl AsyncFnOnce(&Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut context = Self::open(settings(config)?, purpose).await?;
        let journal = Arc::clone(&context.rotator.journal);
        let result = match add_discovered(&mut context.settings, &*journal).await {
            Ok(()) => {
                let rotations = context.settings.rotations.clone();
                context.rotator.context.pairs.rotations.replace(rotations);
                work(&context).await
            }
            Err(error) => Err(error.into()),
        };
        context.close().await;
        result
    }

    /// As [`Self::with`], but with the rotations of the config only.
    pub(super) async fn of_config<T>(
        config: Option<&Path>,
        purpose: Purpose,
        work: impl AsyncFnOnce(&Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let context = Self::open(settings(config)?, purpose).await?;
        let result = work(&context).await;
        context.close().await;
        result
    }

    /// Closes the store and the journal.
    pub(super) async fn close(&self) {
        self.rotator.context.stores.close().await;
        self.rotator.journal.close().await;
    }

    /// The rotation with a name.
    pub(super) fn rotation(&self, name: &str) -> Result<&Rotation, Failure> {
        find(&self.settings, name)
    }
}

/// The names of the rotations, in the order of the config.
pub(super) fn names(settings: &Settings) -> Vec<&str> {
    settings.rotations.iter().map(|r| r.name.as_str()).collect()
}

/// The rotation with a name in a config.
pub(super) fn find<'a>(settings: &'a Settings, name: &str) -> Result<&'a Rotation, Failure> {
    settings
        .rotations
        .iter()
        .find(|r| r.name == name)
        .ok_or_else(|| unknown(name, &names(settings)))
}

/// The services that the runs of a config share.
pub(super) fn shared_context(
    settings: &Settings,
    stores: Stores,
    metrics: Metrics,
) -> SharedContext {
    let context = SharedContext::new(stores, Clock::system(), settings.limits.per_host);
    (context.pairs.rotations).replace(settings.rotations.clone());
    SharedContext {
        tasks: Tasks::new(metrics.clone()),
        flip_hooks: Arc::new(BeforeFlip::new(settings, metrics)),
        ..context
    }
}

/// Opens the journal.
async fn open_journal(
    location: &JournalLocation,
    purpose: Purpose,
) -> Result<Arc<dyn Journal>, Failure> {
    Ok(match location {
        JournalLocation::Sqlite(path) if purpose == Purpose::Read && !path.exists() => {
            tracing::debug!(path = %path.display(), "there is no journal yet");
            Arc::new(SqliteJournal::empty(path).await?)
        }
        JournalLocation::Sqlite(path) => Arc::new(SqliteJournal::open(path).await?),
        JournalLocation::Postgres(location) => Arc::new(PostgresJournal::open(location).await?),
    })
}

/// Adds the rotations that `[[discover]]` has found, by the last listings of a worker or of
/// `twinkey discover`.
async fn add_discovered(
    settings: &mut Settings,
    journal: &dyn Journal,
) -> Result<(), JournalError> {
    if settings.discover.is_empty() {
        return Ok(());
    }
    let known = journal.known_secrets().await?;
    let rotations: Vec<&Rotation> = settings.rotations.iter().collect();
    let discovery = plan(
        &settings.discover,
        &known,
        &rotations,
        Clock::system().now(),
    );
    settings.rotations.extend(discovery.rotations);
    Ok(())
}

/// Records the secrets of the rotations that a command changes, so that they are recognised under another
/// name and keep their history when they are disarmed. A worker does so for all.
pub(super) async fn record_names(
    settings: &Settings,
    journal: &dyn Journal,
    is_changed: impl Fn(&str) -> bool,
) -> Result<(), JournalError> {
    let rotations = settings.rotations.iter().cloned().collect();
    let now = Clock::system().now();
    renames::record_names(journal, &rotations, is_changed, now).await
}

/// Opens the journal, adds the discovered rotations to the settings, passes both to `work`, and closes
/// the journal whatever the outcome.
pub(super) async fn with_journal<T>(
    mut settings: Settings,
    purpose: Purpose,
    work: impl AsyncFnOnce(&Settings, &dyn Journal) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let journal = open_journal(&settings.journal, purpose).await?;
    let result = match add_discovered(&mut settings, &*journal).await {
        Ok(()) => work(&settings, &*journal).await,
        Err(error) => Err(error.into()),
    };
    journal.close().await;
    result
}
