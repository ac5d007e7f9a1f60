//! One random history; a seed determines which worker takes the next step.

use super::shared_state::{Rng, SharedState, VERSIONS};
use super::worker::{End, Fate, LockState, Worker};
use crate::rotation::decide::Content;
use crate::rotation::model::world::{Id, Late, User, Value, World};

const WINDOW: Id = 2;
const OTHER_WINDOW: Id = 3;
const FIRST_MANUAL: Id = 4;
/// First version id of external actors.
pub(super) const FIRST_EXTERNAL: Id = 9;
const LAST_RUN: Id = 15;
const MAX_STEPS: u64 = 400;

/// Disturbance of a history, besides crashes and lost answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Disturbance {
    /// None.
    Crashes,
    /// A write to the store takes effect after its sender exited.
    LateWrite,
    /// The lock is a lease, and a change of the standby takes effect after its sender lost it.
    LateChange,
    /// The holder of the lock loses it and continues until it notices.
    LostLock,
    /// People edit the secret and move its labels; another rotator writes AWSPENDING.
    ExternalActors,
}

pub(super) struct History {
    pub(super) disturbance: Disturbance,
    pub(super) shared: SharedState,
    pub(super) workers: Vec<Worker>,
    pub(super) rng: Rng,
    pub(super) steps: u64,
    pub(super) trace: Vec<String>,
    tracing: bool,
    lock_was_lost: bool,
    change_was_late: bool,
}

impl History {
    pub(super) fn new(seed: u64, tracing: bool) -> Self {
        let mut rng = Rng(seed);
        let disturbance = [
            Disturbance::Crashes,
            Disturbance::LateWrite,
            Disturbance::LateChange,
            Disturbance::LostLock,
            Disturbance::ExternalActors,
        ][rng.below(5)];
        let clone = rng.one_in(2);
        let doc = |clone, password| Value::Doc {
            clone,
            password,
            fields: 0,
        };
        let mut versions = [Value::None; VERSIONS];
        versions[0] = doc(clone, 0);
        versions[1] = doc(!clone, 1);
        let there = |password, full| User::There {
            signs_in: true,
            password,
            full,
        };
        let standby = [User::Absent, there(1, true), there(1, false)][rng.below(3)];
        let mut users = [there(0, true), standby];
        if clone {
            users.swap(0, 1);
        }
        let world = World {
            versions,
            current: 0,
            previous: (standby != User::Absent).then_some(1),
            pending: None,
            users,
            late: Late::NotYet,
        };
        let lease = disturbance == Disturbance::LateChange || rng.one_in(2);
        let workers = (0..2 + rng.below(4))
            .map(|n| match (n, rng.below(10)) {
                (0, _) | (_, 0..=4) => Worker::scheduled(WINDOW),
                (_, 5..=6) => Worker::scheduled(OTHER_WINDOW),
                _ => Worker::manual(FIRST_MANUAL + n),
            })
            .collect();
        Self {
            disturbance,
            shared: SharedState::new(world, lease),
            workers,
            rng,
            steps: 0,
            trace: Vec::new(),
            tracing,
            lock_was_lost: false,
            change_was_late: false,
        }
    }

