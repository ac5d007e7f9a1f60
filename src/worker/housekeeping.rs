//! Housekeeping: jobs at fixed times, on tokio-cron-scheduler.
//!
//! The library only fires: each job is a service of its own that waits for its time. Openings of
//! windows are no jobs ([`scheduler`](super::scheduler)): the library looks at the clock twice a
//! second, and has no time of the next job.
//!
//! # Failure modes
//! - A job takes longer than its interval, and runs twice at once. A job that is running takes the
//!   times that pass as one.
//! - After a suspension a job runs as often as it was missed. The library's jobs of the type `Cron`
//!   fire once then. Those of its type `Repeated` fire for each time that passed, and are not used.
//! - The clock is set back by a year, and no job runs for a year. The library keeps the next time of
//!   a job, so the jobs are added again.
//! - A job panics, and the library ignores it. The job is a service, and its panic stops the worker.
//! - The journal does not respond. A job waits for it alone; the scheduler does not.
//! - The removal of years of history blocks the runs. Batches are small, and a pause as long as the
//!   batch follows each.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

use crate::journal::Pruned;
use crate::rotation::context::rotation_set::RotationSet;
use crate::rotation::event::Event;
use crate::worker::retire::Retirements;
use crate::worker::state::WorkerState;
use twinkey_core::telemetry::Clock;

/// Runs and records of one batch of a removal.
const BATCH: u32 = 500;

/// A job, and when it runs.
#[async_trait]
pub trait HousekeepingJob: Send + 'static {
    /// The name of its task.
    fn name(&self) -> &'static str;
    /// Second, minute, hour, day, month, weekday; in UTC.
    fn schedule(&self) -> &'static str;
    /// Runs it once.
    async fn run(&mut self);
}

/// The jobs of a worker on its journal. The first run of each is now.
#[must_use]
pub fn journal_jobs(state: &WorkerState, keep: Duration) -> Vec<Box<dyn HousekeepingJob>> {
    vec![
        Box::new(EndAbandonedRuns {
            state: state.clone(),
        }),
        Box::new(Retire {
            state: state.clone(),
            retirements: Retirements::default(),
            planned: None,
        }),
        Box::new(RemoveOldHistory {
            state: state.clone(),
            keep: TimeDelta::from_std(keep).unwrap_or(TimeDelta::MAX),
        }),
        Box::new(CheckJournal {
            state: state.clone(),
        }),
    ]
}

/// Starts each job as a service, and the service that fires them.
pub fn start(state: &WorkerState, jobs: Vec<Box<dyn HousekeepingJob>>) {
    let mut times = Vec::new();
    for mut job in jobs {
        let due = Arc::new(Notify::new());
        // The first run.
        due.notify_one();
        times.push((job.schedule(), Arc::clone(&due)));
        let armed = state.clone();
        state.tasks.spawn_service(job.name(), async move {
            armed.until_armed().await;
            loop {
                due.notified().await;
                job.run().await;
            }
        });
    }
    let clock = state.runner.rotator.context.clock.clone();
    state.tasks.spawn_service("housekeeping", async move {
        if let Err(error) = fire(&times, &clock).await {
            tracing::error!(%error, "housekeeping jobs not scheduled");
        }
    });
}

/// Fires the jobs at their times. Returns only an error.
async fn fire(
    times: &[(&'static str, Arc<Notify>)],
    clock: &Clock,
) -> Result<(), JobSchedulerError> {
    let scheduler = JobScheduler::new().await?;
    scheduler.start().await?;
    loop {
        let mut added = Vec::new();
        for (schedule, due) in times {
            let due = Arc::clone(due);
            let job = Job::new(*schedule, move |_, _| due.notify_one())?;
            added.push(scheduler.add(job).await?);
        }
        clock.wait_for_rollback().await;
        for job in added {
            scheduler.remove(&job).await?;
        }
    }
}

/// Ends runs whose worker exited, as of `at`.
pub(super) async fn end_abandoned_runs(state: &WorkerState, at: DateTime<Utc>) {
    let rotator = &state.runner.rotator;
    match rotator.journal.sweep(at).await {
        Ok(ended) => {
            for run in ended {
                let code = run.error.as_ref();
                let code = code.map(|error| tracing::field::display(error.code));
                tracing::warn!(rotation = %run.rotation, run = %run.id, state = run.state.as_str(), code, "abandoned run ended");
                let run = Box::new(run);
                rotator.events.send(state.now(), Event::RunFinished { run });
            }
        }
        Err(error) => tracing::warn!(%error, "abandoned runs not ended"),
    }
}

/// Ends runs whose worker exited.
struct EndAbandonedRuns {
    state: WorkerState,
}

/// Age of a run from which it counts as abandoned: its window closed a minute ago. The worker of the
/// run records the end of its window itself.
const ABANDONED_AFTER: TimeDelta = TimeDelta::seconds(60);

#[async_trait]
impl HousekeepingJob for EndAbandonedRuns {
    fn name(&self) -> &'static str {
        "abandoned runs"
    }

    fn schedule(&self) -> &'static str {
        "0 * * * * *"
    }

    async fn run(&mut self) {
        end_abandoned_runs(&self.state, self.state.now() - ABANDONED_AFTER).await;
    }
}

