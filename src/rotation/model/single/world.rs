//! Model of the store, the one user, and a run.

use crate::rotation::decide::single::{OneUser, PasswordChange};
use crate::rotation::decide::{
    Action, Content, Elsewhere, Guards, Hooks, Observed, Own, Proof, Standby, Users,
};

pub(super) use crate::rotation::model::world::{
    CURRENT, Id, LATER_WINDOW, NEXT_WINDOW, OTHER, PREVIOUS, Password, THIS_WINDOW, UNKNOWN,
};

/// Accounts of the user, as MySQL and MariaDB have them. Twinkey signs in at the first one.
pub(super) const ACCOUNTS: usize = 2;
/// The most writes to the store that take effect late in one history.
const LATE_WRITES: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Value {
    None,
    Empty,
    /// Another user's, or no document.
    Foreign,
    Doc {
        password: Password,
        /// Edition of its other fields.
        fields: u8,
    },
}

/// No write in flight.
pub(super) const NOTHING_LATE: [Option<Write>; LATE_WRITES] = [None; LATE_WRITES];

/// What one step of a run can reach.
type Successors = Vec<(World, Option<Run>)>;

/// The passwords of one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Account {
    pub(super) primary: Password,
    /// Only on a server that retains passwords.
    pub(super) secondary: Option<Password>,
}

impl Account {
    pub(super) fn accepts(self, password: Password) -> bool {
        password != UNKNOWN && (self.primary == password || self.secondary == Some(password))
    }

    fn set(&mut self, password: Password, retains: bool) {
        self.secondary = retains.then_some(self.primary);
        self.primary = password;
    }
}

/// A write to the store, with the data of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Write {
    /// With AWSPENDING only under the rule that the model breaks.
    Put {
        id: Id,
        value: Value,
        labels: bool,
    },
    Label {
        id: Id,
        from: Option<Id>,
    },
    Unlabel {
        id: Id,
    },
    Promote {
        from: Id,
        to: Id,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) versions: [Value; 6],
    /// When each version got its value; 0: it has none.
    pub(super) written: [u8; 6],
    pub(super) current: Id,
    pub(super) previous: Option<Id>,
    pub(super) pending: Option<Id>,
    pub(super) accounts: [Account; ACCOUNTS],
    /// The server retains the replaced password as the secondary one.
    pub(super) retains: bool,
    /// AWSCURRENT signed in at the start of the history, or was promoted in it.
    pub(super) whole: bool,
    /// Writes in flight.
    pub(super) late: [Option<Write>; LATE_WRITES],
    /// Writes that may still become late.
    pub(super) late_left: u8,
}

impl World {
    pub(super) fn password(&self, id: Id) -> Password {
        match self.versions[id] {
            Value::Doc { password, .. } => password,
            _ => UNKNOWN,
        }
    }

    pub(super) fn fields(&self) -> u8 {
        match self.versions[self.current] {
            Value::Doc { fields, .. } => fields,
            _ => 0,
        }
    }

    pub(super) fn content(&self, id: Id) -> Content {
        match self.versions[id] {
            Value::None | Value::Empty => Content::Empty,
            Value::Foreign => Content::Foreign,
            Value::Doc { fields, .. } if fields != self.fields() => Content::Outdated,
            Value::Doc { .. } => Content::Fits,
        }
    }

    /// Whether AWSCURRENT is younger than the version.
    fn is_older(&self, id: Id) -> bool {
        self.written[id] < self.written[self.current]
    }

    /// Whether an account accepts the password of the version.
    pub(super) fn is_accepted(&self, id: Id) -> bool {
        let password = self.password(id);
        self.accounts
            .iter()
            .any(|account| account.accepts(password))
    }

    pub(super) fn current_signs_in(&self) -> bool {
        let current = self.password(self.current);
        self.accounts.iter().all(|account| account.accepts(current))
    }

    /// Promise 1: at each account AWSCURRENT or AWSPENDING signs in; on a server that retains
    /// passwords AWSCURRENT does.
    pub(super) fn holds(&self) -> bool {
        let current = self.password(self.current);
        let pending = self.pending.filter(|id| self.previous != Some(*id));
        let pending = pending.map_or(UNKNOWN, |id| self.password(id));
        let one = |account: &Account| account.accepts(current) || account.accepts(pending);
        self.accounts.iter().all(one) && (!self.retains || !self.whole || self.current_signs_in())
    }

