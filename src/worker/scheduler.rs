//! Scheduler: starts the run of each window when it is due, until the worker shuts down.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{mpsc, oneshot};

use crate::config::settings::{Rotation, Settings};
use crate::journal::{RotationRecord, Trigger};
use crate::rotation::error::RotationError;
use crate::rotation::event::Event;
use crate::schedule::Window;
use crate::worker::catch_up::{WindowState, next_due, window_state};
use crate::worker::renames::renamed;
use crate::worker::retire::Retirements;
use crate::worker::state::WorkerState;
use crate::worker::window_queue::WindowQueue;

/// Time that running attempts get to end during a shutdown.
pub const GRACE: Duration = Duration::from_secs(20);
/// Delay of a wake-up that shows that the machine slept or the clock was set.
const LATE_AFTER: TimeDelta = TimeDelta::seconds(5);
/// Interval of housekeeping: ending runs whose worker exited.
const HOUSEKEEPING_INTERVAL: TimeDelta = TimeDelta::seconds(60);

/// Command to the scheduler.
#[derive(Debug)]
pub enum Command {
    /// Activate a new config, which is valid.
    Reload(Box<Settings>),
    /// Reply when the commands before this one are done and the schedules are armed.
    Barrier(oneshot::Sender<()>),
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
        retirements: Retirements::default(),
        outcomes: mpsc::unbounded_channel(),
    };
    let clock = &state.runner.rotator.context.clock;
    scheduler.arm_all(clock.now()).await?;
    let mut housekeeping = clock.now() + HOUSEKEEPING_INTERVAL;
    let mut set_back = Box::pin(clock.wait_for_rollback());
    loop {
        let until = async |at: Option<DateTime<Utc>>| match at {
            Some(at) => clock.sleep_until(at).await,
            None => std::future::pending().await,
        };
        let (next, retirement) = (scheduler.queue.next(), scheduler.retirements.next());
        tokio::select! {
            () = until(next) => scheduler.start_due(clock.now()),
            () = until(retirement) => scheduler.retire().await,
            () = clock.sleep_until(housekeeping) => {
                housekeeping = clock.now() + HOUSEKEEPING_INTERVAL;
                scheduler.sweep(clock.now() - HOUSEKEEPING_INTERVAL).await;
            }
            () = &mut set_back => {
                set_back = Box::pin(clock.wait_for_rollback());
                housekeeping = clock.now() + HOUSEKEEPING_INTERVAL;
                tracing::warn!(now = %clock.now(), "clock set back; arming schedules again");
                if let Err(error) = scheduler.arm_all(clock.now()).await {
                    tracing::error!(%error, "schedules not armed");
                }
            }
            Some(done) = scheduler.outcomes.1.recv() => match done {
                WindowOutcome::Ended(ended) => scheduler.rearm(ended).await,
                WindowOutcome::Recorded(missed) => {
                    scheduler.running.remove(&missed);
                }
            },
            word = commands.recv() => match word {
                Some(Command::Reload(settings)) => {
                    // Start due windows first, so that one that opens now is not recorded as
                    // missed.
                    let now = clock.now();
                    scheduler.start_due(now);
                    state.replace(settings.rotations);
                    if let Err(error) = scheduler.arm_all(now).await {
                        tracing::error!(%error, "schedules of the new config not armed");
                    }
                }
                // The sender of the command may have stopped waiting.
                Some(Command::Barrier(reply)) => drop(reply.send(())),
                Some(Command::Stop) | None => break,
            }
        }
    }
    shut_down(state).await;
    state.runner.rotator.context.idle_admins.close_all().await;
    Ok(())
}

async fn shut_down(state: &WorkerState) {
    let shutdown = &state.runner.shutdown;
    shutdown.drain.cancel();
    state.tasks.close();
    let clock = &state.runner.rotator.context.clock;
    tokio::select! {
        () = state.tasks.wait() => return,
        () = clock.sleep(GRACE) => {}
    }
    tracing::warn!("grace period over; interrupting runs");
    shutdown.abort.cancel();
    state.tasks.wait().await;
}

/// A rotation's name and one of its windows.
type NamedWindow = (String, Window);

/// Outcome of a window.
enum WindowOutcome {
    /// Its runner ended.
    Ended(NamedWindow),
    /// It was recorded as missed.
    Recorded(NamedWindow),
}

struct Scheduler {
    state: WorkerState,
    queue: WindowQueue,
    /// Windows that are running.
    running: HashSet<NamedWindow>,
    /// Due times of the users of AWSPREVIOUS to lock.
    retirements: Retirements,
    /// Outcomes of windows, from their tasks.
    outcomes: (
        mpsc::UnboundedSender<WindowOutcome>,
        mpsc::UnboundedReceiver<WindowOutcome>,
    ),
}