/// Locks the users of AWSPREVIOUS that are due. Most runs only compare two times.
struct Retire {
    state: WorkerState,
    retirements: Retirements,
    /// The config that was planned for, and when.
    planned: Option<(Arc<RotationSet>, DateTime<Utc>)>,
}

#[async_trait]
impl HousekeepingJob for Retire {
    fn name(&self) -> &'static str {
        "retirements"
    }

    fn schedule(&self) -> &'static str {
        "*/5 * * * * *"
    }

    async fn run(&mut self) {
        let (rotations, now) = (self.state.rotations(), self.state.now());
        let is_current = self.planned.as_ref().is_some_and(|(planned, at)| {
            // The clock may have been set back since.
            Arc::ptr_eq(planned, &rotations) && *at <= now
        });
        if is_current && self.retirements.next().is_none_or(|next| now < next) {
            return;
        }
        self.planned = Some((Arc::clone(&rotations), now));
        self.retire(&rotations, now).await;
    }
}

impl Retire {
    async fn retire(&mut self, rotations: &RotationSet, now: DateTime<Utc>) {
        if rotations.iter().all(|r| r.retire_after.is_none()) {
            return self.retirements.clear();
        }
        let runner = &self.state.runner;
        let mut records = match runner.rotator.journal.rotation_records().await {
            Ok(records) => records,
            Err(error) => {
                tracing::warn!(%error, "retirements not checked");
                return self.retirements.again(now);
            }
        };
        let all = rotations.iter();
        let all = all.filter_map(|r| Some((&**r, records.get(&r.name)?)));
        self.retirements.plan(all, now);
        for rotation in rotations.iter() {
            let Some(record) = records.remove(&rotation.name) else {
                continue;
            };
            if self.retirements.take_due(rotation, &record, now) {
                let (runner, rotation) = (runner.clone(), Arc::clone(rotation));
                let name = rotation.name.clone();
                self.state.tasks.spawn("retirement", &name, async move {
                    runner.retire(&rotation, &record).await;
                });
            }
        }
    }
}

/// Removes runs and records that are older than `journal.keep`.
struct RemoveOldHistory {
    state: WorkerState,
    keep: TimeDelta,
}

#[async_trait]
impl HousekeepingJob for RemoveOldHistory {
    fn name(&self) -> &'static str {
        "old history"
    }

    fn schedule(&self) -> &'static str {
        "0 17 * * * *"
    }

    async fn run(&mut self) {
        let Some(before) = self.state.now().checked_sub_signed(self.keep) else {
            return;
        };
        let mut removed = Pruned::default();
        let result = self.remove(before, &mut removed).await;
        if removed != Pruned::default() {
            tracing::info!(runs = removed.runs, records = removed.records, %before, "old history removed");
        }
        if let Err(error) = result {
            tracing::warn!(%error, "old history not removed");
        }
    }
}

impl RemoveOldHistory {
    /// Removes batches until nothing is left, then returns the space.
    async fn remove(
        &self,
        before: DateTime<Utc>,
        removed: &mut Pruned,
    ) -> Result<(), crate::journal::JournalError> {
        let journal = &self.state.runner.rotator.journal;
        loop {
            let begun = Instant::now();
            let batch = journal.prune(before, BATCH).await?;
            if batch == Pruned::default() {
                break;
            }
            removed.runs += batch.runs;
            removed.records += batch.records;
            tokio::time::sleep(begun.elapsed()).await;
        }
        loop {
            let begun = Instant::now();
            if !journal.compact().await? {
                return Ok(());
            }
            tokio::time::sleep(begun.elapsed()).await;
        }
    }
}

/// Checks that the journal can be written, and that its file is still the opened one.
///
/// Each call checks that too; but an idle worker makes none.
struct CheckJournal {
    state: WorkerState,
}

#[async_trait]
impl HousekeepingJob for CheckJournal {
    fn name(&self) -> &'static str {
        "journal check"
    }

    fn schedule(&self) -> &'static str {
        "*/10 * * * * *"
    }

    async fn run(&mut self) {
        self.state.check_journal().await;
    }
}
