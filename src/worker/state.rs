//! State that the scheduler and the admin endpoint share: the active rotations and running tasks.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use parking_lot::RwLock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::config::settings::{Rotation, RotationSeries};
use crate::discovery::FoundSecret;
use crate::journal::{AuditAction, Cause, Claim, Run, Trigger};
use crate::rotation::commands::rollback::{RollbackOrder, RollbackResult};
use crate::rotation::context::rotation_set::{ActiveRotations, RotationSet};
use crate::rotation::error::RotationError;
use crate::rotation::run::version_id;
use crate::rotation::run::{Order, Rotator};
use crate::worker::discovery::ConfiguredRotations;
use crate::worker::heartbeat::Heartbeats;
use crate::worker::heartbeat::states::HeartbeatStates;
use crate::worker::readiness::LoggedProblems;
use crate::worker::standby_sessions::StandbySessions;
use crate::worker::summaries::{Summaries, SummaryCache};
use crate::worker::view_filter::{Filterable, ViewFilter, ViewQuery};
use crate::worker::views::{LiveStates, RotationView, view};
use crate::worker::window_runner::WindowRunner;
use twinkey_core::code::Code;
use twinkey_core::tasks::Tasks;
use twinkey_core::telemetry::metrics::Metrics;
use twinkey_stores::VersionId;

/// Limit of concurrent readers of events. Half of the endpoint's connections remain for other requests.
#[must_use]
pub fn max_event_readers() -> usize {
    (twinkey_stores::listener::descriptors::max_connections() / 2).max(1)
}

/// Limit of concurrent observations besides the runs, also of `twinkey check`.
pub const MAX_OBSERVATIONS: usize = 8;

/// Shared state of the running worker. Cheap to clone.
#[derive(Clone)]
pub struct WorkerState {
    pub runner: WindowRunner,
    pub tasks: Tasks,
    pub metrics: Metrics,
    /// The rotations that have series of their own.
    pub rotation_series: RotationSeries,
    /// Results of the last heartbeats.
    pub heartbeats: HeartbeatStates,
    /// Permits of readers of events.
    pub event_readers: Arc<Semaphore>,
    /// Permits of observations besides the runs.
    observation_permits: Arc<Semaphore>,
    active: ActiveRotations,
    /// The rotations of the config, from which the active ones are derived.
    configured: Arc<ArcSwap<ConfiguredRotations>>,
    /// The secrets that `[[discover]]` concerns, as of the last arming.
    pub(super) found: Arc<RwLock<Arc<[FoundSecret]>>>,
    /// The changes of listings that the active rotations include.
    pub(super) armed_revision: Arc<AtomicI64>,
    armed: watch::Sender<bool>,
    summaries: Arc<tokio::sync::Mutex<SummaryCache>>,
    pub(super) standby_sessions: StandbySessions,
    pub(super) logged_problems: LoggedProblems,
}

/// Options of a manual run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RotateOptions {
    pub force: bool,
    pub end_sessions: bool,
}

impl WorkerState {
    #[must_use]
    pub fn new(runner: WindowRunner, rotations: Vec<Rotation>) -> Self {
        let active = runner.rotator.context.pairs.rotations.clone();
        let configured = ConfiguredRotations::new(rotations, Vec::new());
        active.activate(Arc::clone(&configured.rotations));
        let tasks = runner.rotator.context.tasks.clone();
        Self {
            configured: Arc::new(ArcSwap::from_pointee(configured)),
            found: Arc::default(),
            armed_revision: Arc::default(),
            runner,
            metrics: tasks.metrics().clone(),
            tasks,
            rotation_series: RotationSeries::default(),
            heartbeats: HeartbeatStates::default(),
            event_readers: Arc::new(Semaphore::new(max_event_readers())),
            observation_permits: Arc::new(Semaphore::new(MAX_OBSERVATIONS)),
            active,
            armed: watch::Sender::default(),
            summaries: Arc::default(),
            standby_sessions: StandbySessions::default(),
            logged_problems: LoggedProblems::default(),
        }
    }

    /// What the heartbeats of this worker use.
    #[must_use]
    pub fn heartbeats(&self) -> Heartbeats {
        Heartbeats {
            context: self.runner.rotator.context.clone(),
            journal: Arc::clone(&self.runner.rotator.journal),
            worker: self.runner.rotator.worker.clone(),
            events: self.runner.rotator.events.clone(),
            rotations: self.active.clone(),
            states: self.heartbeats.clone(),
            shutdown: self.runner.shutdown.drain.clone(),
        }
    }

    /// The rotations of the active config, in its order.
    #[must_use]
    pub fn rotations(&self) -> Arc<RotationSet> {
        self.active.get()
    }

    /// The rotations of the config, and the sources of further ones.
    #[must_use]
    pub fn configured(&self) -> Arc<ConfiguredRotations> {
        self.configured.load_full()
    }

    /// Sets the rotations of a new config, which the next arming activates.
    pub fn configure(&self, configured: ConfiguredRotations) {
        self.configured.store(Arc::new(configured));
    }

