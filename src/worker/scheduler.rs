//! Scheduler: starts the run of each window when it is due, until the worker shuts down.
//!
//! Openings are exact, so they are not jobs of [`housekeeping`](super::housekeeping), which fires
//! within a second and after a suspension once.
//!
//! # Failure modes
//! - The journal does not respond, and neither windows open nor SIGTERM is processed. The loop awaits
//!   no journal: tasks read it, and their results arrive as messages.
//! - A window opens while the journal is read for a new config. The windows of the previous config
//!   start until then, and the new ones are armed as of the moment of the reload.
//! - The journal cannot be read when the config is reloaded or the clock was set back. The schedules
//!   are armed again after [`ARMING_RETRY`]; at the start the worker ends.
//! - A listing changes the discovered rotations while the config is reloaded. Both derive the rotations from
//!   the config that was reloaded last; the later one is activated.
//! - A run does not end during the shutdown. It is interrupted after [`GRACE`], and left where it
//!   stands after [`ABORT_LIMIT`], which is as safe as a crash.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::config::settings::{Rotation, Settings};
use crate::journal::{JournalError, RotationRecord, Trigger};
use crate::rotation::context::rotation_set::RotationSet;
use crate::rotation::error::RotationError;
use crate::rotation::run::STOP_LIMIT;
use crate::schedule::Window;
use crate::worker::catch_up::{WindowState, next_due, window_state};
use crate::worker::discovery::ConfiguredRotations;
use crate::worker::housekeeping::end_abandoned_runs;
use crate::worker::renames::record_names;
use crate::worker::state::WorkerState;
use crate::worker::summaries::{Summaries, SummaryCache};
use crate::worker::window_queue::WindowQueue;
use crate::worker::window_runner::WindowRunner;

/// Time that running attempts get to end during a shutdown.
pub const GRACE: Duration = Duration::from_secs(20);
/// Time that interrupted attempts get. With [`GRACE`], the end of open responses and the closing of
/// store and journal, a worker ends within 30 s of SIGTERM.
const ABORT_LIMIT: Duration = Duration::from_secs(STOP_LIMIT.as_secs() + 2);
/// Time that the connections of masters get to close.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);
/// Delay of a wake-up that shows that the machine slept or the clock was set.
const LATE_AFTER: TimeDelta = TimeDelta::seconds(5);
/// Time between two attempts to read the journal for the schedules.
const ARMING_RETRY: TimeDelta = TimeDelta::seconds(10);

/// Command to the scheduler.
#[derive(Debug)]
pub enum Command {
    /// Activate a new config, which is valid.
    Reload(Box<Settings>),
    /// Derive the rotations again, because a listing changed the discovered ones.
    Rearm,
    /// Reply when the commands before this one are done and the schedules are armed.
    Barrier(oneshot::Sender<()>),
    /// Reply at once, for the watchdog.
    Ping(oneshot::Sender<()>),
    /// Shut down.
    Stop,
}

/// Arms every rotation and runs their windows until [`Command::Stop`]. Then running attempts get
/// [`GRACE`] to end, and the rest is interrupted.
///
/// # Errors
/// `journal_unavailable` at the start. Later failures of the journal are logged.
pub async fn schedule(
    state: &WorkerState,
    mut commands: mpsc::Receiver<Command>,
) -> Result<(), RotationError> {
    let mut scheduler = Scheduler {
        state: state.clone(),
        queue: WindowQueue::default(),
        running: HashSet::new(),
        outcomes: mpsc::unbounded_channel(),
        arming: None,
        arm_again: None,
        barriers: Vec::new(),
    };
    let clock = &state.runner.rotator.context.clock;
    state.start_run_services();
    scheduler.begin_arming();
    let mut set_back = Box::pin(clock.wait_for_rollback());
    loop {
        let until = async |at: Option<DateTime<Utc>>| match at {
            Some(at) => clock.sleep_until(at).await,
            None => std::future::pending().await,
        };
        let (next, arm_again) = (scheduler.queue.next(), scheduler.arm_again);
        tokio::select! {
            () = until(next) => scheduler.start_due(clock.now()),
            () = until(arm_again) => scheduler.begin_arming(),
            () = &mut set_back => {
                set_back = Box::pin(clock.wait_for_rollback());
                tracing::warn!(now = %clock.now(), "clock set back; arming schedules again");
                scheduler.begin_arming();
            }
            read = read(&mut scheduler.arming) => scheduler.finish_arming(read)?,
            Some(done) = scheduler.outcomes.1.recv() => match done {
                WindowOutcome::Ended(ended, record) => scheduler.rearm(ended, record),
                WindowOutcome::Closed(window) => scheduler.close(window),
            },
            word = commands.recv() => match word {
                Some(Command::Reload(settings)) => {
                    // Start due windows first, so that one that opens now is not recorded as
                    // missed.
                    scheduler.start_due(clock.now());
                    let stores = &state.runner.rotator.context.stores;
                    stores.activate(&settings.stores);
                    state.configure(ConfiguredRotations::from(*settings));
                    scheduler.begin_arming();
                }
                Some(Command::Rearm) => {
                    scheduler.start_due(clock.now());
                    scheduler.begin_arming();
                }
                Some(Command::Barrier(reply)) => scheduler.barriers.push(reply),
                // The watchdog may have stopped waiting.
                Some(Command::Ping(reply)) => drop(reply.send(())),
                Some(Command::Stop) | None => break,
            }
        }
        scheduler.reply_to_barriers();
    }
    shut_down(state).await;
    Ok(())
}

