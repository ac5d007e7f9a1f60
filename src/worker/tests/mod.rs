//! Tests of the worker with a manual clock, no database and a store that fails as configured.

mod clock;
mod commands;
mod heartbeat;
mod housekeeping;
mod retries;
mod shared;
mod waiting;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc};

use crate::config::settings::Settings;
use crate::journal::{Journal, Run, RunQuery, RunState, SqliteJournal};
use crate::rotation::context::SharedContext;
use crate::rotation::error::RotationError;
use crate::rotation::event::Events;
use crate::rotation::run::Rotator;
use crate::store::Stores;
use crate::worker::next_tries::NextTries;
use crate::worker::scheduler::{Command, schedule};
use crate::worker::state::WorkerState;
use crate::worker::window_runner::{Shutdown, WindowRunner};
use twinkey_core::code::Code;
use twinkey_core::secret::Sensitive;
use twinkey_core::telemetry::clock::{Clock, ClockControl};
use twinkey_stores::{Description, SecretStore, SecretVersion, Selector, StoreError, VersionId};

/// Answer of the store to a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreAnswer {
    /// An error that is retried.
    Unavailable,
    /// An error that fails the run.
    NotFound,
    /// The secret is missing, and its ARN unknown.
    NoSecret,
    /// A panic.
    Panic,
}

pub(crate) struct FailingStore {
    answer: Mutex<StoreAnswer>,
    reads: AtomicUsize,
}

#[async_trait]
impl SecretStore for FailingStore {
    async fn describe(&self, secret: &str) -> Result<Description, StoreError> {
        if *self.answer.lock() == StoreAnswer::NoSecret {
            return Err(StoreError::NotFound {
                what: format!("secret {secret:?}"),
            });
        }
        Ok(Description {
            arn: format!("arn:{secret}"),
            name: secret.into(),
            versions: Default::default(),
            rotation_enabled: false,
            owning_service: None,
            kms_key: None,
            deleted: false,
            tags: Default::default(),
            primary_region: None,
        })
    }

    async fn get(&self, secret: &str, _: Selector<'_>) -> Result<SecretVersion, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        match *self.answer.lock() {
            StoreAnswer::Unavailable => Err(StoreError::Unavailable {
                reason: "store down".into(),
            }),
            StoreAnswer::Panic => panic!("in the store"),
            StoreAnswer::NotFound | StoreAnswer::NoSecret => Err(StoreError::NotFound {
                what: secret.into(),
            }),
        }
    }

    async fn put(&self, _: &str, _: &VersionId, _: &Sensitive, _: &str) -> Result<(), StoreError> {
        unreachable!("nothing can be read, so nothing is written")
    }

    async fn move_stage(
        &self,
        _: &str,
        _: &str,
        _: Option<&VersionId>,
        _: Option<&VersionId>,
    ) -> Result<(), StoreError> {
        unreachable!("nothing can be read, so nothing is moved")
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A worker with one rotation, `orders`.
struct TestWorker {
    state: WorkerState,
    control: ClockControl,
    store: Arc<FailingStore>,
    journal: Arc<dyn Journal>,
    commands: mpsc::Sender<Command>,
    task: tokio::task::JoinHandle<Result<(), RotationError>>,
    _folder: Option<tempfile::TempDir>,
}

fn at(text: &str) -> DateTime<Utc> {
    format!("{text}Z").parse().unwrap()
}

fn settings(keys: &str) -> Settings {
    let table = "[[rotation]]\nname = \"orders\"\nsecret = \"orders\"";
    crate::config::testing::local(&format!("{table}\n{keys}"))
}

/// A worker that does not run yet.
pub(crate) fn new_state(
    journal: Arc<dyn Journal>,
    keys: &str,
    now: &str,
    answer: StoreAnswer,
) -> (WorkerState, Arc<FailingStore>, ClockControl) {
    let settings = settings(keys);
    let (clock, control) = Clock::manual(at(now));
    let store = Arc::new(FailingStore {
        answer: Mutex::new(answer),
        reads: AtomicUsize::new(0),
    });
    let runner = WindowRunner {
        rotator: Rotator {
            context: SharedContext::new(
                Stores::single(Arc::clone(&store) as Arc<dyn SecretStore>),
                clock,
                4,
            ),
            journal,
            events: Events::default(),
            worker: "worker".into(),
        },
        permits: Arc::new(Semaphore::new(4)),
        shutdown: Shutdown::default(),
        next_tries: NextTries::default(),
    };
    let state = WorkerState::new(runner, settings.rotations);
    (state, store, control)
}

impl TestWorker {
    /// Starts at `now`.
    async fn begin(keys: &str, now: &str, answer: StoreAnswer) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journal = SqliteJournal::open(&folder.path().join("j.db")).await;
        let worker = Self::begin_on(Arc::new(journal.unwrap()), keys, now, answer).await;
        Self {
            _folder: Some(folder),
            ..worker
        }
    }

    /// Starts with a journal that other workers may share.
    async fn begin_on(
        journal: Arc<dyn Journal>,
        keys: &str,
        now: &str,
        answer: StoreAnswer,
    ) -> Self {
        let (state, store, control) = new_state(Arc::clone(&journal), keys, now, answer);
        let (commands, receiver) = mpsc::channel(1);
        let task = tokio::spawn({
            let state = state.clone();
            async move { schedule(&state, receiver).await }
        });
        let worker = Self {
            state,
            control,
            store,
            journal,
            commands,
            task,
            _folder: None,
        };
        worker
            .until("the schedules are armed", async || worker.state.is_armed())
            .await;
        worker
    }

    /// The runs in the order of their windows.
    async fn runs(&self) -> Vec<Run> {
        let everything = RunQuery {
            limit: 1000,
            ..RunQuery::default()
        };
        let mut runs = self.journal.runs(&everything).await.unwrap();
        runs.sort_by_key(|run| run.window.map(|w| w.opens));
        runs
    }

    /// The outcome of each window: its opening, the state and the error code.
    async fn windows(&self) -> Vec<(String, RunState, Option<Code>)> {
        let runs = self.runs().await;
        runs.iter()
            .map(|run| {
                let opens = run.window.unwrap().opens;
                let why = run.error.as_ref().map(|e| e.code);
                (opens.format("%Y-%m-%dT%H:%M").to_string(), run.state, why)
            })
            .collect()
    }

    async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        for _ in 0..12_000 {
            if holds().await {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("never: {what}; {:?}", self.windows().await);
    }

    async fn until_windows(&self, expected: &[(&str, RunState, Option<Code>)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(opens, state, why)| ((*opens).to_owned(), *state, *why))
            .collect();
        self.until(&format!("{expected:?}"), async || {
            self.windows().await == expected
        })
        .await;
    }

    /// Stops the worker; returns the outcome of each window.
    async fn end(self) -> Vec<(String, RunState, Option<Code>)> {
        self.commands.send(Command::Stop).await.unwrap();
        while !self.state.tasks.is_empty() {
            tokio::task::yield_now().await;
        }
        let windows = self.windows().await;
        self.task.await.unwrap().unwrap();
        windows
    }
}