    /// Activates a set of rotations. Running rotations continue under the previous one.
    pub fn replace(&self, rotations: Arc<RotationSet>) {
        self.active.activate(rotations);
    }

    /// One rotation by its name.
    #[must_use]
    pub fn rotation(&self, name: &str) -> Option<Arc<Rotation>> {
        self.rotations().get(name).cloned()
    }

    /// Whether the schedules have been armed.
    #[must_use]
    pub fn is_armed(&self) -> bool {
        *self.armed.borrow()
    }

    /// Waits until the schedules have been armed.
    pub(super) async fn until_armed(&self) {
        // Fails only when the sender is gone, and `self` holds it.
        let _ = self.armed.subscribe().wait_for(|armed| *armed).await;
    }

    pub(super) fn set_armed(&self) {
        self.armed.send_replace(true);
    }

    /// The present time of the worker's clock.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.runner.rotator.context.clock.now()
    }

    /// What this worker knows of the rotations besides the journal.
    #[must_use]
    pub fn live(&self) -> LiveStates {
        LiveStates {
            endpoints: self.runner.rotator.context.endpoints.clone(),
            next_tries: self.runner.next_tries.clone(),
            standby_sessions: self.standby_sessions.clone(),
        }
    }

    /// Every rotation, as `status` shows it.
    ///
    /// # Errors
    /// `journal_unavailable`
    pub async fn views(&self) -> Result<Vec<RotationView>, RotationError> {
        let rotations = self.rotations();
        self.views_of(&rotations.iter().collect::<Vec<_>>()).await
    }

    /// The summaries of the active rotations, as the journal has them now.
    ///
    /// # Errors
    /// `journal_unavailable`
    pub async fn summaries(&self) -> Result<Arc<Summaries>, RotationError> {
        let journal = &*self.runner.rotator.journal;
        let mut cache = self.summaries.lock().await;
        Ok(cache.refreshed(self.rotations(), journal).await?)
    }

    /// Sets the summaries that the next list begins with.
    pub(super) async fn set_summaries(&self, cache: SummaryCache) {
        *self.summaries.lock().await = cache;
    }

    /// These rotations, as `status` shows them.
    ///
    /// # Errors
    /// `journal_unavailable`
    pub async fn views_of(
        &self,
        rotations: &[&Arc<Rotation>],
    ) -> Result<Vec<RotationView>, RotationError> {
        let names: Vec<&str> = rotations.iter().map(|r| r.name.as_str()).collect();
        let journal = &self.runner.rotator.journal;
        let mut records = if names.len() < self.rotations().len() {
            journal.rotation_records_of(&names).await?
        } else {
            journal.rotation_records().await?
        };
        let (now, live) = (self.now(), self.live());
        let view = |rotation: &&Arc<Rotation>| {
            let record = records.remove(&rotation.name).unwrap_or_default();
            view(rotation, record, &live, now)
        };
        Ok(rotations.iter().map(view).collect())
    }

    /// The matching rotations that `sees` permits, as `status` shows them, in the order of the config.
    ///
    /// # Errors
    /// `journal_unavailable`
    pub async fn matching(
        &self,
        filter: &ViewFilter,
        sees: impl Fn(&str) -> bool,
    ) -> Result<Vec<RotationView>, RotationError> {
        let summaries = self.summaries().await?;
        let rows = summaries.rows(self.now());
        let matching = rows.filter(|row| sees(row.name()) && filter.matches(row));
        let matching: Vec<&Arc<Rotation>> = matching.map(|row| row.rotation).collect();
        let mut views = self.views_of(&matching).await?;
        // A record can have changed after the summaries were read.
        views.retain(|view| filter.matches(view));
        Ok(views)
    }

    /// One page of the matching rotations that `sees` permits, as `status` shows them, and the name that
    /// the next page follows. Only the records of the page are read.
    ///
    /// # Errors
    /// `journal_unavailable`
    pub async fn page(
        &self,
        query: &ViewQuery,
        sees: impl Fn(&str) -> bool,
    ) -> Result<(Vec<RotationView>, Option<String>), RotationError> {
        let summaries = self.summaries().await?;
        let rows = summaries.rows_after(query.after.as_deref(), self.now());
        let matching = rows.filter(|row| sees(row.name()) && query.filter.matches(row));
        // One more shows that more follow.
        let mut page: Vec<&Arc<Rotation>> = matching
            .map(|row| row.rotation)
            .take(query.limit.saturating_add(1))
            .collect();
        let more_follow = page.len() > query.limit;
        page.truncate(query.limit);
        let last = page.last().filter(|_| more_follow);
        let last = last.map(|rotation| rotation.name.clone());
        let mut views = self.views_of(&page).await?;
        // As in `matching`.
        views.retain(|view| query.filter.matches(view));
        Ok((views, last))
    }

    /// One rotation, as `status` shows it.
    ///
    /// # Errors
    /// `journal_unavailable`
    pub async fn view(&self, rotation: &Rotation) -> Result<RotationView, RotationError> {
        let memory = self
            .runner
            .rotator
            .journal
            .rotation_record(&rotation.name)
            .await?;
        let memory = memory.unwrap_or_default();
        Ok(view(rotation, memory, &self.live(), self.now()))
    }

    /// Waits for a permit to observe a database.
    ///
    /// # Errors
    /// `internal` if the worker exited.
    pub async fn observation_permit(&self) -> Result<OwnedSemaphorePermit, RotationError> {
        let permit = Arc::clone(&self.observation_permits).acquire_owned().await;
        permit.map_err(|_| worker_exited())
    }

    /// Starts the services of the runs: one closes idle connections, one records outcomes that the
    /// journal did not take.
    pub(super) fn start_run_services(&self) {
        let Rotator {
            context, journal, ..
        } = &self.runner.rotator;
        let idle = context.idle_admins.clone();
        self.tasks
            .spawn_service("idle connections", async move { idle.close_idle().await });
        let (unrecorded, journal) = (context.unrecorded.clone(), Arc::clone(journal));
        let clock = context.clock.clone();
        self.tasks.spawn_service("run outcomes", async move {
            unrecorded.record(&*journal, &clock).await;
        });
    }

    /// Moves AWSCURRENT back to AWSPREVIOUS. It completes even if the caller stops waiting.
    ///
    /// # Errors
    /// Why nothing changed; after `journal_unavailable` AWSCURRENT may have moved.
    pub async fn roll_back(
        &self,
        rotation: Arc<Rotation>,
        order: RollbackOrder,
    ) -> Result<RollbackResult, RotationError> {
        let permit = self.observation_permit().await?;
        let rotator = self.runner.rotator.clone();
        let name = rotation.name.clone();
        let done = self.tasks.spawn("rollback", &name, async move {
            let done = rotator.roll_back(&rotation, order).await;
            drop(permit);
            done
        });
        let done = done.await.ok().flatten().ok_or_else(worker_exited)?;
        Ok(done?.users)
    }

    /// Starts a manual run in the background. Equal version ids give the same run; without one, the run
    /// has a new id. From the request for its claim on, the run continues even if the caller stops waiting.
    ///
    /// # Errors
    /// `already_running`, `too_soon`, `journal_unavailable`; no run started.
    pub async fn rotate(
        &self,
        rotation: Arc<Rotation>,
        options: RotateOptions,
        cause: Cause,
        version: Option<VersionId>,
    ) -> Result<Run, RotationError> {
        let refused = (Arc::clone(&rotation), cause.clone());
        let started = self.start(rotation, options, cause, version).await;
        if let Err(error) = &started {
            let (rotation, cause) = refused;
            self.runner
                .rotator
                .record_refusal(AuditAction::Rotate, &rotation, &cause, error)
                .await;
        }
        started
    }

    async fn start(
        &self,
        rotation: Arc<Rotation>,
        options: RotateOptions,
        cause: Cause,
        version: Option<VersionId>,
    ) -> Result<Run, RotationError> {
        let may_exist = version.is_some();
        let order = Order {
            trigger: Trigger::Manual,
            cause,
            window: None,
            version_id: version.unwrap_or_else(version_id::manual),
            force: options.force,
            end_sessions: options.end_sessions,
        };
        let rotator = &self.runner.rotator;
        if may_exist
            && let Some(run) = rotator
                .journal
                .run_of(&rotation.name, &order.version_id)
                .await?
        {
            return Ok(run);
        }
        rotator.not_too_soon(&rotation, &order).await?;
        let Ok(permit) = Arc::clone(&self.runner.permits).acquire_owned().await else {
            return Err(worker_exited());
        };
        let runner = self.runner.clone();
        let (reply, claimed) = oneshot::channel();
        // A task of the worker: if the client disconnects, the run continues.
        let name = rotation.name.clone();
        self.tasks.spawn("manual run", &name, async move {
            let rotator = &runner.rotator;
            let answer = match rotator.claim(&rotation, &order).await {
                Ok(Claim::Claimed(claimed)) => {
                    let _ = reply.send(Ok(claimed.run.clone()));
                    let abort = &runner.shutdown.abort;
                    rotator.carry_out(&rotation, &order, *claimed, abort).await;
                    drop(permit);
                    return;
                }
                Ok(Claim::Over(run)) => Ok(*run),
                Ok(Claim::Running { run, .. }) if run.version_id == order.version_id => Ok(*run),
                Ok(Claim::Running { run, .. }) => Err(already_running(&run)),
                Err(error) => Err(error),
            };
            let _ = reply.send(answer);
        });
        claimed.await.map_err(|_| worker_exited())?
    }
}

fn already_running(run: &Run) -> RotationError {
    RotationError::Refused {
        code: Code::AlreadyRunning,
        message: format!("run {} of rotation {:?} is running", run.id, run.rotation),
        hint: format!("wait for its end: GET /v1/runs/{}", run.id),
        passes: true,
    }
}

fn worker_exited() -> RotationError {
    RotationError::Internal("the worker exited".into())
}