/// Waits for running attempts, and interrupts them after [`GRACE`].
pub async fn shut_down(state: &WorkerState) {
    let shutdown = &state.runner.shutdown;
    // Services end with `drain`, which is no failure then.
    state.tasks.stop();
    shutdown.drain.cancel();
    let clock = &state.runner.rotator.context.clock;
    tokio::select! {
        () = state.tasks.wait() => {}
        () = clock.sleep(GRACE) => {
            tracing::warn!("grace period over; interrupting runs");
            shutdown.abort.cancel();
            tokio::select! {
                () = state.tasks.wait() => {}
                () = clock.sleep(ABORT_LIMIT) => {
                    tracing::error!("runs not ended; the next start continues them");
                }
            }
        }
    }
    let idle = &state.runner.rotator.context.idle_admins;
    tokio::select! {
        () = idle.close_all() => {}
        () = clock.sleep(CLOSE_LIMIT) => {}
    }
}

/// A rotation's name and one of its windows.
type NamedWindow = (String, Window);

/// Outcome of a window.
enum WindowOutcome {
    /// Its runner ended; the record of the rotation afterwards.
    Ended(NamedWindow, Result<Box<RotationRecord>, JournalError>),
    /// It was recorded as missed, or its task ended without a result.
    Closed(NamedWindow),
}

/// The rotations to activate, and the summaries of their records.
type ReadRotations = (Arc<RotationSet>, Result<Arc<Summaries>, RotationError>);

/// Schedules that are being armed.
struct Arming {
    /// The moment as of which the schedules are armed.
    at: DateTime<Utc>,
    /// Windows that ended meanwhile. The records may have been read before.
    ended: Vec<NamedWindow>,
    read: JoinHandle<Option<ReadRotations>>,
}

/// What is being read; `None` if its task ended. Waits without an end if nothing is.
async fn read(arming: &mut Option<Arming>) -> Option<ReadRotations> {
    match arming {
        Some(arming) => (&mut arming.read).await.ok().flatten(),
        None => std::future::pending().await,
    }
}

struct Scheduler {
    state: WorkerState,
    queue: WindowQueue,
    /// Windows that are running.
    running: HashSet<NamedWindow>,
    /// Outcomes of windows, from their tasks.
    outcomes: (
        mpsc::UnboundedSender<WindowOutcome>,
        mpsc::UnboundedReceiver<WindowOutcome>,
    ),
    arming: Option<Arming>,
    /// When the schedules are armed again, because the journal could not be read.
    arm_again: Option<DateTime<Utc>>,
    /// Replies that wait until the schedules are armed.
    barriers: Vec<oneshot::Sender<()>>,
}

impl Scheduler {
    /// Begins to read the journal, as of now, for the rotations of the config and the discovered ones.
    fn begin_arming(&mut self) {
        let at = self.state.now();
        if let Some(before) = self.arming.take() {
            before.read.abort();
        }
        let state = self.state.clone();
        let read = self.state.tasks.spawn("arming", "", async move {
            let shutting_down = || RotationError::Internal("the worker is shutting down".into());
            tokio::select! {
                read = read_rotations(&state, at) => read,
                () = state.runner.shutdown.drain.cancelled() => {
                    (state.rotations(), Err(shutting_down()))
                }
            }
        });
        self.arm_again = None;
        self.arming = Some(Arming {
            at,
            ended: Vec::new(),
            read,
        });
    }

