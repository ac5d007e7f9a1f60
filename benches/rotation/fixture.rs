//! The fixture of the benchmarks: many pairs on one PostgreSQL, and a worker of the library in this
//! process.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use twinkey::config::settings::Rotation;
use twinkey::journal::{RunState, SqliteJournal};
use twinkey::rotation::context::SharedContext;
use twinkey::rotation::context::admin_cache::IdleAdmins;
use twinkey::rotation::error::RotationError;
use twinkey::rotation::event::{Event, Events, Subscription};
use twinkey::rotation::run::Rotator;
use twinkey::schedule::{Schedule, WindowPlan};
use twinkey::store::Stores;
use twinkey::worker::next_tries::NextTries;
use twinkey::worker::scheduler::{Command, schedule};
use twinkey::worker::state::WorkerState;
use twinkey::worker::window_runner::{Shutdown, WindowRunner};
use twinkey_core::secret::Sensitive;
use twinkey_core::telemetry::Clock;
use twinkey_stores::{Description, SecretStore, SecretVersion, Selector, StoreError, VersionId};

use crate::Result;
use twinkey_testkit::environment::many_pairs::ManyPairs;

/// The value of `serve`.
const MASTER_IDLE: Duration = Duration::from_secs(3);
pub const CONCURRENCY: usize = 16;

/// The rotations of a fixture, with its config.
pub fn rotations(fixture: &ManyPairs, each: &str) -> Result<Vec<Rotation>> {
    let text = fixture.config("[secrets]\nbackend = \"local\"", each);
    let settings = twinkey::config::parse(Path::new("bench.toml"), &text, &BTreeMap::new())?;
    Ok(settings.rotations)
}

/// Sets the next window of a rotation to `at`, and the window after it to decades later.
pub fn opens_at(rotation: &mut Rotation, at: DateTime<Utc>) -> Result<()> {
    let second = u32::try_from(at.timestamp())?;
    let schedule = Schedule::every_seconds(second);
    rotation.windows = Some(WindowPlan::for_demo(schedule, Duration::from_secs(3600))?);
    Ok(())
}

/// A whole second at least `seconds` in the future.
pub fn soon(seconds: i64) -> DateTime<Utc> {
    let at = Clock::system().now() + TimeDelta::seconds(seconds + 1);
    DateTime::from_timestamp(at.timestamp(), 0).unwrap_or(at)
}

/// A rotator with the components of `serve` on this store.
pub async fn rotator(
    store: Arc<dyn SecretStore>,
    journal: &Path,
    masters: bool,
) -> Result<Rotator> {
    let journal = SqliteJournal::open(journal).await?;
    Ok(Rotator {
        context: SharedContext {
            idle_admins: if masters {
                IdleAdmins::new(MASTER_IDLE, CONCURRENCY)
            } else {
                IdleAdmins::none()
            },
            ..SharedContext::new(Stores::single(store), Clock::system(), CONCURRENCY)
        },
        journal: Arc::new(journal),
        events: Events::default(),
        worker: "bench".into(),
    })
}

/// A running worker.
pub struct BenchWorker {
    events: Subscription,
    commands: mpsc::Sender<Command>,
    worker: JoinHandle<std::result::Result<(), RotationError>>,
}

impl BenchWorker {
    pub async fn begin(rotator: Rotator, rotations: Vec<Rotation>) -> Self {
        let events = rotator.events.subscribe();
        let runner = WindowRunner {
            rotator,
            permits: Arc::new(Semaphore::new(CONCURRENCY)),
            shutdown: Shutdown::default(),
            next_tries: NextTries::default(),
        };
        let state = WorkerState::new(runner, rotations);
        let (commands, heard) = mpsc::channel(1);
        let worker = tokio::spawn({
            let state = state.clone();
            async move { schedule(&state, heard).await }
        });
        while !state.is_armed() {
            tokio::task::yield_now().await;
        }
        Self {
            events,
            commands,
            worker,
        }
    }

    /// Waits until `count` runs have succeeded, and returns the time of the last. A failed run is
    /// an error.
    pub async fn succeeded(&mut self, count: usize) -> Result<DateTime<Utc>> {
        let (mut done, mut last) = (0, DateTime::UNIX_EPOCH);
        while done < count {
            let happened = self.events.next_event().await;
            match &happened.event {
                Event::RunFinished { run } if run.state == RunState::Succeeded => {
                    done += 1;
                    last = happened.at;
                }
                Event::RunFinished { run } if run.state != RunState::Deferred => {
                    return Err(format!("{}: {:?}", run.rotation, run.error).into());
                }
                _ => {}
            }
        }
        Ok(last)
    }

    pub async fn end(self) -> Result<()> {
        self.commands.send(Command::Stop).await?;
        Ok(self.worker.await??)
    }
}

/// A store that records the time of the first write of each secret.
pub struct RecordingStore {
    store: Arc<dyn SecretStore>,
    clock: Clock,
    written: Mutex<BTreeMap<String, DateTime<Utc>>>,
}

impl RecordingStore {
    pub fn new(store: Arc<dyn SecretStore>) -> Self {
        Self {
            store,
            clock: Clock::system(),
            written: Mutex::default(),
        }
    }

    /// The time of the first write of each secret.
    pub fn written(&self) -> BTreeMap<String, DateTime<Utc>> {
        self.written.lock().clone()
    }
}

#[async_trait]
impl SecretStore for RecordingStore {
    async fn describe(&self, secret: &str) -> std::result::Result<Description, StoreError> {
        self.store.describe(secret).await
    }

    async fn get(
        &self,
        secret: &str,
        which: Selector<'_>,
    ) -> std::result::Result<SecretVersion, StoreError> {
        self.store.get(secret, which).await
    }

    async fn put(
        &self,
        secret: &str,
        id: &VersionId,
        value: &Sensitive,
        stage: &str,
    ) -> std::result::Result<(), StoreError> {
        let done = self.store.put(secret, id, value, stage).await;
        let now = self.clock.now();
        let mut written = self.written.lock();
        written.entry(secret.to_owned()).or_insert(now);
        done
    }

    async fn move_stage(
        &self,
        secret: &str,
        stage: &str,
        from: Option<&VersionId>,
        to: Option<&VersionId>,
    ) -> std::result::Result<(), StoreError> {
        self.store.move_stage(secret, stage, from, to).await
    }

    async fn ping(&self) -> std::result::Result<(), StoreError> {
        self.store.ping().await
    }
}
