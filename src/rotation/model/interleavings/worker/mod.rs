//! Worker of a history: one I/O a step, in the order of `observe`, `reconcile` and `act`.

mod act;

use super::shared_state::SharedState;
use crate::rotation::decide::{Content, Own};
use crate::rotation::model::world::{Id, Run, User, observe, observe_standby};

/// The value in `observe`.
const MAX_OBSERVATIONS: u8 = 3;
/// The value in `reconcile`.
const LOST_ANSWERS: u8 = 3;
/// Starts of a run, including those after a crash or a refused lock.
const MAX_STARTS: u8 = 4;

/// End of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Won,
    /// Its version was AWSCURRENT already, or the answer of its promotion was lost.
    FoundDone,
    LostRace,
    AlreadyRunning,
    PendingConflict,
    Crashed,
    /// Its connection, its lock or too many answers were lost.
    Cut,
}

impl End {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Won => "won",
            Self::FoundDone => "found it done",
            Self::LostRace => "lost_race",
            Self::AlreadyRunning => "already_running",
            Self::PendingConflict => "pending_conflict",
            Self::Crashed => "crashed",
            Self::Cut => "cut",
        }
    }
}

/// State of the pair's lock for one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LockState {
    Not,
    Ours,
    /// Lost, and the worker has not noticed.
    Lost,
}

/// Fate of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Fine,
    /// It takes effect and its answer is lost.
    AnswerLost,
    NeverSent,
    /// The worker exits, and the write to the store takes effect later.
    LateWrite,
    /// The worker is suspended permanently, and its change of the standby takes effect later.
    LateChange,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// Reads AWSCURRENT.
    Locate,
    /// Signs in as the active user, and takes the lock.
    Lock {
        from: Id,
    },
    Labels {
        from: Id,
        refused: bool,
    },
    Standby,
    Act,
    Ended(End),
}

pub(super) struct Worker {
    own: Id,
    scheduled: bool,
    starts: u8,
    lock_state: LockState,
    phase: Phase,
    run: Option<Run>,
    may_exist: bool,
    observations_left: u8,
    lost_answers: u8,
    /// It confirmed AWSCURRENT just before the change of the standby.
    confirmed: bool,
    promoted: bool,
}

impl Worker {
    pub(super) fn scheduled(own: Id) -> Self {
        Self {
            scheduled: true,
            ..Self::manual(own)
        }
    }

    pub(super) const fn manual(own: Id) -> Self {
        Self {
            own,
            scheduled: false,
            starts: 1,
            lock_state: LockState::Not,
            phase: Phase::Locate,
            run: None,
            may_exist: false,
            observations_left: MAX_OBSERVATIONS,
            lost_answers: 0,
            confirmed: false,
            promoted: false,
        }
    }

    pub(super) const fn end(&self) -> Option<End> {
        match self.phase {
            Phase::Ended(end) => Some(end),
            _ => None,
        }
    }

    pub(super) const fn lock_state(&self) -> LockState {
        self.lock_state
    }

    /// Whether the user that it is changing is the clone; `None` if it changes none.
    pub(super) fn changes(&self) -> Option<bool> {
        let run = self
            .run
            .filter(|_| self.end().is_none() && self.confirmed)?;
        Some(run.clone_is_standby)
    }

    /// Whether the user of its run is the clone; `None` without a run under the lock.
    pub(super) fn works_on(&self) -> Option<bool> {
        let run = self.run.filter(|_| self.lock_state != LockState::Not)?;
        Some(run.clone_is_standby)
    }

    pub(super) fn crash(&mut self) {
        self.lock_state = LockState::Not;
        self.begin_again_or(End::Crashed);
    }

    pub(super) fn lose_lock(&mut self) {
        if self.lock_state == LockState::Ours {
            self.lock_state = LockState::Lost;
        }
    }

    fn begin_again_or(&mut self, end: End) {
        let again = Self {
            own: self.own,
            scheduled: self.scheduled,
            starts: self.starts + 1,
            ..Self::manual(self.own)
        };
        if self.scheduled && again.starts <= MAX_STARTS {
            *self = again;
        } else {
            self.phase = Phase::Ended(end);
        }
    }