    /// Activates the rotations that were read, and arms the schedules.
    ///
    /// # Errors
    /// `journal_unavailable` before the schedules were armed once.
    fn finish_arming(&mut self, read: Option<ReadRotations>) -> Result<(), RotationError> {
        let Some(arming) = self.arming.take() else {
            return Ok(());
        };
        let now = self.state.now();
        self.start_due(now);
        let (rotations, summaries) = read.unwrap_or_else(|| {
            let ended = RotationError::Internal("the task ended".into());
            (self.state.rotations(), Err(ended))
        });
        self.state.replace(rotations);
        match summaries {
            Ok(summaries) => self.arm_all(&summaries, arming.at, &arming.ended),
            Err(error) if !self.state.is_armed() => return Err(error),
            Err(error) => {
                tracing::error!(%error, "schedules not armed; retrying");
                self.arm_again = Some(now + ARMING_RETRY);
            }
        }
        Ok(())
    }

    /// Starts what is open at `now`, records what was missed, and arms the next windows.
    fn arm_all(&mut self, summaries: &Summaries, now: DateTime<Utc>, ended: &[NamedWindow]) {
        self.queue = WindowQueue::default();
        // The last window of each rotation that is running or ended meanwhile.
        let mut begun: HashMap<String, DateTime<Utc>> = HashMap::new();
        for (name, window) in self.running.iter().chain(ended) {
            let last = begun.entry(name.clone()).or_insert(window.opens);
            *last = window.opens.max(*last);
        }
        let mut missed = Vec::new();
        for (rotation, record) in summaries.records() {
            let begun = begun.get(&rotation.name);
            self.arm(
                rotation,
                &record,
                begun.map_or(now, |opens| now.max(*opens)),
            );
            // A window that is running during a reload neither starts again nor counts as missed.
            if begun.is_some() {
                continue;
            }
            match window_state(rotation, &record, now) {
                WindowState::Nothing => {}
                WindowState::Begun(window) => {
                    self.start_window(rotation, window, Trigger::Recovery)
                }
                WindowState::Open(window) => self.start_window(rotation, window, Trigger::Schedule),
                WindowState::Missed(window) => missed.push((Arc::clone(rotation), window)),
            }
        }
        self.record_missed(missed, now);
        self.state.set_armed();
        tracing::info!(
            rotations = self.state.rotations().len(),
            armed = self.queue.len(),
            next = self.queue.next().map(|at| at.to_rfc3339()),
            "schedules armed"
        );
    }

    /// Replies to the barriers, unless the schedules are being armed.
    fn reply_to_barriers(&mut self) {
        if self.arming.is_none() {
            for reply in self.barriers.drain(..) {
                // The sender of the command may have stopped waiting.
                let _ = reply.send(());
            }
        }
    }

    /// Records missed windows in the background, because there may be thousands.
    ///
    /// If other workers share the journal, an open window is left to them until it closes.
    fn record_missed(&mut self, missed: Vec<(Arc<Rotation>, Window)>, now: DateTime<Utc>) {
        let names = missed
            .iter()
            .map(|(rotation, window)| (rotation.name.clone(), *window));
        self.running.extend(names);
        let shared = self.state.runner.rotator.journal.is_shared();
        let (open, over): (Vec<_>, Vec<_>) = missed
            .into_iter()
            .partition(|(_, window)| shared && window.closes > now);
        for (rotation, window) in open {
            let runner = self.state.runner.clone();
            let ending = self.ending(&rotation.name, window);
            let name = rotation.name.clone();
            self.state.tasks.spawn("window", &name, async move {
                runner.leave_to_others(&rotation, window).await;
                ending.finish(&runner).await;
            });
        }
        let runner = self.state.runner.clone();
        let over: Vec<_> = (over.into_iter())
            .map(|(rotation, window)| (self.ending(&rotation.name, window), rotation, window))
            .collect();
        self.state.tasks.spawn("missed windows", "", async move {
            for (_ending, rotation, window) in over {
                // The next start records what is left.
                if runner.shutdown.drain.is_cancelled() {
                    return;
                }
                runner.record_missed(&rotation, window, None).await;
            }
        });
    }

    fn arm(&mut self, rotation: &Rotation, memory: &RotationRecord, now: DateTime<Utc>) {
        match next_due(rotation, memory, now) {
            Some((due, window)) => self.queue.arm(&rotation.name, due, window),
            None => self.queue.disarm(&rotation.name),
        }
    }