impl Scheduler {
    /// Starts what is open at `now`, records what was missed, and arms the next windows.
    async fn arm_all(&mut self, now: DateTime<Utc>) -> Result<(), RotationError> {
        let rotations = self.state.rotations();
        let names: Vec<String> = rotations.iter().map(|r| r.name.clone()).collect();
        let journal = &self.state.runner.rotator.journal;
        self.keep_records_of_renamed(now).await?;
        journal.first_seen(&names, now).await?;
        self.sweep(now).await;
        let memory = journal.rotation_records().await?;
        self.queue = WindowQueue::default();
        let busy: HashSet<String> = self.running.iter().map(|(n, _)| n.clone()).collect();
        let mut missed = Vec::new();
        for rotation in rotations.iter() {
            let Some(memory) = memory.get(&rotation.name) else {
                continue;
            };
            self.arm(rotation, memory, now);
            // A window that is running during a reload neither starts again nor counts as missed.
            if busy.contains(&rotation.name) {
                continue;
            }
            match window_state(rotation, memory, now) {
                WindowState::Nothing => {}
                WindowState::Begun(window) => {
                    self.start_window(rotation, window, Trigger::Recovery)
                }
                WindowState::Open(window) => self.start_window(rotation, window, Trigger::Schedule),
                WindowState::Missed(window) => missed.push((Arc::clone(rotation), window)),
            }
        }
        self.record_missed(missed, now);
        self.retire().await;
        self.state.set_armed();
        tracing::info!(
            rotations = rotations.len(),
            armed = self.queue.len(),
            next = self.queue.next().map(|at| at.to_rfc3339()),
            "schedules armed"
        );
        Ok(())
    }

    /// Gives rotations that were renamed in the config the records of their former names.
    async fn keep_records_of_renamed(&self, now: DateTime<Utc>) -> Result<(), RotationError> {
        let rotations = self.state.rotations();
        let journal = &self.state.runner.rotator.journal;
        for (from, to) in renamed(&rotations, &journal.rotation_secrets().await?) {
            journal.rename(&from, &to).await?;
            tracing::warn!(rotation = %to, former = %from, "rotation renamed: its pause and its retirement are kept");
        }
        let secrets = |rotation: &Arc<Rotation>| (rotation.name.clone(), rotation.secret.clone());
        let secrets: Vec<_> = rotations.iter().map(secrets).collect();
        Ok(journal.record_secrets(&secrets, now).await?)
    }

    /// Ends runs whose worker exited, as of `at`.
    async fn sweep(&self, at: DateTime<Utc>) {
        match self.state.runner.rotator.journal.sweep(at).await {
            Ok(ended) => {
                for run in ended {
                    let code = run
                        .error
                        .as_ref()
                        .map(|error| tracing::field::display(error.code));
                    tracing::warn!(rotation = %run.rotation, run = %run.id, state = run.state.as_str(), code, "abandoned run ended");
                    let run = Box::new(run);
                    let finished = Event::RunFinished { run };
                    self.state
                        .runner
                        .rotator
                        .events
                        .send(self.state.now(), finished);
                }
            }
            Err(error) => tracing::warn!(%error, "abandoned runs not ended"),
        }
    }

    /// Locks the users of AWSPREVIOUS that are due.
    async fn retire(&mut self) {
        let rotations = self.state.rotations();
        let now = self.state.now();
        if rotations.iter().all(|r| r.retire_after.is_none()) {
            return self.retirements.clear();
        }
        let mut memory = match self.state.runner.rotator.journal.rotation_records().await {
            Ok(memory) => memory,
            Err(error) => {
                tracing::warn!(%error, "retirements not checked");
                return self.retirements.again(now);
            }
        };
        let all = rotations.iter();
        let all = all.filter_map(|r| Some((&**r, memory.get(&r.name)?)));
        self.retirements.plan(all, now);
        for rotation in rotations.iter() {
            let Some(memory) = memory.remove(&rotation.name) else {
                continue;
            };
            if self.retirements.take_due(rotation, &memory, now) {
                let (runner, rotation) = (self.state.runner.clone(), Arc::clone(rotation));
                self.state
                    .tasks
                    .spawn(async move { runner.retire(&rotation, &memory).await });
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
        // The receiver may be closed when the worker shuts down.
        for (rotation, window) in open {
            let (runner, done) = (self.state.runner.clone(), self.outcomes.0.clone());
            self.state.tasks.spawn(async move {
                runner.leave_to_others(&rotation, window).await;
                let _ = done.send(WindowOutcome::Ended((rotation.name.clone(), window)));
            });
        }
        let (runner, done) = (self.state.runner.clone(), self.outcomes.0.clone());
        self.state.tasks.spawn(async move {
            for (rotation, window) in over {
                runner.record_missed(&rotation, window, None).await;
                let _ = done.send(WindowOutcome::Recorded((rotation.name.clone(), window)));
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
        let rotation = Arc::clone(rotation);
        let done = self.outcomes.0.clone();
        self.running.insert((rotation.name.clone(), window));
        self.state.tasks.spawn(async move {
            runner.start_window(&rotation, window, trigger).await;
            // The receiver may be closed when the worker shuts down.
            let _ = done.send(WindowOutcome::Ended((rotation.name.clone(), window)));
        });
    }

    /// Arms a rotation again after its window, because a success moves the windows of `rate`.
    ///
    /// If the machine slept or the clock was set, it also handles windows that passed meanwhile.
    async fn rearm(&mut self, ended: NamedWindow) {
        self.running.remove(&ended);
        let name = ended.0.as_str();
        // Start due windows first, so that arming does not replace or miss them.
        let now = self.state.now();
        self.start_due(now);
        let Some(rotation) = self.state.rotation(name) else {
            return;
        };
        match self
            .state
            .runner
            .rotator
            .journal
            .rotation_record(name)
            .await
        {
            Ok(memory) => {
                let memory = memory.unwrap_or_default();
                self.arm(&rotation, &memory, now);
                let taken =
                    |window| window == ended.1 || self.running.contains(&(ended.0.clone(), window));
                match window_state(&rotation, &memory, now) {
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