    /// Secrets Manager's reaction to a write.
    pub(super) fn write(mut self, write: Write) -> (Self, bool) {
        let done = match write {
            Write::Put { id, value, labels } => match self.versions[id] {
                Value::None | Value::Empty => {
                    self.versions[id] = value;
                    self.written[id] = 1 + self.written.iter().max().unwrap_or(&0);
                    if labels {
                        self.pending = Some(id);
                    }
                    true
                }
                there => there == value,
            },
            Write::Label { id, from } => {
                let unmoved = self.pending == from;
                if unmoved {
                    self.pending = Some(id);
                }
                unmoved || self.pending == Some(id)
            }
            Write::Unlabel { id } => {
                let on_it = self.pending == Some(id);
                if on_it {
                    self.pending = None;
                }
                on_it
            }
            Write::Promote { from, to } => {
                let swap = self.current == from && from != to;
                if swap {
                    self.previous = Some(from);
                    self.current = to;
                    self.whole = self.whole || self.current_signs_in();
                }
                swap
            }
        };
        (self, done)
    }

    /// The world in which the write is late; `None` if the history has no further late write.
    fn delay(mut self, write: Write) -> Option<Self> {
        self.late_left = self.late_left.checked_sub(1)?;
        *self.late.iter_mut().find(|slot| slot.is_none())? = Some(write);
        self.late.sort_unstable();
        Some(self)
    }

    /// The worlds in which one late write took effect.
    pub(super) fn after_late_writes(self) -> impl Iterator<Item = Self> {
        (0..LATE_WRITES).filter_map(move |slot| {
            let mut world = self;
            let write = world.late[slot].take()?;
            world.late.sort_unstable();
            Some(world.write(write).0)
        })
    }
}

/// A run in one process, with its observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Run {
    pub(super) own: Id,
    from: Id,
    /// The version that AWSPENDING was on.
    pending: Option<Id>,
    fields: u8,
    /// The passwords in AWSCURRENT, the version of this run, and the pending version of another.
    current: Password,
    password: Password,
    carried: Password,
    pub(super) observed: Observed,
    /// Accounts that the present change has reached.
    converging: u8,
    pub(super) steps: u8,
}

/// What a server does in one statement, and what a run writes: the parts that are not `decide`'s.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// A version is written with AWSPENDING.
    pub(super) put_labels: bool,
}

pub(super) fn observe(world: &World, own: Id, guards: Guards) -> Run {
    let is_effective = |id| world.current != id && world.previous != Some(id);
    let own_state = if world.current == own {
        Own::Current
    } else if world.previous == Some(own) {
        Own::Previous
    } else if world.pending == Some(own) {
        Own::Pending(world.content(own))
    } else if world.versions[own] == Value::None {
        Own::NotThere
    } else if world.is_older(own) && world.content(own) == Content::Fits {
        // The secret changed since, perhaps from this very version.
        Own::Unlabelled(Content::Outdated)
    } else {
        Own::Unlabelled(world.content(own))
    };
    let current = world.password(world.current);
    let current_refused = !world.accounts[0].accepts(current);
    let other = world.pending.filter(|id| *id != own && is_effective(*id));
    let is_leftover = |id: &Id| {
        let is_unused = !current_refused && !world.is_accepted(*id);
        let has_password = matches!(world.content(*id), Content::Fits | Content::Outdated);
        has_password && (world.password(*id) == current || (world.is_older(*id) && is_unused))
    };
    let other = other.filter(|id| !is_leftover(id));
    let mut run = Run {
        own,
        from: world.current,
        pending: world.pending,
        fields: world.fields(),
        current,
        password: match own_state {
            Own::Pending(Content::Fits) | Own::Unlabelled(Content::Fits) => world.password(own),
            _ => UNKNOWN,
        },
        carried: other.map_or(UNKNOWN, |id| world.password(id)),
        observed: Observed {
            users: Users::Pair,
            own: own_state,
            elsewhere: other.map_or(Elsewhere::Nothing, |id| Elsewhere::Pending {
                content: world.content(id),
                same_password: world.password(id) == world.password(own),
            }),
            guards: Guards {
                current_refused,
                ..guards
            },
            standby: Standby {
                equal: true,
                has_password: false,
            },
            proof: None,
            pooler_secrets_stale: false,
            hooks: Hooks::Absent,
            converged: false,
            end_sessions: false,
        },
        converging: 0,
        steps: 0,
    };
    run.look(world);
    run
}

impl Run {
    /// Observes the user.
    fn look(&mut self, world: &World) {
        let own = self.password;
        let has = |account: &Account| own != UNKNOWN && account.primary == own;
        let accepted = |password| world.accounts.iter().any(|one| one.accepts(password));
        let lacking = || world.accounts.iter().filter(|account| !has(account));
        self.observed.guards.current_refused = !world.accounts[0].accepts(self.current);
        self.observed.standby.has_password = world.accounts.iter().all(has);
        self.observed.users = Users::One(OneUser {
            own_signs_in: accepted(own),
            elsewhere_signs_in: accepted(self.carried),
            change: if !world.retains {
                PasswordChange::Replaces
            } else if lacking().all(|account| account.primary == self.current) {
                PasswordChange::Retains
            } else {
                PasswordChange::RetainsOther
            },
        });
    }

