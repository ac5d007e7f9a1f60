//! One window of one rotation: tries inside it only, waits between tries, and says in the end what
//! became of it.
//!
//! What can go wrong, and what prevents it:
//! - a store that is down keeps the secret's ARN, and so the version id, from being known: it is asked
//!   for again until the window closes, and the window is then recorded as missed with that reason;
//! - tries come too fast: a back-off with jitter, and a place among `limits.concurrency` is held only
//!   while a try is on;
//! - tries go on for ever: after [`MOST_FAILURES`] the run has failed until the next window;
//! - the clock is set back to before the opening: the next try waits for it;
//! - another worker has the run, and dies: whoever waits for it asks again when its lease has run out, not by
//!   the back-off;
//! - several workers tell of one window's end: only the one that has recorded it does;
//! - the worker is told to stop: a wait ends at once, a try is left time, then parked.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::config::settings::Rotation;
use crate::journal::{Claim, JournalError, Outcome, Run, RunState, Trigger};
use crate::rotation::error::RotationError;
use crate::rotation::event::Event;
use crate::rotation::identity;
use crate::rotation::lease::LEASE;
use crate::rotation::run::{Order, Rotator};
use crate::schedule::Window;
use crate::worker::backoff::Backoff;
use twinkey_core::code::{Code, Problem};
use twinkey_stores::VersionId;

/// How often a run may fail in its window: for more than an hour at the back-off's pace, the default window,
/// so that an outage which ends inside it is got over; and less than 100, the number of broken connections
/// after which a MySQL shuts a host out (`max_connect_errors`). Waiting for a guard that passes by
/// itself (`min_interval`, a standby in use, another run) is no failure.
pub const MOST_FAILURES: u32 = 90;

/// When and how a worker stops.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Nothing new is begun, and nobody waits for another try.
    pub winding_down: CancellationToken,
    /// Tries that are still on are parked where they stand.
    pub park: CancellationToken,
}

/// What a window's tries need.
#[derive(Clone)]
pub struct Crew {
    pub rotator: Rotator,
    pub places: Arc<Semaphore>,
    pub stop: Stop,
}

impl Crew {
    /// Works one window through. Ends when the rotation has run, has failed for good, the window has
    /// closed, or the worker winds down.
    pub async fn work(&self, rotation: &Rotation, window: Window, trigger: Trigger) {
        self.work_in(None, rotation, window, trigger).await;
    }

    /// As [`Crew::work`], the first try in a place that is had already.
    pub(super) async fn work_in(
        &self,
        mut place: Option<OwnedSemaphorePermit>,
        rotation: &Rotation,
        window: Window,
        trigger: Trigger,
    ) {
        let clock = &self.rotator.site.clock;
        let (mut attempt, mut failures) = (0, 0);
        let mut version_id = None;
        loop {
            if clock.now() < window.opens {
                place = None;
            }
            tokio::select! {
                () = clock.sleep_until(window.opens) => {}
                () = self.stop.winding_down.cancelled() => return,
            }
            let mut elsewhere = None;
            let tried = self.try_once(place.take(), rotation, window, trigger, &mut version_id);
            let problem = match tried.await {
                Try::Over => return,
                Try::Elsewhere { run, left } => {
                    elsewhere = Some(left);
                    Some(is_on(&run).problem())
                }
                Try::Deferred(why) => why,
                Try::NotBegun(error) => {
                    tracing::warn!(rotation = %rotation.name, code = %error.code(), error = %error, "the run could not begin");
                    Some(error.problem())
                }
            };
            failures += u32::from(problem.as_ref().is_some_and(is_failure));
            if failures >= MOST_FAILURES {
                self.give_up(rotation, window, problem).await;
                return;
            }
            let wait = match elsewhere {
                Some(left) => left.min(LEASE) + Backoff::RUNS.jittered(1),
                None => {
                    attempt += 1;
                    Backoff::RUNS.jittered(attempt)
                }
            };
            tokio::select! {
                () = clock.pass(wait) => {}
                () = clock.sleep_until(window.closes) => {}
                () = self.stop.winding_down.cancelled() => return,
            }
            if clock.now() >= window.closes {
                self.missed(rotation, window, problem).await;
                return;
            }
        }
    }