    /// Starts every window that is due `now`.
    fn start_due(&mut self, now: DateTime<Utc>) {
        while let Some((name, window)) = self.queue.take_due(now) {
            let Some(rotation) = self.state.rotation(&name) else {
                continue;
            };
            if now - window.opens > LATE_AFTER {
                tracing::warn!(rotation = %name, opens = %window.opens, "window started late");
            }
            self.start_window(&rotation, window, Trigger::Schedule);
            // `rate` counts from the success of this run; `rearm` corrects the window afterwards.
            let as_if_succeeded = RotationRecord {
                last_success: Some(window.opens),
                ..RotationRecord::default()
            };
            self.arm(&rotation, &as_if_succeeded, now);
        }
    }

    fn start_window(&mut self, rotation: &Arc<Rotation>, window: Window, trigger: Trigger) {
        let runner = self.state.runner.clone();
        let ending = self.ending(&rotation.name, window);
        let (name, rotation) = (rotation.name.clone(), Arc::clone(rotation));
        self.running.insert((name.clone(), window));
        self.state.tasks.spawn("window", &name, async move {
            runner.start_window(&rotation, window, trigger).await;
            ending.finish(&runner).await;
        });
    }

    /// The message of the end of a window.
    fn ending(&self, rotation: &str, window: Window) -> Ending {
        Ending {
            window: Some((rotation.to_owned(), window)),
            outcomes: self.outcomes.0.clone(),
        }
    }

    fn close(&mut self, window: NamedWindow) {
        self.running.remove(&window);
        if let Some(arming) = &mut self.arming {
            arming.ended.push(window);
        }
    }

    /// Arms a rotation again after its window, because a success moves the windows of `rate`.
    ///
    /// If the machine slept or the clock was set, it also handles windows that passed meanwhile.
    fn rearm(&mut self, ended: NamedWindow, record: Result<Box<RotationRecord>, JournalError>) {
        self.close(ended.clone());
        let name = ended.0.as_str();
        // Start due windows first, so that arming does not replace or miss them.
        let now = self.state.now();
        self.start_due(now);
        let Some(rotation) = self.state.rotation(name) else {
            return;
        };
        match record {
            Ok(record) => {
                self.arm(&rotation, &record, now);
                let taken =
                    |window| window == ended.1 || self.running.contains(&(ended.0.clone(), window));
                match window_state(&rotation, &record, now) {
                    WindowState::Begun(window) | WindowState::Open(window) if !taken(window) => {
                        self.start_window(&rotation, window, Trigger::Schedule);
                    }
                    WindowState::Missed(window) if !taken(window) => {
                        self.record_missed(vec![(rotation, window)], now);
                    }
                    _ => {}
                }
            }
            Err(error) => {
                tracing::warn!(rotation = %name, %error, "next window counted from the last opening");
            }
        }
    }
}

/// Sends the outcome of a window, also if its task panics.
struct Ending {
    window: Option<NamedWindow>,
    outcomes: mpsc::UnboundedSender<WindowOutcome>,
}

impl Ending {
    /// Sends that the runner ended, with the record of the rotation.
    async fn finish(mut self, runner: &WindowRunner) {
        let Some(window) = self.window.take() else {
            return;
        };
        let record = tokio::select! {
            record = runner.rotator.journal.rotation_record(&window.0) => record,
            () = runner.shutdown.drain.cancelled() => return,
        };
        let record = record.map(|record| Box::new(record.unwrap_or_default()));
        // The receiver may be closed when the worker shuts down.
        let _ = self.outcomes.send(WindowOutcome::Ended(window, record));
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(window) = self.window.take() {
            // As in `finish`.
            let _ = self.outcomes.send(WindowOutcome::Closed(window));
        }
    }
}

/// The rotations of the config and the discovered ones, with their records.
async fn read_rotations(state: &WorkerState, at: DateTime<Utc>) -> ReadRotations {
    let (set, derived) = state.derive_rotations(at).await;
    let summaries = match derived {
        Ok(()) => read_summaries(state, Arc::clone(&set), at).await,
        Err(error) => Err(error),
    };
    (set, summaries)
}

/// Reads the summaries of these rotations, after it has brought the journal up to date with them.
async fn read_summaries(
    state: &WorkerState,
    rotations: Arc<RotationSet>,
    now: DateTime<Utc>,
) -> Result<Arc<Summaries>, RotationError> {
    let names: Vec<String> = rotations.iter().map(|r| r.name.clone()).collect();
    let journal = &state.runner.rotator.journal;
    record_names(&**journal, &rotations, |_| true, now).await?;
    journal.first_seen(&names, now).await?;
    end_abandoned_runs(state, now).await;
    let cache = SummaryCache::read(rotations, &**journal).await?;
    let summaries = cache.summaries();
    state.set_summaries(cache).await;
    Ok(summaries)
}