    /// Changes the next account. Returns whether the change is complete.
    fn converge(&mut self, world: &mut World) -> bool {
        let account = &mut world.accounts[usize::from(self.converging)];
        if account.primary != self.password {
            account.set(self.password, world.retains);
        }
        self.converging += 1;
        usize::from(self.converging) == ACCOUNTS
    }
}

/// All states that one step of the run can reach. The first one is that of no disturbance.
///
/// # Errors
/// The rule that the step broke.
pub(super) fn successors(
    world: World,
    run: Run,
    action: Action,
    rules: Rules,
) -> Result<Successors, &'static str> {
    let mut run = Run {
        steps: run.steps + 1,
        ..run
    };
    if run.steps > 16 {
        return Err("the run does not end");
    }
    let guards = run.observed.guards;
    let store =
        |write: Write, on_success: &dyn Fn(&mut Run, &World)| -> Result<Successors, &'static str> {
            let (landed, done) = world.write(write);
            if landed.write(write).0 != landed {
                return Err("a write repeated changes something");
            }
            let mut after = run;
            if done {
                on_success(&mut after, &landed);
            } else {
                // After a conflict a run observes again.
                after = Run {
                    steps: run.steps,
                    ..observe(&landed, run.own, guards)
                };
            }
            let late = world.delay(write).map(|world| (world, None));
            Ok([(landed, Some(after)), (landed, None)]
                .into_iter()
                .chain(late)
                .collect())
        };
    match action {
        Action::Done | Action::Refuse(_) => Ok(vec![(world, None)]),
        Action::PutPending { carry } => {
            let password = if carry {
                run.carried
            } else {
                u8::try_from(run.own).unwrap_or(UNKNOWN)
            };
            if password == UNKNOWN {
                return Err("there is no password to carry on");
            }
            let value = Value::Doc {
                password,
                fields: run.fields,
            };
            let write = Write::Put {
                id: run.own,
                value,
                labels: rules.put_labels,
            };
            store(write, &|run: &mut Run, landed: &World| {
                run.password = password;
                run.observed.own = if landed.pending == Some(run.own) {
                    run.observed.elsewhere = Elsewhere::Nothing;
                    Own::Pending(Content::Fits)
                } else {
                    Own::Unlabelled(Content::Fits)
                };
                if let Elsewhere::Pending { same_password, .. } = &mut run.observed.elsewhere {
                    *same_password = password == run.carried;
                }
                run.look(landed);
            })
        }
        Action::LabelPending => {
            let write = Write::Label {
                id: run.own,
                from: run.pending,
            };
            store(write, &|run: &mut Run, landed: &World| {
                run.pending = Some(run.own);
                run.observed.own = Own::Pending(Content::Fits);
                run.observed.elsewhere = Elsewhere::Nothing;
                run.carried = UNKNOWN;
                run.look(landed);
            })
        }
        Action::DropPending => store(
            Write::Unlabel { id: run.own },
            &|run: &mut Run, _: &World| {
                run.observed.own = Own::Unlabelled(Content::Foreign);
            },
        ),
        Action::Promote => {
            let write = Write::Promote {
                from: run.from,
                to: run.own,
            };
            store(write, &|run: &mut Run, _: &World| {
                run.observed.own = Own::Current;
            })
        }
        Action::RestoreCurrent => {
            // One account after the other.
            let mut changed = world;
            let is_other =
                |one: &&mut Account| one.primary != run.current && one.primary != run.password;
            if let Some(account) = changed.accounts.iter_mut().find(is_other) {
                account.set(run.current, world.retains);
            }
            run.look(&changed);
            Ok(vec![(changed, Some(run)), (changed, None)])
        }
        Action::Converge => {
            let mut changed = world;
            if run.converge(&mut changed) {
                run.converging = 0;
                run.observed.converged = true;
                run.look(&changed);
            }
            Ok(vec![(changed, Some(run)), (changed, None)])
        }
        Action::Prove => {
            run.look(&world);
            run.observed.proof = Some(if run.observed.standby.has_password {
                Proof::Accepted
            } else {
                Proof::Refused
            });
            Ok(vec![(world, Some(run)), (world, None)])
        }
        Action::PutPoolerSecrets | Action::EndSessions | Action::RunHooks => {
            Err("an action that no single-user run has")
        }
    }
}
