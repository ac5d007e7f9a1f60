//! Runner of one window: attempts with back-off until the rotation succeeds or the window closes.
//!
//! # Failure modes
//! - The secret cannot be described, so its ARN and the version id are unknown. The run waits under a
//!   provisional id, with the reason. The runner retries until the window closes, and records the
//!   window as missed with that reason; another worker continues the run after a restart.
//! - A run waits for hours, and the log has warnings only. After [`REPORTED_AFTER`] it has an error.
//! - Attempts follow each other too fast. A back-off with jitter separates them, and a permit of
//!   `limits.concurrency` is held only during an attempt.
//! - Attempts continue without end. After [`MAX_FAILURES`] the run fails until the next window.
//! - A rotation is paused while its run waits. No attempt starts until it is resumed.
//! - The clock is set back to before the opening. The next attempt waits for the opening.
//! - Another worker owns the run and exits. The runner retries when that lease expires, independent
//!   of the back-off.
//! - Several workers report the end of one window. Only the one that recorded it sends an event.
//! - The worker shuts down. A wait ends at once; an attempt gets time, then is interrupted.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::config::settings::Rotation;
use crate::journal::{Actor, Cause, Claim, JournalError, Outcome, Run, RunState, Trigger};
use crate::rotation::error::RotationError;
use crate::rotation::event::Event;
use crate::rotation::run::lease::LEASE;
use crate::rotation::run::version_id;
use crate::rotation::run::{Order, Rotator};
use crate::schedule::Window;
use crate::worker::next_tries::NextTries;
use crate::worker::rotation_state::pause;
use twinkey_core::backoff::Backoff;
use twinkey_core::code::{Code, Diagnostic, Problem};
use twinkey_stores::VersionId;

/// Failed attempts after which a run fails until the next window.
///
/// With the back-off they last longer than the default window of an hour, so that a run survives an
/// outage. They are below 100, the failed connections after which MySQL blocks a host
/// (`max_connect_errors`). Waiting for a temporary guard (`min_interval`, a standby in use, another
/// run, a reader) is no failure.
pub const MAX_FAILURES: u32 = 90;

/// Time of failed attempts after which the log has an error.
const REPORTED_AFTER: TimeDelta = TimeDelta::seconds(60);

/// Interval in which a waiting run checks whether its rotation was resumed.
const PAUSE_POLL: Duration = Duration::from_secs(10);

/// Signals of a worker's shutdown.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// No attempt starts, and waits end.
    pub drain: CancellationToken,
    /// Running attempts are interrupted.
    pub abort: CancellationToken,
}

/// Runs windows, within the limit of concurrent runs. Cheap to clone.
#[derive(Clone)]
pub struct WindowRunner {
    pub rotator: Rotator,
    pub permits: Arc<Semaphore>,
    pub shutdown: Shutdown,
    pub next_tries: NextTries,
}

impl WindowRunner {
    /// Runs one window until the rotation succeeds or fails, the window closes or the worker shuts
    /// down.
    pub async fn run(&self, rotation: &Rotation, window: Window, trigger: Trigger) {
        self.run_with_permit(None, rotation, window, trigger).await;
    }

    /// As [`WindowRunner::run`], with a permit for the first attempt.
    pub(super) async fn run_with_permit(
        &self,
        mut permit: Option<OwnedSemaphorePermit>,
        rotation: &Rotation,
        window: Window,
        trigger: Trigger,
    ) {
        let clock = &self.rotator.context.clock;
        let (mut attempt, mut failures) = (0, 0);
        let mut version_id = None;
        let mut failing = FailingSince::default();
        loop {
            if clock.now() < window.opens {
                permit = None;
            }
            tokio::select! {
                () = clock.sleep_until(window.opens) => {}
                () = self.shutdown.drain.cancelled() => return,
            }
            let mut other_lease = None;
            let tried = self.try_once(permit.take(), rotation, window, trigger, &mut version_id);
            let problem = match tried.await {
                Attempt::Finished => return,
                Attempt::RunningElsewhere { run, left } => {
                    other_lease = Some(left);
                    Some(already_running(&run).problem())
                }
                Attempt::Deferred(why) => why,
                Attempt::NotStarted(error) => {
                    tracing::warn!(rotation = %rotation.name, code = %error.code(), error = %error, "run not started");
                    Some(error.problem())
                }
            };
            let failure = problem.as_ref().filter(|problem| is_failure(problem));
            failures += u32::from(failure.is_some());
            let since = failing.record(failure.is_some(), clock.now());
            if let Some((since, why)) = since.zip(failure) {
                tracing::error!(rotation = %rotation.name, opens = %window.opens, %since, code = %why.code, error = %why.message, hint = %why.hint, "run still waiting");
            }
            if failures >= MAX_FAILURES {
                self.give_up(rotation, window, problem).await;
                return;
            }
            let wait = match other_lease {
                Some(left) => left.min(LEASE) + Backoff::RUNS.jittered(1),
                None => {
                    attempt += 1;
                    Backoff::RUNS.jittered(attempt)
                }
            };
            let next = (clock.now() + wait).trunc_subsecs(3);
            let waiting =
                (next < window.closes).then(|| self.next_tries.wait(&rotation.name, next));
            tokio::select! {
                () = clock.sleep(wait) => {}
                () = clock.sleep_until(window.closes) => {}
                () = self.shutdown.drain.cancelled() => return,
            }
            drop(waiting);
            if !self.wait_for_resume(rotation, window).await {
                return;
            }
            if clock.now() >= window.closes {
                self.record_missed(rotation, window, problem).await;
                return;
            }
        }
    }

