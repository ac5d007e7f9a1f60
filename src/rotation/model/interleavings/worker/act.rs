//! Actions of a worker, as in `reconcile` and `act`.

use super::{End, Fate, LOST_ANSWERS, LockState, Worker};
use crate::rotation::decide::{Action, Content, Elsewhere, Own, Proof, Refusal, decide};
use crate::rotation::model::interleavings::shared_state::SharedState;
use crate::rotation::model::world::{
    Late, Run, Value, Write, converge, ends_sessions, observe_standby,
};

impl Worker {
    pub(super) fn act(
        &mut self,
        at: usize,
        shared: &mut SharedState,
        fate: Fate,
    ) -> Result<String, String> {
        let mut run = self.run.unwrap();
        let action = decide(&run.observed);
        if action != Action::Converge {
            self.confirmed = false;
        }
        let write = match action {
            Action::Done => {
                let end = if self.promoted {
                    End::Won
                } else {
                    End::FoundDone
                };
                self.finish(at, shared, end);
                return Ok(format!("ends: {end:?}"));
            }
            Action::Refuse(refusal) => {
                let end = match refusal {
                    Refusal::LostRace => End::LostRace,
                    Refusal::Locked => End::AlreadyRunning,
                    Refusal::PendingConflict => End::PendingConflict,
                    other => return Err(format!("worker {at} ended as {other:?}")),
                };
                self.finish(at, shared, end);
                return Ok(format!("ends: {end:?}"));
            }
            Action::Prove => {
                observe_standby(&shared.world, &mut run);
                run.observed.proof = Some(if run.observed.standby.has_password {
                    Proof::Accepted
                } else {
                    Proof::Refused
                });
                self.run = Some(run);
                return Ok(format!("proves: {:?}", run.observed.proof));
            }
            Action::EndSessions => return Ok(self.end_sessions(at, shared)),
            Action::PutPoolerSecrets | Action::RunHooks | Action::RestoreCurrent => {
                return Err(format!(
                    "worker {at} has no poolers, no hooks and two users"
                ));
            }
            Action::Converge => return self.converge(at, shared, fate),
            Action::PutPending { carry } => {
                let carried = match (carry, shared.world.pending) {
                    (true, Some(id)) => shared.world.password(id),
                    _ => shared.new_password(),
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
        self.write(at, shared, write, fate);
        Ok(format!("{write:?}, {fate:?}"))
    }

    /// Ends the sessions of the standby, after it confirmed that it still is one.
    fn end_sessions(&mut self, at: usize, shared: &mut SharedState) -> String {
        let mut run = self.run.unwrap();
        if shared.world.current == self.own {
            run.observed.own = Own::Current;
        } else if shared.world.current == run.from {
            run.observed.end_sessions = false;
        } else {
            self.finish(at, shared, End::LostRace);
            return "finds AWSCURRENT moved before it ends sessions".into();
        }
        self.run = Some(run);
        "ends the sessions".into()
    }

    fn write(&mut self, at: usize, shared: &mut SharedState, write: Write, fate: Fate) {
        match fate {
            Fate::LateWrite => {
                shared.world.late = Late::InFlight(write);
                if shared.lock == Some(at) {
                    shared.lock = None;
                }
                return self.crash();
            }
            Fate::NeverSent | Fate::AnswerLost => {
                if fate == Fate::AnswerLost {
                    Self::land(shared, write);
                }
                self.lost_answers += 1;
                if self.lost_answers > LOST_ANSWERS {
                    return self.finish(at, shared, End::Cut);
                }
                return self.refresh_labels(at, shared);
            }
            Fate::Fine | Fate::LateChange => {}
        }
        if !Self::land(shared, write) {
            return self.refresh_labels(at, shared);
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

    /// A late change takes effect.
    pub(in crate::rotation::model::interleavings) fn arrive(shared: &mut SharedState, run: &Run) {
        converge(&mut shared.world, run, run.converging);
    }

    /// The store performs a write; returns whether it succeeded.
    pub(in crate::rotation::model::interleavings) fn land(
        shared: &mut SharedState,
        write: Write,
    ) -> bool {
        let (landed, done) = shared.world.write(write);
        shared.world = landed;
        match write {
            Write::Promote { to, .. } if done => shared.promotions[to] += 1,
            Write::Put { id, .. } => shared.record_creation(id),
            _ => {}
        }
        done
    }

    /// Performs one part of Converge, if this worker holds the lock.
    fn converge(
        &mut self,
        at: usize,
        shared: &mut SharedState,
        fate: Fate,
    ) -> Result<String, String> {
        let mut run = self.run.unwrap();
        if !self.confirmed {
            if shared.world.current == self.own {
                run.observed.own = Own::Current;
                self.run = Some(run);
                return Ok("finds its version promoted before it changes anything".into());
            }
            if shared.world.current != run.from {
                self.finish(at, shared, End::LostRace);
                return Ok("finds AWSCURRENT moved before it changes anything".into());
            }
            self.confirmed = true;
            return Ok("finds AWSCURRENT where it was".into());
        }
        if self.lock_state == LockState::Lost && shared.lease && shared.last_holder == Some(at) {
            shared.lock = Some(at);
            self.lock_state = LockState::Ours;
        }
        if self.lock_state != LockState::Ours {
            self.finish(at, shared, End::Cut);
            return Ok("finds that it has lost the lock".into());
        }
        if !shared
            .world
            .versions
            .iter()
            .any(|v| matches!(v, Value::Doc { password, .. } if *password == run.password))
        {
            return Err(format!(
                "worker {at} sets a password that the store has not"
            ));
        }
        if !shared.world.owns_standby() {
            return Err(format!("worker {at} changes a user of another secret"));
        }
        let part = run.converging;
        if fate == Fate::LateChange {
            shared.change_under_way = Some(run);
            self.crash();
            return Ok(format!(
                "is suspended with part {part} of Converge under way"
            ));
        }
        converge(&mut shared.world, &run, part);
        run.converging += 1;
        if run.converging == 3 {
            run.converging = 0;
            run.observed.converged = true;
            run.observed.end_sessions = ends_sessions(self.own);
            self.confirmed = false;
            observe_standby(&shared.world, &mut run);
        }
        self.run = Some(run);
        Ok(format!("Converge, part {part}, password {}", run.password))
    }
}