    fn finish(&mut self, at: usize, shared: &mut SharedState, end: End) {
        if self.lock_state == LockState::Ours && shared.lock == Some(at) {
            shared.lock = None;
        }
        self.lock_state = LockState::Not;
        if matches!(end, End::AlreadyRunning | End::Cut) {
            self.begin_again_or(end);
        } else {
            self.phase = Phase::Ended(end);
        }
    }

    /// The next step, with a description. `may_exist`: the journal has an earlier attempt.
    pub(super) fn step(
        &mut self,
        at: usize,
        shared: &mut SharedState,
        fate: Fate,
        may_exist: bool,
    ) -> Result<String, String> {
        let did = match self.phase {
            Phase::Ended(_) => return Err(format!("worker {at} goes on after its end")),
            Phase::Locate => {
                self.phase = Phase::Lock {
                    from: shared.world.current,
                };
                self.may_exist = self.starts > 1 && may_exist;
                format!("reads AWSCURRENT ({})", shared.world.current)
            }
            Phase::Lock { from } => {
                if shared.lock.is_none() {
                    shared.lock = Some(at);
                    shared.last_holder = Some(at);
                    self.lock_state = LockState::Ours;
                }
                self.phase = Phase::Labels {
                    from,
                    refused: !shared.works(from),
                };
                format!("takes the lock: {:?}", self.lock_state)
            }
            Phase::Labels { from, refused } => self.read_labels(at, shared, from, refused),
            Phase::Standby if self.lock_state == LockState::Lost && !shared.lease => {
                self.finish(at, shared, End::Cut);
                "finds its connection closed".into()
            }
            Phase::Standby => {
                let run = self.run.as_mut().unwrap();
                observe_standby(&shared.world, run);
                self.phase = Phase::Act;
                format!("observes the standby: {:?}", run.observed.standby)
            }
            Phase::Act => return self.act(at, shared, fate),
        };
        Ok(did)
    }

    fn read_labels(
        &mut self,
        at: usize,
        shared: &mut SharedState,
        from: Id,
        refused: bool,
    ) -> String {
        if shared.world.current != from {
            if self.lock_state == LockState::Ours && shared.lock == Some(at) {
                shared.lock = None;
            }
            self.lock_state = LockState::Not;
            self.phase = Phase::Locate;
            self.observations_left -= 1;
            if self.observations_left == 0 {
                self.finish(at, shared, End::LostRace);
            }
            return "finds that AWSCURRENT has moved".into();
        }
        let mut run = observe(&shared.world, self.own);
        self.hide(shared, &mut run);
        run.observed.guards.current_refused = refused;
        run.observed.guards.locked = self.lock_state == LockState::Not;
        self.run = Some(run);
        self.phase = Phase::Standby;
        format!(
            "reads the labels: {:?}, {:?}",
            run.observed.own, run.observed.elsewhere
        )
    }

    /// Hides an unlabelled version that this run did not write, and outdates one that is older than
    /// AWSCURRENT.
    fn hide(&mut self, shared: &SharedState, run: &mut Run) {
        self.may_exist |= matches!(run.observed.own, Own::Pending(_));
        if !self.may_exist && matches!(run.observed.own, Own::Unlabelled(_)) {
            run.observed.own = Own::NotThere;
        }
        if run.observed.own == Own::Unlabelled(Content::Fits) && shared.is_superseded(self.own) {
            run.observed.own = Own::Unlabelled(Content::Outdated);
        }
    }

    /// The model of `observe::refresh::refresh_labels`.
    fn refresh_labels(&mut self, at: usize, shared: &mut SharedState) {
        let mut run = self.run.unwrap();
        if shared.world.current != run.from && shared.world.current != self.own {
            return self.finish(at, shared, End::LostRace);
        }
        let mut seen = observe(&shared.world, self.own);
        self.hide(shared, &mut seen);
        run.observed.own = seen.observed.own;
        run.observed.elsewhere = seen.observed.elsewhere;
        run.password = seen.password;
        let standby = shared.world.users[usize::from(run.clone_is_standby)];
        run.observed.standby.has_password = matches!(
            standby,
            User::There { signs_in: true, password, .. } if password == run.password
        );
        self.run = Some(run);
    }
}
