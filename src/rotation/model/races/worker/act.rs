//! What a worker does once it has seen everything: as `attempt` and `act`.

use super::{End, Fate, Hold, LOST_ANSWERS, Worker};
use crate::rotation::decide::{Action, Content, Elsewhere, Own, Refusal, decide};
use crate::rotation::model::races::town::Town;
use crate::rotation::model::world::{Late, Run, Value, Write, converge, look_at_standby};

impl Worker {
    pub(super) fn act(&mut self, at: usize, town: &mut Town, fate: Fate) -> Result<String, String> {
        let mut run = self.run.unwrap();
        let action = decide(&run.observed);
        if action != Action::Converge {
            self.looked = false;
        }
        let write = match action {
            Action::Done => {
                let end = if self.promoted {
                    End::Won
                } else {
                    End::FoundDone
                };
                self.finish(at, town, end);
                return Ok(format!("ends: {end:?}"));
            }
            Action::Refuse(refusal) => {
                let end = match refusal {
                    Refusal::LostRace => End::LostRace,
                    Refusal::Locked => End::AlreadyRunning,
                    Refusal::PendingConflict => End::PendingConflict,
                    other => return Err(format!("worker {at} ended as {other:?}")),
                };
                self.finish(at, town, end);
                return Ok(format!("ends: {end:?}"));
            }
            Action::Prove => {
                look_at_standby(&town.world, &mut run);
                run.observed.proof = Some(run.observed.standby.has_password);
                self.run = Some(run);
                return Ok(format!("proves: {:?}", run.observed.proof));
            }
            Action::Converge => return self.converge(at, town, fate),
            Action::PutPending { carry } => {
                let carried = match (carry, town.world.pending) {
                    (true, Some(id)) => town.world.password(id),
                    _ => town.new_password(),
                };
                self.may_exist = true;
                Write::Put {
                    id: self.own,
                    value: Value::Doc {
                        clone: run.clone_is_standby,
                        password: carried,
                        fields: run.fields,
                    },
                }
            }
            Action::LabelPending => Write::Label { id: self.own },
            Action::DropPending => Write::Unlabel { id: self.own },
            Action::Promote => Write::Promote {
                from: run.from,
                to: self.own,
            },
        };
        self.write(at, town, write, fate);
        Ok(format!("{write:?}, {fate:?}"))
    }

    fn write(&mut self, at: usize, town: &mut Town, write: Write, fate: Fate) {
        match fate {
            Fate::LateWrite => {
                town.world.late = Late::InFlight(write);
                if town.lock == Some(at) {
                    town.lock = None;
                }
                return self.crash();
            }
            Fate::NeverSent | Fate::AnswerLost => {
                if fate == Fate::AnswerLost {
                    Self::land(town, write);
                }
                self.lost_answers += 1;
                if self.lost_answers > LOST_ANSWERS {
                    return self.finish(at, town, End::Cut);
                }
                return self.look_again(at, town);
            }
            Fate::Fine | Fate::LateChange => {}
        }
        if !Self::land(town, write) {
            return self.look_again(at, town);
        }
        let Some(run) = &mut self.run else { return };
        let observed = &mut run.observed;
        match write {
            Write::Put { value, .. } => {
                observed.own = Own::Pending(Content::Fits);
                observed.elsewhere = Elsewhere::Nothing;
                observed.standby.has_password = false;
                observed.converged = false;
                observed.proof = None;
                if let Value::Doc { password, .. } = value {
                    run.password = password;
                }
            }
            Write::Label { .. } => {
                observed.own = Own::Pending(Content::Fits);
                observed.elsewhere = Elsewhere::Nothing;
            }
            Write::Unlabel { .. } => observed.own = Own::Unlabelled(Content::Foreign),
            Write::Promote { .. } => {
                observed.own = Own::Current;
                self.promoted = true;
            }
        }
    }

    /// A change that was under way arrives.
    pub(in crate::rotation::model::races) fn arrive(town: &mut Town, run: &Run) {
        converge(&mut town.world, run, run.converging);
    }

    /// The store carries a write out; says whether it agreed.
    pub(in crate::rotation::model::races) fn land(town: &mut Town, write: Write) -> bool {
        let (landed, done) = town.world.write(write);
        town.world = landed;
        match write {
            Write::Promote { to, .. } if done => town.promotions[to] += 1,
            Write::Put { id, .. } => town.made(id),
            _ => {}
        }
        done
    }

    /// One part of it, if the lock is still ours.
    fn converge(&mut self, at: usize, town: &mut Town, fate: Fate) -> Result<String, String> {
        let mut run = self.run.unwrap();
        if !self.looked {
            if town.world.current == self.own {
                run.observed.own = Own::Current;
                self.run = Some(run);
                return Ok("finds its version promoted before it changes anything".into());
            }
            if town.world.current != run.from {
                self.finish(at, town, End::LostRace);
                return Ok("finds AWSCURRENT moved before it changes anything".into());
            }
            self.looked = true;
            return Ok("finds AWSCURRENT where it was".into());
        }
        if self.hold == Hold::Lost && town.lease && town.last_holder == Some(at) {
            town.lock = Some(at);
            self.hold = Hold::Ours;
        }
        if self.hold != Hold::Ours {
            self.finish(at, town, End::Cut);
            return Ok("finds that it has lost the lock".into());
        }
        if !town
            .world
            .versions
            .iter()
            .any(|v| matches!(v, Value::Doc { password, .. } if *password == run.password))
        {
            return Err(format!(
                "worker {at} sets a password that the store has not"
            ));
        }
        let part = run.converging;
        if fate == Fate::LateChange {
            town.change_under_way = Some(run);
            self.crash();
            return Ok(format!(
                "is suspended with part {part} of Converge under way"
            ));
        }
        converge(&mut town.world, &run, part);
        run.converging += 1;
        if run.converging == 3 {
            run.converging = 0;
            run.observed.converged = true;
            self.looked = false;
            look_at_standby(&town.world, &mut run);
        }
        self.run = Some(run);
        Ok(format!("Converge, part {part}, password {}", run.password))
    }
}
