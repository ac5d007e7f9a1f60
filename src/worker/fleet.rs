//! What the scheduler, the admin endpoint and the signals share: the rotations of the config in force,
//! and the runs in flight.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, Utc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use crate::config::settings::Rotation;
use crate::journal::{Claim, Run, Trigger};
use crate::rotation::error::RotationError;
use crate::rotation::identity;
use crate::rotation::rollback::Swapped;
use crate::rotation::run::Order;
use crate::worker::heartbeat::Hearts;
use crate::worker::roster::Roster;
use crate::worker::views::{RotationView, view};
use crate::worker::windows::Crew;
use twinkey_core::code::Code;
use twinkey_core::telemetry::metrics::Metrics;

/// How many may read events at once.
pub const READERS: usize = 1024;
/// How many may look at databases at once besides the runs.
const LOOKS: usize = 8;

/// The running worker, seen from outside the scheduler.
#[derive(Clone)]
pub struct Fleet {
    pub crew: Crew,
    pub tasks: TaskTracker,
    pub metrics: Metrics,
    /// Whether each AWSCURRENT signed in when it was last tried between the windows.
    pub hearts: Hearts,
    /// Places for those who read events.
    pub readers: Arc<Semaphore>,
    /// Places for looks at databases besides the runs.
    looks: Arc<Semaphore>,
    rotations: Arc<RwLock<Arc<Roster>>>,
    armed: Arc<AtomicBool>,
    /// How many were signed in as each standby when somebody last looked.
    sessions: Arc<RwLock<HashMap<String, usize>>>,
}

impl Fleet {
    #[must_use]
    pub fn new(crew: Crew, rotations: Vec<Rotation>, metrics: Metrics) -> Self {
        Self {
            crew,
            tasks: TaskTracker::new(),
            metrics,
            hearts: Hearts::default(),
            readers: Arc::new(Semaphore::new(READERS)),
            looks: Arc::new(Semaphore::new(LOOKS)),
            rotations: Arc::new(RwLock::new(Arc::new(Roster::new(rotations)))),
            armed: Arc::default(),
            sessions: Arc::default(),
        }
    }

    /// The rotations of the config in force, in its order.
    #[must_use]
    pub fn rotations(&self) -> Arc<Roster> {
        let rotations = self.rotations.read();
        Arc::clone(&rotations.unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a new config in force. Runs in flight go on under the old one.
    pub fn replace(&self, rotations: Vec<Rotation>) {
        let roster = Arc::new(Roster::new(rotations));
        let mut in_force = self
            .rotations
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *in_force = roster;
    }

    /// One rotation by its name.
    #[must_use]
    pub fn rotation(&self, name: &str) -> Option<Arc<Rotation>> {
        self.rotations().find(name).cloned()
    }

    /// Whether the schedules have been armed.
    #[must_use]
    pub fn is_armed(&self) -> bool {
        self.armed.load(Ordering::Acquire)
    }

    pub(super) fn set_armed(&self) {
        self.armed.store(true, Ordering::Release);
    }

    /// How many were signed in as a rotation's standby when somebody last looked.
    #[must_use]
    pub fn sessions_of(&self, rotation: &str) -> Option<usize> {
        let sessions = self.sessions.read();
        let sessions = sessions.unwrap_or_else(PoisonError::into_inner);
        sessions.get(rotation).copied()
    }

    pub(super) fn remember_sessions(&self, rotation: &str, count: usize) {
        let sessions = self.sessions.write();
        let mut sessions = sessions.unwrap_or_else(PoisonError::into_inner);
        sessions.insert(rotation.to_owned(), count);
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.crew.rotator.site.clock.now()
    }

    /// Every rotation, as `status` shows it.
    ///
    /// # Errors
    /// `journal_unavailable`
    pub async fn views(&self) -> Result<Vec<RotationView>, RotationError> {
        let mut memory = self.crew.rotator.journal.memory().await?;
        let now = self.now();
        Ok(self
            .rotations()
            .iter()
            .map(|r| view(r, memory.remove(&r.name).unwrap_or_default(), now))
            .collect())
    }

    /// One rotation, as `status` shows it.
    ///
    /// # Errors
    /// `journal_unavailable`
    pub async fn view(&self, rotation: &Rotation) -> Result<RotationView, RotationError> {
        let memory = self.crew.rotator.journal.memory_of(&rotation.name).await?;
        Ok(view(rotation, memory.unwrap_or_default(), self.now()))
    }

    /// Waits for a place to look at a database.
    ///
    /// # Errors
    /// `internal` where the worker is gone.
    pub async fn look(&self) -> Result<OwnedSemaphorePermit, RotationError> {
        let place = Arc::clone(&self.looks).acquire_owned().await;
        place.map_err(|_| gone())
    }

    /// Moves AWSCURRENT back to AWSPREVIOUS. Goes on to its end even if nobody waits for it.
    ///
    /// # Errors
    /// Why not; nothing was changed then, unless it is `journal_unavailable`.
    pub async fn roll_back(
        &self,
        rotation: Arc<Rotation>,
        reason: Option<String>,
    ) -> Result<Swapped, RotationError> {
        let place = self.look().await?;
        let rotator = self.crew.rotator.clone();
        let done = self.tasks.spawn(async move {
            let done = rotator.roll_back(&rotation, reason).await;
            drop(place);
            done
        });
        Ok(done.await.map_err(|_| gone())??.users)
    }

    /// Begins a run on demand and lets it go on by itself. The same idempotency key gives the same run.
    ///
    /// # Errors
    /// `already_running`, `too_soon`, `journal_unavailable`; nothing was begun then.
    pub async fn rotate(
        &self,
        rotation: Arc<Rotation>,
        force: bool,
        reason: Option<String>,
        key: Option<&str>,
    ) -> Result<Run, RotationError> {
        let order = Order {
            trigger: Trigger::Manual,
            reason,
            window: None,
            version_id: key.map_or_else(identity::manual, |k| identity::keyed(&rotation.name, k)),
            force,
        };
        let rotator = &self.crew.rotator;
        if key.is_some()
            && let Some(run) = rotator
                .journal
                .run_of(&rotation.name, &order.version_id)
                .await?
        {
            return Ok(run);
        }
        rotator.not_too_soon(&rotation, &order).await?;
        let Ok(place) = Arc::clone(&self.crew.places).acquire_owned().await else {
            return Err(gone());
        };
        match rotator.claim(&rotation, &order).await? {
            Claim::Claimed(claimed) => {
                let crew = self.crew.clone();
                let begun = claimed.run.clone();
                self.tasks.spawn(async move {
                    let run = crew
                        .rotator
                        .carry_out(&rotation, &order, *claimed, &crew.stop.park)
                        .await;
                    drop(place);
                    run
                });
                Ok(begun)
            }
            Claim::Over(run) => Ok(*run),
            Claim::Running { run, .. } if run.version_id == order.version_id => Ok(*run),
            Claim::Running { run, .. } => Err(RotationError::Refused {
                code: Code::AlreadyRunning,
                message: format!("run {} of rotation {:?} is on", run.id, run.rotation),
                hint: format!("wait for it: GET /v1/runs/{}", run.id),
                passes: true,
            }),
        }
    }
}

fn gone() -> RotationError {
    RotationError::Internal("the worker is gone".into())
}