    /// Waits while the rotation is paused and its window is open. `false` if the worker shuts down.
    async fn wait_for_resume(&self, rotation: &Rotation, window: Window) -> bool {
        let clock = &self.rotator.context.clock;
        let is_paused = async || match self.rotator.journal.rotation_record(&rotation.name).await {
            Ok(record) => {
                let record = record.unwrap_or_default();
                pause(rotation, &record, clock.now()).is_some()
            }
            // The claim of the next attempt reports it.
            Err(_) => false,
        };
        while clock.now() < window.closes && is_paused().await {
            tokio::select! {
                () = clock.sleep(PAUSE_POLL) => {}
                () = clock.sleep_until(window.closes) => {}
                () = self.shutdown.drain.cancelled() => return false,
            }
        }
        true
    }

    /// Waits for a permit of `limits.concurrency`; `None` if the worker shuts down.
    pub(super) async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        tokio::select! {
            permit = Arc::clone(&self.permits).acquire_owned() => permit.ok(),
            () = self.shutdown.drain.cancelled() => None,
        }
    }

    /// One attempt. The version id is read once for all attempts.
    async fn try_once(
        &self,
        permit: Option<OwnedSemaphorePermit>,
        rotation: &Rotation,
        window: Window,
        trigger: Trigger,
        version_id: &mut Option<VersionId>,
    ) -> Attempt {
        let _permit = match permit {
            Some(permit) => permit,
            None => match self.permit().await {
                Some(permit) => permit,
                None => return Attempt::Finished,
            },
        };
        let version_id = match version_id {
            Some(id) => id.clone(),
            None => match self.version_id(rotation, window).await {
                Ok(id) => version_id.insert(id).clone(),
                Err(error) => {
                    self.record_waiting(rotation, window, &error).await;
                    return Attempt::NotStarted(error);
                }
            },
        };
        let order = Order {
            trigger,
            cause: self.schedule(),
            window: Some(window),
            version_id,
            force: false,
            end_sessions: false,
        };
        match self.rotator.claim(rotation, &order).await {
            Ok(Claim::Claimed(claimed)) => {
                let run = self
                    .rotator
                    .carry_out(rotation, &order, *claimed, &self.shutdown.abort)
                    .await;
                if run.state == RunState::Deferred {
                    Attempt::Deferred(run.error)
                } else {
                    Attempt::Finished
                }
            }
            Ok(Claim::Over(_)) => Attempt::Finished,
            Ok(Claim::Running { run, left }) => Attempt::RunningElsewhere { run, left },
            Err(error) => Attempt::NotStarted(error),
        }
    }

    async fn version_id(
        &self,
        rotation: &Rotation,
        window: Window,
    ) -> Result<VersionId, RotationError> {
        let description = self
            .rotator
            .context
            .of(rotation)
            .store
            .describe(&rotation.secret)
            .await
            .map_err(|source| RotationError::Store {
                secret: rotation.secret.clone(),
                source,
            })?;
        Ok(version_id::scheduled(&description.arn, window.opens))
    }

    /// Records that the run of a window waits, before its version id is known.
    async fn record_waiting(&self, rotation: &Rotation, window: Window, error: &RotationError) {
        let outcome = Outcome {
            state: RunState::Deferred,
            error: Some(error.problem()),
            now: self.rotator.context.clock.now(),
        };
        match self.record_end(rotation, window, &outcome).await {
            Ok(Some(run)) => {
                let run = Box::new(run);
                let finished = Event::RunFinished { run };
                self.rotator.events.send(outcome.now, finished);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(rotation = %rotation.name, %error, "waiting run not recorded");
            }
        }
    }

    /// Fails a run until the next window, after too many failed attempts.
    async fn give_up(&self, rotation: &Rotation, window: Window, problem: Option<Problem>) {
        let outcome = Outcome {
            state: RunState::Failed,
            error: problem.clone(),
            now: self.rotator.context.clock.now(),
        };
        match self.record_end(rotation, window, &outcome).await {
            Ok(Some(run)) => {
                let run = Box::new(run);
                let finished = Event::RunFinished { run };
                self.rotator.events.send(outcome.now, finished);
            }
            Ok(None) => return,
            Err(error) => {
                tracing::error!(rotation = %rotation.name, %error, "failed window not recorded");
            }
        }
        if let Some(why) = &problem {
            tracing::error!(rotation = %rotation.name, opens = %window.opens, code = %why.code, error = %why.message, hint = %why.hint, failures = MAX_FAILURES, "run failed too often in this window");
        }
    }

    /// Records the end of a window, or that its run waits. `None` if a run of it ended before or runs
    /// in another worker.
    async fn record_end(
        &self,
        rotation: &Rotation,
        window: Window,
        outcome: &Outcome,
    ) -> Result<Option<Run>, JournalError> {
        let order = self.unversioned(rotation, window);
        let request = self.rotator.claim_request(rotation, &order);
        self.rotator.journal.end_window(&request, outcome).await
    }

    /// The cause of this worker's runs in windows.
    fn schedule(&self) -> Cause {
        Actor::schedule(&self.rotator.worker).into()
    }

    /// The order of a window that creates no version, because the secret's ARN may be unknown.
    fn unversioned(&self, rotation: &Rotation, window: Window) -> Order {
        Order {
            trigger: Trigger::Schedule,
            cause: self.schedule(),
            window: Some(window),
            version_id: version_id::provisional(&rotation.secret_in_store(), window.opens),
            force: false,
            end_sessions: false,
        }
    }

    /// Records a missed window.
    pub async fn record_missed(
        &self,
        rotation: &Rotation,
        window: Window,
        problem: Option<Problem>,
    ) {
        let now = self.rotator.context.clock.now();
        let problem = problem.unwrap_or_else(|| Problem {
            code: Code::WindowClosed,
            message: "no worker ran while the window was open".into(),
            hint: "wait for the next window, or run `twinkey rotate` now".into(),
        });
        let outcome = Outcome {
            state: RunState::Missed,
            error: Some(problem.clone()),
            now,
        };
        match self.record_end(rotation, window, &outcome).await {
            Ok(Some(_)) => {}
            Ok(None) => {
                tracing::info!(rotation = %rotation.name, opens = %window.opens, "window recorded by another worker");
                return;
            }
            Err(error) => {
                tracing::error!(rotation = %rotation.name, %error, "missed window not recorded");
            }
        }
        tracing::error!(rotation = %rotation.name, opens = %window.opens, closes = %window.closes, code = %problem.code, error = %problem.message, "window missed");
        let missed = Event::WindowMissed {
            rotation: rotation.name.clone(),
            window,
            problem,
            actor: self.schedule().actor,
        };
        self.rotator.events.send(now, missed);
    }
}

