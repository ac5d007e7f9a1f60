//! The worker's life: start, sleep to the next window, hand it over, until told to stop.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{mpsc, oneshot};

use crate::config::settings::{Rotation, Settings};
use crate::journal::{RotationMemory, Trigger};
use crate::rotation::error::RotationError;
use crate::rotation::event::Event;
use crate::schedule::Window;
use crate::worker::agenda::Agenda;
use crate::worker::fleet::Fleet;
use crate::worker::recover::{Found, find, next_due};
use crate::worker::retire::Retirements;

/// How long tries that are on are left to end by themselves when the worker stops.
pub const GRACE: Duration = Duration::from_secs(20);
/// A wake-up this much after its time means that the machine slept or the clock was set.
const NAP: TimeDelta = TimeDelta::seconds(5);
/// How often runs are looked for whose process is gone, and how long they are left before that; and users
/// that are to be locked.
const BEAT: TimeDelta = TimeDelta::seconds(60);

/// Word from outside to the scheduler.
#[derive(Debug)]
pub enum Word {
    /// A new config, valid already.
    Reload(Box<Settings>),
    /// Answer, as soon as the words before this one are carried out and the schedules are armed.
    Answer(oneshot::Sender<()>),
    /// Wind down.
    Stop,
}

/// Arms every rotation and works their windows through until told to stop; then lets the tries that
/// are on end, parks what does not end in [`GRACE`], and returns.
///
/// # Errors
/// `journal_unavailable` at the start. Later it only costs history.
pub async fn schedule(fleet: &Fleet, mut words: mpsc::Receiver<Word>) -> Result<(), RotationError> {
    let mut scheduler = Scheduler {
        fleet: fleet.clone(),
        agenda: Agenda::default(),
        working: HashSet::new(),
        retirements: Retirements::default(),
        done: mpsc::unbounded_channel(),
    };
    let clock = &fleet.crew.rotator.site.clock;
    scheduler.start(clock.now()).await?;
    let mut beat = clock.now() + BEAT;
    let mut set_back = Box::pin(clock.set_back());
    loop {
        let next = scheduler.agenda.next();
        let due = async {
            match next {
                Some(at) => clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => scheduler.hand_over(clock.now()),
            () = clock.sleep_until(beat) => {
                beat = clock.now() + BEAT;
                scheduler.sweep(clock.now() - BEAT).await;
                scheduler.retire().await;
            }
            () = &mut set_back => {
                set_back = Box::pin(clock.set_back());
                beat = clock.now() + BEAT;
                tracing::warn!(now = %clock.now(), "the clock was set back: the schedules are armed anew");
                if let Err(error) = scheduler.start(clock.now()).await {
                    tracing::error!(%error, "the rotations could not be armed anew");
                }
            }
            Some(done) = scheduler.done.1.recv() => match done {
                Done::Worked(worked) => scheduler.arm_again(worked).await,
                Done::Recorded(missed) => {
                    scheduler.working.remove(&missed);
                }
            },
            word = words.recv() => match word {
                Some(Word::Reload(settings)) => {
                    // A window that opens at this very moment is not gone by without a run.
                    let now = clock.now();
                    scheduler.hand_over(now);
                    fleet.replace(settings.rotations);
                    if let Err(error) = scheduler.start(now).await {
                        tracing::error!(%error, "the reloaded config's rotations could not be armed");
                    }
                }
                // Who asked may have gone.
                Some(Word::Answer(asked)) => drop(asked.send(())),
                Some(Word::Stop) | None => break,
            }
        }
    }
    wind_down(fleet).await;
    fleet.crew.rotator.site.masters.close_all().await;
    Ok(())
}

async fn wind_down(fleet: &Fleet) {
    let stop = &fleet.crew.stop;
    stop.winding_down.cancel();
    fleet.tasks.close();
    let clock = &fleet.crew.rotator.site.clock;
    tokio::select! {
        () = fleet.tasks.wait() => return,
        () = clock.pass(GRACE) => {}
    }
    tracing::warn!("parking the runs that are still on");
    stop.park.cancel();
    fleet.tasks.wait().await;
}

/// A rotation's name and a window of its.
type Worked = (String, Window);

/// What has become of a window.
enum Done {
    /// It was worked through.
    Worked(Worked),
    /// It had gone by, and the journal says so now.
    Recorded(Worked),
}

struct Scheduler {
    fleet: Fleet,
    agenda: Agenda,
    /// Windows that are being worked through.
    working: HashSet<Worked>,
    /// Users of AWSPREVIOUS that are to be locked.
    retirements: Retirements,
    /// Those that have been.
    done: (mpsc::UnboundedSender<Done>, mpsc::UnboundedReceiver<Done>),
}

impl Scheduler {
    /// Takes up what is open `now`, records what was missed, and arms what comes.
    async fn start(&mut self, now: DateTime<Utc>) -> Result<(), RotationError> {
        let rotations = self.fleet.rotations();
        let names: Vec<String> = rotations.iter().map(|r| r.name.clone()).collect();
        let journal = &self.fleet.crew.rotator.journal;
        journal.first_seen(&names, now).await?;
        self.sweep(now).await;
        let memory = journal.memory().await?;
        self.agenda = Agenda::default();
        let busy: HashSet<String> = self.working.iter().map(|(n, _)| n.clone()).collect();
        let mut missed = Vec::new();
        for rotation in rotations.iter() {
            let Some(memory) = memory.get(&rotation.name) else {
                continue;
            };
            self.arm(rotation, memory, now);
            // After a reload, a window that is being worked through is neither begun again nor missed.
            if busy.contains(&rotation.name) {
                continue;
            }
            match find(rotation, memory, now) {
                Found::Nothing => {}
                Found::Begun(window) => self.work(rotation, window, Trigger::Recovery),
                Found::Open(window) => self.work(rotation, window, Trigger::Schedule),
                Found::Missed(window) => missed.push((Arc::clone(rotation), window)),
            }
        }
        self.missed(missed, now);
        self.retirements.forget_plan();
        self.retire().await;
        self.fleet.set_armed();
        tracing::info!(
            rotations = rotations.len(),
            armed = self.agenda.len(),
            next = self.agenda.next().map(|at| at.to_rfc3339()),
            "schedules are armed"
        );
        Ok(())
    }

    /// Ends runs that nobody works on any more, as of `at`.
    async fn sweep(&self, at: DateTime<Utc>) {
        match self.fleet.crew.rotator.journal.sweep(at).await {
            Ok(ended) => {
                for run in ended {
                    tracing::warn!(rotation = %run.rotation, run = %run.id, state = run.state.as_str(), "a run whose worker is gone was ended");
                    let run = Box::new(run);
                    let finished = Event::RunFinished { run };
                    self.fleet
                        .crew
                        .rotator
                        .events
                        .send(self.fleet.now(), finished);
                }
            }
            Err(error) => tracing::warn!(%error, "the journal could not be swept"),
        }
    }

    /// Locks the users of AWSPREVIOUS whose time is over.
    async fn retire(&mut self) {
        let rotations = self.fleet.rotations();
        let now = self.fleet.now();
        if rotations.iter().all(|r| r.retire_after.is_none()) || !self.retirements.may_be_due(now) {
            return;
        }
        let mut memory = match self.fleet.crew.rotator.journal.memory().await {
            Ok(memory) => memory,
            Err(error) => {
                tracing::warn!(%error, "which users are to be locked cannot be known");
                return;
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
                let (crew, rotation) = (self.fleet.crew.clone(), Arc::clone(rotation));
                self.fleet
                    .tasks
                    .spawn(async move { crew.retire(&rotation, &memory).await });
            }
        }
    }

    /// Records windows that went by. There may be thousands: what is due meanwhile does not wait for that. One that
    /// is still open may be another worker's, where the journal has several: then it is waited for how it ends.
    fn missed(&mut self, missed: Vec<(Arc<Rotation>, Window)>, now: DateTime<Utc>) {
        let names = missed
            .iter()
            .map(|(rotation, window)| (rotation.name.clone(), *window));
        self.working.extend(names);
        let shared = self.fleet.crew.rotator.journal.is_shared();
        let (open, over): (Vec<_>, Vec<_>) = missed
            .into_iter()
            .partition(|(_, window)| shared && window.closes > now);
        // As in `work`, nobody may be there any more to hear what is done.
        for (rotation, window) in open {
            let (crew, done) = (self.fleet.crew.clone(), self.done.0.clone());
            self.fleet.tasks.spawn(async move {
                crew.leave_to_others(&rotation, window).await;
                let _ = done.send(Done::Worked((rotation.name.clone(), window)));
            });
        }
        let (crew, done) = (self.fleet.crew.clone(), self.done.0.clone());
        self.fleet.tasks.spawn(async move {
            for (rotation, window) in over {
                crew.missed(&rotation, window, None).await;
                let _ = done.send(Done::Recorded((rotation.name.clone(), window)));
            }
        });
    }

    fn arm(&mut self, rotation: &Rotation, memory: &RotationMemory, now: DateTime<Utc>) {
        match next_due(rotation, memory, now) {
            Some((due, window)) => self.agenda.arm(&rotation.name, due, window),
            None => self.agenda.disarm(&rotation.name),
        }
    }

    /// Hands over every window that is due `now`.
    fn hand_over(&mut self, now: DateTime<Utc>) {
        while let Some((name, window)) = self.agenda.take_due(now) {
            let Some(rotation) = self.fleet.rotation(&name) else {
                continue;
            };
            if now - window.opens > NAP {
                tracing::warn!(rotation = %name, opens = %window.opens, "a window is begun late: the machine slept, the clock was set, or `spread` says so");
            }
            self.work(&rotation, window, Trigger::Schedule);
            // `rate` counts from a success that is yet to come: it is armed anew when that has.
            let as_if_done = RotationMemory {
                last_success: Some(window.opens),
                ..RotationMemory::default()
            };
            self.arm(&rotation, &as_if_done, now);
        }
    }

    fn work(&mut self, rotation: &Arc<Rotation>, window: Window, trigger: Trigger) {
        let crew = self.fleet.crew.clone();
        let rotation = Arc::clone(rotation);
        let done = self.done.0.clone();
        self.working.insert((rotation.name.clone(), window));
        self.fleet.tasks.spawn(async move {
            crew.take_up(&rotation, window, trigger).await;
            // The scheduler may be gone already when the worker stops.
            let _ = done.send(Done::Worked((rotation.name.clone(), window)));
        });
    }

    /// Arms a rotation anew after its window: for `rate`, a success has moved where it counts from. Where
    /// the machine slept or the clock was set, more windows may have gone by than the one that was armed.
    async fn arm_again(&mut self, worked: Worked) {
        self.working.remove(&worked);
        let name = worked.0.as_str();
        // Whatever is due already must not be armed away, nor what opens from now on be called missed.
        let now = self.fleet.now();
        self.hand_over(now);
        let Some(rotation) = self.fleet.rotation(name) else {
            return;
        };
        match self.fleet.crew.rotator.journal.memory_of(name).await {
            Ok(memory) => {
                let memory = memory.unwrap_or_default();
                self.arm(&rotation, &memory, now);
                let taken = |window| {
                    window == worked.1 || self.working.contains(&(worked.0.clone(), window))
                };
                match find(&rotation, &memory, now) {
                    Found::Begun(window) | Found::Open(window) if !taken(window) => {
                        self.work(&rotation, window, Trigger::Schedule);
                    }
                    Found::Missed(window) if !taken(window) => {
                        self.missed(vec![(rotation, window)], now);
                    }
                    _ => {}
                }
            }
            Err(error) => {
                tracing::warn!(rotation = %name, %error, "the next window is counted from the last opening");
            }
        }
    }
}
