//! A worker at its run, one I/O a step, in the order of `observe`, `attempt` and `act`.

mod act;

use super::town::Town;
use crate::rotation::decide::{Content, Own};
use crate::rotation::model::world::{Id, Run, User, look_at_standby, observe};

/// As `observe` has it.
const PATIENCE: u8 = 3;
/// As `attempt` has it.
const LOST_ANSWERS: u8 = 3;
/// How often a worker begins its run in all: again after a crash, or when the lock was another's.
const MOST_STARTS: u8 = 4;

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Won,
    /// Its version was AWSCURRENT already, or its own promotion's answer was lost.
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

/// Whether the pair's lock is this worker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    Not,
    Ours,
    /// It was, and the worker does not know yet.
    Lost,
}

/// What becomes of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Fine,
    /// It takes effect, and its answer is lost.
    AnswerLost,
    NeverSent,
    /// The worker dies, and the write to the store arrives at some later time.
    LateWrite,
    /// The worker is suspended for ever, and its change of the standby arrives later.
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
    hold: Hold,
    phase: Phase,
    run: Option<Run>,
    may_exist: bool,
    patience: u8,
    lost_answers: u8,
    /// It has looked whether AWSCURRENT is where it was, just before it changes the standby.
    looked: bool,
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
            hold: Hold::Not,
            phase: Phase::Locate,
            run: None,
            may_exist: false,
            patience: PATIENCE,
            lost_answers: 0,
            looked: false,
            promoted: false,
        }
    }

    pub(super) const fn end(&self) -> Option<End> {
        match self.phase {
            Phase::Ended(end) => Some(end),
            _ => None,
        }
    }

    pub(super) const fn hold(&self) -> Hold {
        self.hold
    }

    /// Which user it is changing at this moment: whether it is the clone.
    pub(super) fn changes(&self) -> Option<bool> {
        let run = self.run.filter(|_| self.end().is_none() && self.looked)?;
        Some(run.clone_is_standby)
    }

    /// Which user its run is for: whether it is the clone.
    pub(super) fn works_on(&self) -> Option<bool> {
        let run = self.run.filter(|_| self.hold != Hold::Not)?;
        Some(run.clone_is_standby)
    }

    pub(super) fn crash(&mut self) {
        self.hold = Hold::Not;
        self.begin_again_or(End::Crashed);
    }

    pub(super) fn lose_lock(&mut self) {
        if self.hold == Hold::Ours {
            self.hold = Hold::Lost;
        }
    }

    fn begin_again_or(&mut self, end: End) {
        let again = Self {
            own: self.own,
            scheduled: self.scheduled,
            starts: self.starts + 1,
            ..Self::manual(self.own)
        };
        if self.scheduled && again.starts <= MOST_STARTS {
            *self = again;
        } else {
            self.phase = Phase::Ended(end);
        }
    }

    fn finish(&mut self, at: usize, town: &mut Town, end: End) {
        if self.hold == Hold::Ours && town.lock == Some(at) {
            town.lock = None;
        }
        self.hold = Hold::Not;
        if matches!(end, End::AlreadyRunning | End::Cut) {
            self.begin_again_or(end);
        } else {
            self.phase = Phase::Ended(end);
        }
    }

    /// The next step of `attempt`, and what it was. `may_exist`: the journal knows of an earlier try.
    pub(super) fn step(
        &mut self,
        at: usize,
        town: &mut Town,
        fate: Fate,
        may_exist: bool,
    ) -> Result<String, String> {
        let did = match self.phase {
            Phase::Ended(_) => return Err(format!("worker {at} goes on after its end")),
            Phase::Locate => {
                self.phase = Phase::Lock {
                    from: town.world.current,
                };
                self.may_exist = self.starts > 1 && may_exist;
                format!("reads AWSCURRENT ({})", town.world.current)
            }
            Phase::Lock { from } => {
                if town.lock.is_none() {
                    town.lock = Some(at);
                    town.last_holder = Some(at);
                    self.hold = Hold::Ours;
                }
                self.phase = Phase::Labels {
                    from,
                    refused: !town.works(from),
                };
                format!("takes the lock: {:?}", self.hold)
            }
            Phase::Labels { from, refused } => self.look(at, town, from, refused),
            Phase::Standby if self.hold == Hold::Lost && !town.lease => {
                self.finish(at, town, End::Cut);
                "finds its connection gone".into()
            }
            Phase::Standby => {
                let run = self.run.as_mut().unwrap();
                look_at_standby(&town.world, run);
                self.phase = Phase::Act;
                format!("looks at the standby: {:?}", run.observed.standby)
            }
            Phase::Act => return self.act(at, town, fate),
        };
        Ok(did)
    }

    fn look(&mut self, at: usize, town: &mut Town, from: Id, refused: bool) -> String {
        if town.world.current != from {
            if self.hold == Hold::Ours && town.lock == Some(at) {
                town.lock = None;
            }
            self.hold = Hold::Not;
            self.phase = Phase::Locate;
            self.patience -= 1;
            if self.patience == 0 {
                self.finish(at, town, End::LostRace);
            }
            return "finds that AWSCURRENT has moved".into();
        }
        let mut run = observe(&town.world, self.own);
        self.hide(town, &mut run);
        run.observed.guards.current_refused = refused;
        run.observed.guards.locked = self.hold == Hold::Not;
        self.run = Some(run);
        self.phase = Phase::Standby;
        format!(
            "reads the labels: {:?}, {:?}",
            run.observed.own, run.observed.elsewhere
        )
    }

    /// A version without a label is only read by who may have written it, and is over once AWSCURRENT is
    /// younger.
    fn hide(&mut self, town: &Town, run: &mut Run) {
        self.may_exist |= matches!(run.observed.own, Own::Pending(_));
        if !self.may_exist && matches!(run.observed.own, Own::Unlabelled(_)) {
            run.observed.own = Own::NotThere;
        }
        if run.observed.own == Own::Unlabelled(Content::Fits) && town.has_moved_on_since(self.own) {
            run.observed.own = Own::Unlabelled(Content::Outdated);
        }
    }

    /// As `look_at_labels`.
    fn look_again(&mut self, at: usize, town: &mut Town) {
        let mut run = self.run.unwrap();
        if town.world.current != run.from && town.world.current != self.own {
            return self.finish(at, town, End::LostRace);
        }
        let mut seen = observe(&town.world, self.own);
        self.hide(town, &mut seen);
        run.observed.own = seen.observed.own;
        run.observed.elsewhere = seen.observed.elsewhere;
        run.password = seen.password;
        let standby = town.world.users[usize::from(run.clone_is_standby)];
        run.observed.standby.has_password = matches!(
            standby,
            User::There { signs_in: true, password, .. } if password == run.password
        );
        self.run = Some(run);
    }
}