/// When the attempts of a window began to fail without a success between them.
#[derive(Debug, Default)]
struct FailingSince {
    first: Option<DateTime<Utc>>,
    is_reported: bool,
}

impl FailingSince {
    /// Records an attempt. Returns once since when the attempts fail, if that is for
    /// [`REPORTED_AFTER`].
    fn record(&mut self, failed: bool, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if !failed {
            self.first = None;
            return None;
        }
        let first = *self.first.get_or_insert(now);
        if self.is_reported || now - first < REPORTED_AFTER {
            return None;
        }
        self.is_reported = true;
        Some(first)
    }
}

/// Whether an attempt failed. Temporary guards are no failures.
fn is_failure(problem: &Problem) -> bool {
    !matches!(
        problem.code,
        Code::TooSoon
            | Code::StandbyInUse
            | Code::AlreadyRunning
            | Code::ReaderBehind
            | Code::ReaderUnreachable
            | Code::PoolerRefused
    )
}

fn already_running(run: &Run) -> RotationError {
    RotationError::Refused {
        code: Code::AlreadyRunning,
        message: format!(
            "run {} of this rotation is running in worker {}",
            run.id, run.worker
        ),
        hint: "wait for its end; this worker retries while the window is open".into(),
        passes: true,
    }
}

/// Result of one attempt.
enum Attempt {
    /// The window needs no further attempt.
    Finished,
    /// Another run of this rotation is running; `left` of its lease.
    RunningElsewhere { run: Box<Run>, left: Duration },
    /// The run is deferred to another attempt, with the reason.
    Deferred(Option<Problem>),
    /// No run started.
    NotStarted(RotationError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_of_failures_is_reported_once() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let mut failing = FailingSince::default();
        assert_eq!(failing.record(true, at(0)), None);
        assert_eq!(failing.record(true, at(59)), None);
        // A guard that waits is no failure, and the count begins again.
        assert_eq!(failing.record(false, at(60)), None);
        assert_eq!(failing.record(true, at(70)), None);
        assert_eq!(failing.record(true, at(129)), None);
        assert_eq!(failing.record(true, at(130)), Some(at(70)));
        assert_eq!(failing.record(true, at(200)), None);
    }
}
