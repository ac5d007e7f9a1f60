//! Model of the store, the two users and a run.

use crate::rotation::decide::{
    Action, Content, Elsewhere, Guards, Hooks, Observed, Own, Proof, Standby, Users, decide,
};

pub(super) type Id = usize;
pub(super) type Password = u8;

pub(super) const CURRENT: Id = 0;
pub(super) const PREVIOUS: Id = 1;
pub(super) const OTHER: Id = 2;
pub(super) const THIS_WINDOW: Id = 3;
pub(super) const NEXT_WINDOW: Id = 4;
pub(super) const LATER_WINDOW: Id = 5;
/// A password that no version has.
pub(super) const UNKNOWN: Password = 99;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Value {
    None,
    Empty,
    Foreign,
    Doc {
        clone: bool,
        password: Password,
        /// Edition of its other fields.
        fields: u8,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum User {
    Absent,
    There {
        signs_in: bool,
        password: Password,
        full: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct World<const VERSIONS: usize = 6> {
    pub(super) versions: [Value; VERSIONS],
    pub(super) current: Id,
    pub(super) previous: Option<Id>,
    pub(super) pending: Option<Id>,
    /// The base user and the clone.
    pub(super) users: [User; 2],
    pub(super) late: Late,
}

/// The write of a history that may arrive late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Late {
    NotYet,
    InFlight(Write),
    Landed,
}

/// A write to the store, with the data of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Write {
    Put { id: Id, value: Value },
    Label { id: Id },
    Unlabel { id: Id },
    Promote { from: Id, to: Id },
}

/// A run in one process, with its observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Run {
    pub(super) own: Id,
    pub(super) from: Id,
    pub(super) clone_is_standby: bool,
    /// The edition of the current document in the observation.
    pub(super) fields: u8,
    /// The password in the document of this run.
    pub(super) password: Password,
    pub(super) observed: Observed,
    /// A pooler reads the passwords of the pair from secrets.
    pub(super) puts_pooler_secrets: bool,
    /// Completed parts of a Converge, because some engines have no transactions.
    pub(super) converging: u8,
    pub(super) steps: u8,
}

impl<const VERSIONS: usize> World<VERSIONS> {
    pub(super) fn active_is_clone(&self) -> bool {
        matches!(self.versions[self.current], Value::Doc { clone: true, .. })
    }

    pub(super) fn content(&self, id: Id) -> Content {
        match self.versions[id] {
            Value::None | Value::Empty => Content::Empty,
            Value::Foreign => Content::Foreign,
            Value::Doc { clone, .. } if clone == self.active_is_clone() => Content::Foreign,
            Value::Doc { fields, .. } if fields != self.fields() => Content::Outdated,
            Value::Doc { .. } => Content::Fits,
        }
    }

    pub(super) fn fields(&self) -> u8 {
        match self.versions[self.current] {
            Value::Doc { fields, .. } => fields,
            _ => 0,
        }
    }

    pub(super) fn password(&self, id: Id) -> Password {
        match self.versions[id] {
            Value::Doc { password, .. } => password,
            _ => UNKNOWN,
        }
    }

    /// Whether the standby is this secret's own, as `observe::ownership` finds it: a version has its
    /// password, or names a standby that no client can sign in as.
    pub(super) fn owns_standby(&self) -> bool {
        let standby = !self.active_is_clone();
        let mut named = self.versions.iter().filter_map(|version| match version {
            Value::Doc {
                clone, password, ..
            } if *clone == standby => Some(*password),
            _ => None,
        });
        match self.users[usize::from(standby)] {
            User::Absent => true,
            User::There {
                signs_in, password, ..
            } => named.any(|known| !signs_in || known == password),
        }
    }

    /// Secrets Manager's reaction to a write, as the conformance suite of the stores checks it.
    pub(super) fn write(mut self, write: Write) -> (Self, bool) {
        let done = match write {
            Write::Put { id, value } => match self.versions[id] {
                Value::None | Value::Empty => {
                    self.versions[id] = value;
                    self.pending = Some(id);
                    true
                }
                there => there == value,
            },
            Write::Label { id } => {
                self.pending = Some(id);
                true
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
                }
                swap
            }
        };
        (self, done)
    }

    pub(super) fn holds(&self) -> bool {
        let Value::Doc {
            clone, password, ..
        } = self.versions[self.current]
        else {
            return false;
        };
        self.users[usize::from(clone)]
            == User::There {
                signs_in: true,
                password,
                full: true,
            }
    }
}

pub(super) fn observe<const VERSIONS: usize>(world: &World<VERSIONS>, own: Id) -> Run {
    let standby_is_clone = !world.active_is_clone();
    let own_state = if world.current == own {
        Own::Current
    } else if world.previous == Some(own) {
        Own::Previous
    } else if world.pending == Some(own) {
        Own::Pending(world.content(own))
    } else if world.versions[own] == Value::None {
        Own::NotThere
    } else {
        Own::Unlabelled(world.content(own))
    };
    let elsewhere = match world.pending {
        Some(id) if id != own && id != world.current && Some(id) != world.previous => {
            Elsewhere::Pending {
                content: world.content(id),
                same_password: world.password(id) == world.password(own),
            }
        }
        _ => Elsewhere::Nothing,
    };
    let mut run = Run {
        own,
        from: world.current,
        clone_is_standby: standby_is_clone,
        fields: world.fields(),
        password: world.password(own),
        observed: Observed {
            users: Users::Pair,
            own: own_state,
            elsewhere,
            guards: Guards::default(),
            standby: Standby {
                equal: false,
                has_password: false,
            },
            proof: None,
            pooler_secrets_stale: false,
            hooks: Hooks::Absent,
            converged: false,
            end_sessions: ends_sessions(own),
        },
        puts_pooler_secrets: false,
        converging: 0,
        steps: 0,
    };
    run.observed.guards.standby_foreign = !world.owns_standby();
    observe_standby(world, &mut run);
    run
}