    pub(super) fn ends(&self) -> impl Iterator<Item = &'static str> {
        self.workers.iter().filter_map(Worker::end).map(End::as_str)
    }

    /// Runs all workers to their ends, and then one undisturbed run.
    pub(super) fn run(&mut self) -> Result<(), String> {
        while self.workers.iter().any(|w| w.end().is_none()) {
            self.steps += 1;
            if self.steps > MAX_STEPS {
                return Err("the workers do not end".into());
            }
            self.step()?;
        }
        self.land()?;
        self.last_run()
    }

    fn step(&mut self) -> Result<(), String> {
        let alive: Vec<usize> = (0..self.workers.len())
            .filter(|at| self.workers[*at].end().is_none())
            .collect();
        let at = alive[self.rng.below(alive.len())];
        match self.rng.below(100) {
            0..=2 => self.crash(at),
            3..=6 if self.disturbance == Disturbance::ExternalActors => self.external_actor()?,
            3..=6 if self.disturbance == Disturbance::LostLock => self.lose_lock(),
            7..=12 => self.free_dead_lock(),
            13..=16 => self.land()?,
            _ => self.work(at)?,
        }
        Ok(())
    }

    fn work(&mut self, at: usize) -> Result<(), String> {
        let late = match self.disturbance {
            Disturbance::LateWrite if self.shared.world.late == Late::NotYet => Fate::LateWrite,
            Disturbance::LateChange if !self.change_was_late => Fate::LateChange,
            _ => Fate::Fine,
        };
        let fate = match self.rng.below(40) {
            0 => Fate::AnswerLost,
            1 => Fate::NeverSent,
            2..=7 => late,
            _ => Fate::Fine,
        };
        let may_exist = self.rng.one_in(2);
        let worker = &mut self.workers[at];
        let did = worker.step(at, &mut self.shared, fate, may_exist)?;
        self.change_was_late |= self.shared.change_under_way.is_some();
        self.note(|| format!("worker {at}: {did}"))
    }

    fn crash(&mut self, at: usize) {
        let worker = &mut self.workers[at];
        // The server may notice the crash later.
        if worker.lock_state() == LockState::Ours && self.rng.one_in(2) {
            self.shared.lock = None;
        }
        worker.crash();
        if self.tracing {
            self.trace.push(format!("worker {at} crashes"));
        }
    }

    /// The server notices that the holder of the lock exited.
    fn free_dead_lock(&mut self) {
        if let Some(holder) = self.shared.lock
            && self.workers[holder].lock_state() != LockState::Ours
        {
            self.shared.lock = None;
        }
    }

    fn lose_lock(&mut self) {
        if let Some(holder) = self.shared.lock
            && self.workers[holder].lock_state() == LockState::Ours
            && !self.lock_was_lost
        {
            self.lock_was_lost = true;
            self.shared.lock = None;
            self.workers[holder].lose_lock();
            if self.tracing {
                self.trace.push(format!("worker {holder} loses the lock"));
            }
        }
    }

    /// Late effects happen.
    fn land(&mut self) -> Result<(), String> {
        if let Some(run) = self.shared.change_under_way.take() {
            Worker::arrive(&mut self.shared, &run);
            self.note(|| format!("part {} of Converge arrives late", run.converging))?;
        }
        let Late::InFlight(write) = self.shared.world.late else {
            return Ok(());
        };
        self.shared.world.late = Late::Landed;
        Worker::land(&mut self.shared, write);
        self.note(|| format!("{write:?} lands late"))
    }

    /// Records a step and checks the invariants.
    pub(super) fn note(&mut self, what: impl FnOnce() -> String) -> Result<(), String> {
        if self.tracing {
            self.trace.push(what());
        }
        if !self.shared.world.holds() {
            return Err("AWSCURRENT does not sign in with full privileges".into());
        }
        if let Some(id) = self.shared.promotions.iter().position(|n| *n > 1) {
            return Err(format!("version {id} was promoted twice"));
        }
        Ok(())
    }

    fn last_run(&mut self) -> Result<(), String> {
        let world = &self.shared.world;
        let foreign = world.pending.is_some_and(|id| {
            id != world.current
                && Some(id) != world.previous
                && world.content(id) == Content::Foreign
        });
        self.shared.lock = None;
        self.workers.push(Worker::manual(LAST_RUN));
        let at = self.workers.len() - 1;
        while self.workers[at].end().is_none() {
            self.steps += 1;
            let did = self.workers[at].step(at, &mut self.shared, Fate::Fine, false)?;
            self.note(|| format!("the last run: {did}"))?;
        }
        let end = self.workers.pop().and_then(|w| w.end());
        let expected = if foreign {
            End::PendingConflict
        } else {
            End::Won
        };
        if end == Some(expected) {
            Ok(())
        } else {
            Err(format!("the last run ended as {end:?}, not {expected:?}"))
        }
    }
}