    /// A place among `limits.concurrency`; `None`: the worker winds down.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        tokio::select! {
            place = Arc::clone(&self.places).acquire_owned() => place.ok(),
            () = self.stop.winding_down.cancelled() => None,
        }
    }

    /// One try. The version id is asked for once.
    async fn try_once(
        &self,
        place: Option<OwnedSemaphorePermit>,
        rotation: &Rotation,
        window: Window,
        trigger: Trigger,
        version_id: &mut Option<VersionId>,
    ) -> Try {
        let _place = match place {
            Some(place) => place,
            None => match self.place().await {
                Some(place) => place,
                None => return Try::Over,
            },
        };
        let version_id = match version_id {
            Some(id) => id.clone(),
            None => match self.version_id(rotation, window).await {
                Ok(id) => version_id.insert(id).clone(),
                Err(error) => return Try::NotBegun(error),
            },
        };
        let order = Order {
            trigger,
            reason: None,
            window: Some(window),
            version_id,
            force: false,
        };
        match self.rotator.claim(rotation, &order).await {
            Ok(Claim::Claimed(claimed)) => {
                let run = self
                    .rotator
                    .carry_out(rotation, &order, *claimed, &self.stop.park)
                    .await;
                if run.state == RunState::Deferred {
                    Try::Deferred(run.error)
                } else {
                    Try::Over
                }
            }
            Ok(Claim::Over(_)) => Try::Over,
            Ok(Claim::Running { run, left }) => Try::Elsewhere { run, left },
            Err(error) => Try::NotBegun(error),
        }
    }

    async fn version_id(
        &self,
        rotation: &Rotation,
        window: Window,
    ) -> Result<VersionId, RotationError> {
        let description = self
            .rotator
            .site
            .store
            .describe(&rotation.secret)
            .await
            .map_err(|source| RotationError::Store {
                secret: rotation.secret.clone(),
                source,
            })?;
        Ok(identity::scheduled(&description.arn, window.opens))
    }

    /// Ends a run for good that has failed too often.
    async fn give_up(&self, rotation: &Rotation, window: Window, problem: Option<Problem>) {
        let outcome = Outcome {
            state: RunState::Failed,
            error: problem.clone(),
            now: self.rotator.site.clock.now(),
        };
        match self.end(rotation, window, &outcome).await {
            Ok(Some(run)) => {
                let run = Box::new(run);
                let finished = Event::RunFinished { run };
                self.rotator.events.send(outcome.now, finished);
            }
            Ok(None) => return,
            Err(error) => {
                tracing::error!(rotation = %rotation.name, %error, "a failed window could not be recorded");
            }
        }
        if let Some(why) = &problem {
            tracing::error!(rotation = %rotation.name, opens = %window.opens, code = %why.code, error = %why.message, hint = %why.hint, failures = MOST_FAILURES, "the run has failed too often, and is left until the next window");
        }
    }

    /// Records how a window ended. `None`: a run of it has ended already, or is on in another worker.
    async fn end(
        &self,
        rotation: &Rotation,
        window: Window,
        outcome: &Outcome,
    ) -> Result<Option<Run>, JournalError> {
        let order = Self::unnamed(rotation, window);
        let request = self.rotator.claim_request(rotation, &order);
        self.rotator.journal.end_window(&request, outcome).await
    }

    /// The order of a window whose secret's ARN may not be known: it makes no version.
    fn unnamed(rotation: &Rotation, window: Window) -> Order {
        Order {
            trigger: Trigger::Schedule,
            reason: None,
            window: Some(window),
            version_id: identity::scheduled(&rotation.secret, window.opens),
            force: false,
        }
    }

    /// Records a window that went by.
    pub async fn missed(&self, rotation: &Rotation, window: Window, problem: Option<Problem>) {
        let now = self.rotator.site.clock.now();
        let problem = problem.unwrap_or_else(|| Problem {
            code: Code::WindowClosed,
            message: "no worker ran while the window was open".into(),
            hint: "the next window takes it up; `twinkey rotate` does it at once".into(),
        });
        let outcome = Outcome {
            state: RunState::Missed,
            error: Some(problem.clone()),
            now,
        };
        match self.end(rotation, window, &outcome).await {
            Ok(Some(_)) => {}
            Ok(None) => {
                tracing::info!(rotation = %rotation.name, opens = %window.opens, "another worker has recorded what became of the window");
                return;
            }
            Err(error) => {
                tracing::error!(rotation = %rotation.name, %error, "a missed window could not be recorded");
            }
        }
        tracing::error!(rotation = %rotation.name, opens = %window.opens, closes = %window.closes, code = %problem.code, error = %problem.message, "window missed");
        let rotation = rotation.name.clone();
        self.rotator.events.send(
            now,
            Event::WindowMissed {
                rotation,
                window,
                problem,
            },
        );
    }
}

/// Whether an end of a try is a failure, or a wait that passes by itself.
fn is_failure(problem: &Problem) -> bool {
    !matches!(
        problem.code,
        Code::TooSoon | Code::StandbyInUse | Code::AlreadyRunning
    )
}

fn is_on(run: &Run) -> RotationError {
    RotationError::Refused {
        code: Code::AlreadyRunning,
        message: format!(
            "run {} of this rotation is on, in worker {}",
            run.id, run.worker
        ),
        hint: "it is waited for while the window is open".into(),
        passes: true,
    }
}

enum Try {
    /// Nothing more to do in this window.
    Over,
    /// A run of this rotation is on, and its lease has so long left.
    Elsewhere { run: Box<Run>, left: Duration },
    /// The run waits for another try, and why.
    Deferred(Option<Problem>),
    /// There is no run yet.
    NotBegun(RotationError),
}
