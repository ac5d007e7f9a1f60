//! Heartbeat: a periodic sign-in with AWSCURRENT between the windows (`heartbeat`).
//!
//! # Failure modes
//! - Thousands of rotations are due at once. First heartbeats are spread over the interval by the
//!   rotation's name, [`CONCURRENCY`] run at a time, and none uses the permit of a run.
//! - Every heartbeat costs a call to the store. Heartbeats that are due within [`BATCH_WINDOW`] are
//!   read in one call, if they are of one store.
//! - Heartbeats pile up at a slow host. The next one is scheduled from the end of the last one.
//! - The clock is set, or the machine sleeps. Heartbeats use the monotonic clock.
//! - One problem is reported at every heartbeat. Only a change of the state is reported.
//! - The worker restarts, and `status` shows a refused AWSCURRENT as fine. The journal has the
//!   refusal until a heartbeat is accepted or AWSCURRENT moves.
//! - A panic in the heartbeat of one rotation ends all its heartbeats. It is logged and counted, and the
//!   next one is due as after every other.
//! - Each config reload restarts the interval, and no heartbeat ever runs. Due times are kept.

mod queue;
pub mod states;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::config::settings::Rotation;
use crate::journal::{CurrentRefusal, Journal};
use crate::rotation::commands::heartbeat::{HeartbeatResult, probe_version};
use crate::rotation::context::SharedContext;
use crate::rotation::context::rotation_set::ActiveRotations;
use crate::rotation::error::RotationError;
use crate::rotation::event::{Event, Events};
use crate::rotation::external_changes::{ChangeRecorder, Observer};
use crate::worker::heartbeat::queue::{BATCH_WINDOW, HeartbeatQueue};
use crate::worker::heartbeat::states::{HeartbeatStates, Transition};
use twinkey_core::code::Diagnostic;
use twinkey_core::tasks::OwnedTask;
use twinkey_stores::{SecretVersion, StoreError, stage};

/// Concurrent heartbeats.
const CONCURRENCY: usize = 8;
/// Interval of checks for a new config.
const RELOAD_INTERVAL: Duration = Duration::from_secs(5);

/// What the heartbeats of a worker use.
pub struct Heartbeats {
    pub context: SharedContext,
    pub journal: Arc<dyn Journal>,
    /// The name of this process in the journal.
    pub worker: String,
    pub events: Events,
    pub rotations: ActiveRotations,
    pub states: HeartbeatStates,
    pub shutdown: CancellationToken,
}

/// Result of one of the two stages of a heartbeat.
enum StageResult {
    Read(Vec<(Arc<Rotation>, Result<SecretVersion, StoreError>)>),
    Probed(Arc<Rotation>, Result<HeartbeatResult, RotationError>),
}

/// Runs the heartbeats of all rotations until the worker shuts down.
pub async fn run(heartbeats: Heartbeats) {
    let Heartbeats {
        context,
        journal,
        worker,
        rotations,
        states,
        shutdown,
        ..
    } = &heartbeats;
    let mut queue = HeartbeatQueue::default();
    let permits = Arc::new(Semaphore::new(CONCURRENCY));
    let mut stages = FuturesUnordered::new();
    loop {
        let active = rotations.get();
        if queue.reload(&active, Instant::now()) {
            states.retain(active.iter());
        }
        loop {
            let batch = queue.take_batch(Instant::now());
            if batch.is_empty() {
                break;
            }
            // All of one store.
            let store = batch.first().and_then(|rotation| rotation.store.as_ref());
            let (store, permits) = (context.stores.of(store), Arc::clone(&permits));
            let rotations = batch.clone();
            let stage = context.tasks.spawn_owned("heartbeat", "", async move {
                let _permit = permits.acquire().await;
                let secrets: Vec<&str> = batch.iter().map(|r| r.secret.as_str()).collect();
                let read = store.batches.read(&*store.secrets, &secrets).await;
                StageResult::Read(batch.into_iter().zip(read).collect())
            });
            stages.push(ended(rotations, stage));
        }
        let reload = Instant::now() + RELOAD_INTERVAL;
        let next = queue
            .next()
            .map_or(reload, |due| (due + BATCH_WINDOW).min(reload));
        tokio::select! {
            () = sleep_until(next) => {}
            Some((of, done)) = stages.next() => match done {
                Some(StageResult::Read(all)) => for (rotation, read) in all {
                    let (tasks, of) = (&context.tasks, Arc::clone(&rotation));
                    let (context, permits) = (context.of(&rotation), Arc::clone(&permits));
                    let journal = Arc::clone(journal);
                    let worker = worker.clone();
                    let stage = tasks.spawn_owned("heartbeat", &of.name, async move {
                        let _permit = permits.acquire().await;
                        if let Ok(version) = &read {
                            let changes = ChangeRecorder {
                                context: &context,
                                journal: &*journal,
                                worker: &worker,
                                rotation: &rotation,
                                by: Observer::Heartbeat,
                            };
                            changes.record(stage::CURRENT, &version.version_id).await;
                        }
                        let result = probe_version(&context, &rotation, read).await;
                        record(&*journal, &rotation.name, &result, context.clock.now()).await;
                        StageResult::Probed(rotation, result)
                    });
                    stages.push(ended(vec![of], stage));
                },
                Some(StageResult::Probed(rotation, result)) => {
                    heartbeats.publish(&rotation, &result);
                    queue.finished(&rotation.name, Instant::now());
                }
                // It panicked.
                None => for rotation in of {
                    queue.finished(&rotation.name, Instant::now());
                },
            },
            () = shutdown.cancelled() => return,
        }
    }
}

/// Waits for a stage of these rotations.
async fn ended(
    rotations: Vec<Arc<Rotation>>,
    stage: OwnedTask<StageResult>,
) -> (Vec<Arc<Rotation>>, Option<StageResult>) {
    (rotations, stage.await)
}

/// Records a conclusive result in the journal, from which the state is derived.
async fn record(
    journal: &dyn Journal,
    rotation: &str,
    result: &Result<HeartbeatResult, RotationError>,
    now: DateTime<Utc>,
) {
    let recorded = match result {
        Ok(HeartbeatResult::Accepted) => journal.current_accepted(rotation).await,
        Ok(HeartbeatResult::Refused(error)) => {
            let refusal = CurrentRefusal {
                since: now,
                problem: error.problem(),
            };
            journal.current_refused(rotation, &refusal).await
        }
        Err(_) => return,
    };
    if let Err(error) = recorded {
        tracing::warn!(%rotation, %error, "heartbeat result not recorded");
    }
}

impl Heartbeats {
    /// Records a result; logs it and sends an event if the state changed.
    fn publish(&self, rotation: &Rotation, result: &Result<HeartbeatResult, RotationError>) {
        let Some(transition) = self.states.record(&rotation.name, result) else {
            return;
        };
        let name = rotation.name.clone();
        let event = match transition {
            Transition::Refused(problem) => {
                tracing::error!(rotation = %name, code = %problem.code, error = %problem.message, hint = %problem.hint, "heartbeat refused");
                Event::CurrentRefused {
                    rotation: name,
                    problem,
                }
            }
            Transition::Accepted => {
                tracing::info!(rotation = %name, "heartbeat accepted again");
                Event::CurrentAccepted { rotation: name }
            }
            Transition::Inconclusive(problem) => {
                tracing::warn!(rotation = %name, code = %problem.code, error = %problem.message, hint = %problem.hint, "heartbeat inconclusive");
                return;
            }
        };
        self.events.send(self.context.clock.now(), event);
    }
}
