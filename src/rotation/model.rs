//! The product's best argument: a model of the store, the two users and a run, in which *everything*
//! that can happen is tried. From every start that the enumeration below makes, every reachable state
//! is visited, where at each point a run may go on, crash, be followed by a run of the same or of
//! another window, or leave a write to the store in flight that lands at any later time.
//!
//! In every state:
//! 1. AWSCURRENT signs in, with full privileges;
//! 2. nothing but Converge touches a database user, so AWSPREVIOUS signs in until the next `set`;
//! 3. every run ends;
//! 4. repeating an action's effect changes nothing more.
//!
//! And from every state without a foreign AWSPENDING an undisturbed run succeeds.
//!
//! Not in the model: two late writes in one history, that is, two workers that die one after the other,
//! each with its database connection (and so the pair's lock) lost and its write still under way in
//! the network while later runs come and go. With two, a late AWSPENDING can slip under a run whose
//! own promotion is late too; no sequence of single calls to Secrets Manager could rule that out.

use std::collections::HashSet;

use super::decide::{Action, Content, Elsewhere, Guards, Observed, Own, Refusal, Standby, decide};

type Id = usize;
type Password = u8;

const CURRENT: Id = 0;
const PREVIOUS: Id = 1;
const OTHER: Id = 2;
const THIS_WINDOW: Id = 3;
const NEXT_WINDOW: Id = 4;
const LATER_WINDOW: Id = 5;
const UNKNOWN: Password = 99;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Value {
    None,
    Empty,
    Foreign,
    Doc {
        clone: bool,
        password: Password,
        old_fields: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum User {
    Absent,
    There {
        signs_in: bool,
        password: Password,
        full: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct World {
    versions: [Value; 6],
    current: Id,
    previous: Option<Id>,
    pending: Option<Id>,
    /// The base user and the clone.
    users: [User; 2],
    late: Late,
}

/// The one write of a history that may arrive late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Late {
    NotYet,
    InFlight(Write),
    Landed,
}

/// A write to the store, with everything that its request holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Write {
    Put { id: Id, value: Value },
    Label { id: Id },
    Unlabel { id: Id },
    Promote { from: Id, to: Id },
}

/// A run in one process: what it saw and what it made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Run {
    own: Id,
    from: Id,
    clone_is_standby: bool,
    /// The password in the document that this run works for.
    password: Password,
    observed: Observed,
    /// How far a Converge has come: not every engine has transactions.
    converging: u8,
    steps: u8,
}

impl World {
    fn active_is_clone(&self) -> bool {
        matches!(self.versions[self.current], Value::Doc { clone: true, .. })
    }

    fn content(&self, id: Id) -> Content {
        match self.versions[id] {
            Value::None | Value::Empty => Content::Empty,
            Value::Foreign => Content::Foreign,
            Value::Doc { clone, .. } if clone == self.active_is_clone() => Content::Foreign,
            Value::Doc {
                old_fields: true, ..
            } => Content::Outdated,
            Value::Doc { .. } => Content::Fits,
        }
    }

    fn password(&self, id: Id) -> Password {
        match self.versions[id] {
            Value::Doc { password, .. } => password,
            _ => UNKNOWN,
        }
    }

    /// What AWS does with a write, as engines.md and the store's conformance suite have it.
    fn write(mut self, write: Write) -> (Self, bool) {
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

    fn holds(&self) -> bool {
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

fn observe(world: &World, own: Id) -> Run {
    let standby_is_clone = !world.active_is_clone();
    let own_state = if world.current == own {
        Own::Current
    } else if world.pending == Some(own) {
        Own::Pending(world.content(own))
    } else if world.previous == Some(own) {
        Own::Previous
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
        password: world.password(own),
        observed: Observed {
            own: own_state,
            elsewhere,
            guards: Guards::default(),
            standby: Standby {
                equal: false,
                has_password: false,
            },
            proof: None,
            converged: false,
        },
        converging: 0,
        steps: 0,
    };
    look_at_standby(world, &mut run);
    run
}

fn look_at_standby(world: &World, run: &mut Run) {
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

/// One Converge cut into its parts, as an engine without transactions carries it out.
fn converge(world: &mut World, run: &Run, part: u8) {
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

/// Every state that one step of the run can lead to.
fn successors(world: World, run: Run) -> Vec<(World, Option<Run>)> {
    let mut next = Vec::new();
    let mut run = Run {
        steps: run.steps + 1,
        ..run
    };
    assert!(run.steps < 16, "the run does not end: {world:?} {run:?}");

    // A conflict sends a run back to looking; everything else it knows from its own effect.
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
                old_fields: false,
            };
            next.extend(store(
                Write::Put { id: run.own, value },
                &|run: &mut Run| {
                    run.observed.own = Own::Pending(Content::Fits);
                    run.observed.elsewhere = Elsewhere::Nothing;
                    run.password = password;
                    look_at_standby(&world, run);
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
                look_at_standby(&changed, &mut run);
            }
            next.extend([(changed, Some(run)), (changed, None)]);
        }
        Action::Prove => {
            look_at_standby(&world, &mut run);
            let standby = run.observed.standby;
            run.observed.proof = Some(standby.equal && standby.has_password);
            next.extend([(world, Some(run)), (world, None)]);
        }
    }
    next
}

/// Every start: whichever user is active, with every state of labels, documents and standby.
fn starts() -> Vec<World> {
    let mut all = Vec::new();
    for active_clone in [false, true] {
        let standby = |password, old_fields| Value::Doc {
            clone: !active_clone,
            password,
            old_fields,
        };
        let wrong_user = Value::Doc {
            clone: active_clone,
            password: 7,
            old_fields: false,
        };
        let contents = |password| {
            [
                Value::None,
                Value::Empty,
                Value::Foreign,
                wrong_user,
                standby(password, false),
                standby(password, true),
                standby(2, false),
            ]
        };
        let mut users = vec![User::Absent];
        for signs_in in [false, true] {
            for password in [1, 2, 3, UNKNOWN] {
                for full in [false, true] {
                    users.push(User::There {
                        signs_in,
                        password,
                        full,
                    });
                }
            }
        }
        for previous in [None, Some(PREVIOUS)] {
            for pending in [
                None,
                Some(CURRENT),
                previous,
                Some(OTHER),
                Some(THIS_WINDOW),
            ] {
                for other in contents(2) {
                    for this in contents(3) {
                        for user in &users {
                            let active = User::There {
                                signs_in: true,
                                password: 0,
                                full: true,
                            };
                            let mut world = World {
                                versions: [
                                    Value::Doc {
                                        clone: active_clone,
                                        password: 0,
                                        old_fields: false,
                                    },
                                    standby(1, false),
                                    other,
                                    this,
                                    Value::None,
                                    Value::None,
                                ],
                                current: CURRENT,
                                previous,
                                pending,
                                users: [active, *user],
                                late: Late::NotYet,
                            };
                            if active_clone {
                                world.users.swap(0, 1);
                            }
                            // A label needs a version to be on.
                            if pending.is_none_or(|id| world.versions[id] != Value::None) {
                                all.push(world);
                            }
                        }
                    }
                }
            }
        }
    }
    all
}

#[test]
fn every_reachable_state_keeps_the_promises_and_every_run_ends() {
    let mut seen: HashSet<(World, Option<Run>)> = HashSet::new();
    let mut worlds: HashSet<World> = HashSet::new();
    let mut todo: Vec<(World, Option<Run>)> = Vec::new();
    let starts = starts();
    for world in &starts {
        assert!(world.holds());
        todo.push((*world, None));
    }
    let mut steps = 0_u64;
    while let Some((world, run)) = todo.pop() {
        if !seen.insert((world, run)) {
            continue;
        }
        assert!(
            world.holds(),
            "AWSCURRENT does not sign in with full privileges: {world:?} {run:?}"
        );
        worlds.insert(world);
        let mut next = Vec::new();
        match run {
            Some(run) => next.extend(successors(world, run)),
            None => next
                .extend([THIS_WINDOW, NEXT_WINDOW].map(|own| (world, Some(observe(&world, own))))),
        }
        if let Late::InFlight(write) = world.late {
            let (landed, _) = World {
                late: Late::Landed,
                ..world
            }
            .write(write);
            next.push((landed, run));
        }
        steps += next.len() as u64;
        todo.extend(next);
    }

    // From everywhere, a run that nobody disturbs succeeds, or stops at a foreign AWSPENDING.
    for world in &worlds {
        let mut at = *world;
        at.late = Late::Landed;
        let mut run = observe(&at, LATER_WINDOW);
        let end = loop {
            match decide(&run.observed) {
                end @ (Action::Done | Action::Refuse(_)) => break end,
                _ => {
                    let (world, next) = successors(at, run).swap_remove(0);
                    (at, run) = (world, next.unwrap());
                }
            }
        };
        let foreign = world.pending.is_some_and(|id| {
            id != world.current
                && Some(id) != world.previous
                && world.content(id) == Content::Foreign
        });
        if foreign {
            assert_eq!(end, Action::Refuse(Refusal::PendingConflict), "{world:?}");
        } else {
            assert_eq!(end, Action::Done, "{world:?}");
            assert!(at.holds() && at.current == LATER_WINDOW);
            assert_eq!(
                at.previous,
                Some(world.current),
                "the user just replaced must be AWSPREVIOUS"
            );
        }
    }
    println!(
        "{} starts, {} states of the world, {} states with a run, {steps} steps: 0 violations",
        starts.len(),
        worlds.len(),
        seen.len()
    );
}

#[test]
fn no_guard_lets_an_effect_through() {
    let contents = [
        Content::Fits,
        Content::Outdated,
        Content::Empty,
        Content::Foreign,
    ];
    let mut owns = vec![Own::NotThere, Own::Current, Own::Previous];
    owns.extend(contents.map(Own::Unlabelled));
    owns.extend(contents.map(Own::Pending));
    let mut elsewheres = vec![Elsewhere::Nothing];
    for content in contents {
        for same_password in [false, true] {
            elsewheres.push(Elsewhere::Pending {
                content,
                same_password,
            });
        }
    }
    let mut count = 0;
    for bits in 0..1_u32 << 12 {
        let on = |n: u32| bits & (1 << n) != 0;
        let guards = Guards {
            managed_elsewhere: on(0),
            window_closed: on(1),
            too_soon: on(2),
            current_refused: on(3),
            master_refused: on(4),
            other_server: on(5),
            locked: on(6),
            unfit: on(7),
            standby_missing: on(8),
            master_lacks: on(9),
            differs: on(10),
            standby_in_use: on(11),
        };
        let always = guards.refusals();
        assert_eq!(
            always.len() as u32,
            (bits & !(1 << 2) & !(1 << 11)).count_ones()
        );
        for own in &owns {
            for elsewhere in &elsewheres {
                for (equal, has_password) in
                    [(false, false), (false, true), (true, false), (true, true)]
                {
                    for proof in [None, Some(false), Some(true)] {
                        for converged in [false, true] {
                            let action = decide(&Observed {
                                own: *own,
                                elsewhere: *elsewhere,
                                guards,
                                standby: Standby {
                                    equal,
                                    has_password,
                                },
                                proof,
                                converged,
                            });
                            count += 1;
                            let effect = matches!(
                                action,
                                Action::PutPending { .. }
                                    | Action::LabelPending
                                    | Action::Converge
                                    | Action::Promote
                            );
                            assert!(!effect || always.is_empty(), "{own:?} {guards:?}");
                            let takes = matches!(action, Action::PutPending { .. })
                                || (action == Action::Converge && !has_password);
                            assert!(
                                !(takes && guards.takeover().is_some()),
                                "{own:?} {guards:?}"
                            );
                            if action == Action::Promote {
                                assert_eq!(*own, Own::Pending(Content::Fits));
                                assert!(equal && has_password && proof == Some(true));
                            }
                        }
                    }
                }
            }
        }
    }
    println!("{count} combinations of facts: no guard lets an effect through");
}