/// Whether the run of this version ends the sessions of the standby: every second one does.
pub(super) const fn ends_sessions(own: usize) -> bool {
    own.is_multiple_of(2)
}

pub(super) fn observe_standby<const VERSIONS: usize>(world: &World<VERSIONS>, run: &mut Run) {
    run.observed.standby = match world.users[usize::from(run.clone_is_standby)] {
        User::Absent => Standby {
            equal: false,
            has_password: false,
        },
        User::There {
            signs_in,
            password,
            full,
        } => Standby {
            equal: full,
            has_password: signs_in && password == run.password,
        },
    };
}

/// One part of a Converge, as an engine without transactions performs it.
pub(super) fn converge<const VERSIONS: usize>(world: &mut World<VERSIONS>, run: &Run, part: u8) {
    let user = &mut world.users[usize::from(run.clone_is_standby)];
    *user = match (part, *user) {
        (0, User::Absent) => User::There {
            signs_in: false,
            password: UNKNOWN,
            full: false,
        },
        (
            1,
            User::There {
                signs_in, password, ..
            },
        ) => User::There {
            signs_in,
            password,
            full: true,
        },
        (2, User::There { full, .. }) => User::There {
            signs_in: true,
            password: run.password,
            full,
        },
        (_, other) => other,
    };
}

/// All states that one step of the run can reach.
pub(super) fn successors(world: World, run: Run) -> Vec<(World, Option<Run>)> {
    let mut next = Vec::new();
    let mut run = Run {
        steps: run.steps + 1,
        ..run
    };
    assert!(run.steps < 16, "the run does not end: {world:?} {run:?}");

    // After a conflict a run observes again; otherwise it uses its own effect.
    let store = |write: Write, on_success: &dyn Fn(&mut Run)| {
        let (landed, done) = world.write(write);
        let (again, _) = landed.write(write);
        assert_eq!(
            again, landed,
            "{write:?} repeated changes something in {world:?}"
        );
        assert_eq!(
            again.users, world.users,
            "a write to the store touched a user"
        );
        let mut after = run;
        if done {
            on_success(&mut after);
        } else {
            after = Run {
                steps: run.steps,
                ..observe(&landed, run.own)
            };
        }
        let mut out = vec![(landed, Some(after)), (landed, None)];
        if world.late == Late::NotYet {
            out.push((
                World {
                    late: Late::InFlight(write),
                    ..world
                },
                None,
            ));
        }
        out
    };

    match decide(&run.observed) {
        Action::Done | Action::Refuse(_) => next.push((world, None)),
        Action::PutPending { carry } => {
            let password = match (carry, world.pending) {
                (true, Some(id)) => world.password(id),
                _ => u8::try_from(run.own).unwrap(),
            };
            let value = Value::Doc {
                clone: run.clone_is_standby,
                password,
                fields: run.fields,
            };
            next.extend(store(
                Write::Put { id: run.own, value },
                &|run: &mut Run| {
                    run.observed.own = Own::Pending(Content::Fits);
                    run.observed.elsewhere = Elsewhere::Nothing;
                    run.password = password;
                    run.observed.pooler_secrets_stale = run.puts_pooler_secrets;
                    observe_standby(&world, run);
                },
            ));
        }
        Action::LabelPending => {
            next.extend(store(Write::Label { id: run.own }, &|run: &mut Run| {
                run.observed.own = Own::Pending(Content::Fits);
                run.observed.elsewhere = Elsewhere::Nothing;
            }));
        }
        Action::DropPending => {
            next.extend(store(Write::Unlabel { id: run.own }, &|run: &mut Run| {
                run.observed.own = Own::Unlabelled(Content::Foreign);
            }));
        }
        Action::Promote => {
            let write = Write::Promote {
                from: run.from,
                to: run.own,
            };
            next.extend(store(write, &|run: &mut Run| {
                run.observed.own = Own::Current
            }));
        }
        Action::Converge => {
            assert!(world.owns_standby(), "a foreign user is changed: {world:?}");
            let mut changed = world;
            converge(&mut changed, &run, run.converging);
            let mut again = changed;
            converge(&mut again, &run, run.converging);
            assert_eq!(
                again, changed,
                "a part of Converge repeated changes something"
            );
            run.converging += 1;
            if run.converging == 3 {
                run.converging = 0;
                run.observed.converged = true;
                run.observed.end_sessions = ends_sessions(run.own);
                observe_standby(&changed, &mut run);
            }
            next.extend([(changed, Some(run)), (changed, None)]);
        }
        Action::RestoreCurrent => unreachable!("a pair has two users"),
        Action::PutPoolerSecrets => {
            run.observed.pooler_secrets_stale = false;
            next.extend([(world, Some(run)), (world, None)]);
        }
        Action::RunHooks => {
            let mut failed = run;
            failed.observed.hooks = Hooks::Failed;
            run.observed.hooks = Hooks::Succeeded;
            run.observed.proof = None;
            next.extend([(world, Some(run)), (world, Some(failed)), (world, None)]);
        }
        Action::EndSessions => {
            let standby = run.observed.standby;
            assert!(standby.equal && standby.has_password, "before the password");
            run.observed.end_sessions = false;
            next.extend([(world, Some(run)), (world, None)]);
        }
        Action::Prove => {
            observe_standby(&world, &mut run);
            let standby = run.observed.standby;
            run.observed.proof = Some(if standby.equal && standby.has_password {
                Proof::Accepted
            } else {
                Proof::Refused
            });
            next.extend([(world, Some(run)), (world, None)]);
        }
    }
    next
}
