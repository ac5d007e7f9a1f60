//! Exhaustive model of two replicas behind a run: they learn late, in any order, or never, and come
//! and go.
//!
//! The database keeps a log of its states. A replica is a position in that log, and moves forward at
//! any time; it may be unreachable at any time. The store, the users and the run are those of
//! `world`, and the run decides with the real `decide`. In each state a run may also crash, be
//! followed by a run of another window, or leave a late write. The two users are alike to `decide`,
//! so that the base user is the first active one.
//!
//! # Invariants
//! 1. AWSCURRENT signs in with full privileges at the database and at every replica: with
//!    `readers_down = "skip"`, at every replica that was reachable at the proof.
//! 2. A run whose proof a replica prevents leaves AWSCURRENT, and the next run continues with its
//!    password.
//! 3. From every state, a run succeeds once the replicas have caught up and are reachable.
//!
//! # Limits
//! There are no late writes where replicas are skipped: a late promotion would count with the
//! replicas that its own proof skipped.

use std::collections::HashSet;

use super::world::*;
use crate::rotation::decide::{Action, Own, Proof, Refusal, decide};

const REPLICAS: usize = 2;
/// States of the users that differ, in one history.
const LOG: usize = 16;

type Users = [User; 2];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Replica {
    /// Position in the log.
    at: usize,
    reachable: bool,
    /// It was unreachable when AWSCURRENT was proved, and skipped.
    skipped: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    world: World,
    log: [Option<Users>; LOG],
    length: usize,
    replicas: [Replica; REPLICAS],
    run: Option<Run>,
    /// The replicas that the proof of the run skipped.
    skips: [bool; REPLICAS],
    /// Changes of reachability that are left, which bounds the histories.
    outages: u8,
}

impl State {
    fn start(world: World, outages: u8) -> Self {
        let mut log = [None; LOG];
        log[0] = Some(world.users);
        let replica = Replica {
            at: 0,
            reachable: true,
            skipped: false,
        };
        Self {
            world,
            log,
            length: 1,
            replicas: [replica; REPLICAS],
            run: None,
            skips: [false; REPLICAS],
            outages,
        }
    }

    /// The world as a replica has it.
    fn seen_by(&self, replica: usize) -> World {
        World {
            users: self.log[self.replicas[replica].at].unwrap(),
            ..self.world
        }
    }

    fn holds(&self) -> bool {
        self.world.holds()
            && (0..REPLICAS).all(|r| self.replicas[r].skipped || self.seen_by(r).holds())
    }

    /// Adds the database's state to the log.
    fn record(mut self) -> Self {
        if self.log[self.length - 1] != Some(self.world.users) {
            assert!(self.length < LOG, "the log is too short");
            self.log[self.length] = Some(self.world.users);
            self.length += 1;
        }
        self
    }

    fn observe(&self, own: Id, skips_unreachable: bool) -> Run {
        let mut run = observe(&self.world, own);
        let replicas = || (0..REPLICAS).map(|r| (self.replicas[r], self.seen_by(r)));
        let guards = &mut run.observed.guards;
        guards.reader_unreachable =
            !skips_unreachable && replicas().any(|(replica, _)| !replica.reachable);
        guards.reader_behind =
            replicas().any(|(replica, world)| replica.reachable && !world.holds());
        run
    }

    /// The same state with the replicas in one order: they are alike.
    fn ordered(mut self) -> Self {
        let key = |r: usize| {
            let replica = self.replicas[r];
            (
                replica.at,
                replica.reachable,
                replica.skipped,
                self.skips[r],
            )
        };
        if key(1) < key(0) {
            self.replicas.swap(0, 1);
            self.skips.swap(0, 1);
        }
        self
    }

    /// The proof at the replicas, after the database accepted the password.
    fn prove(&mut self, skips_unreachable: bool) {
        let Some(run) = self.run else { return };
        if run.observed.proof != Some(Proof::Accepted) {
            return;
        }
        let mut proof = Proof::Accepted;
        self.skips = [false; REPLICAS];
        for r in 0..REPLICAS {
            if !self.replicas[r].reachable {
                self.skips[r] = skips_unreachable;
                if !skips_unreachable && proof == Proof::Accepted {
                    proof = Proof::Unreachable;
                }
                continue;
            }
            let mut there = run;
            observe_standby(&self.seen_by(r), &mut there);
            if !there.observed.standby.has_password {
                proof = Proof::Behind;
            }
        }
        let run = self.run.as_mut().unwrap();
        run.observed.proof = Some(proof);
    }

    /// Records a promotion: which replicas AWSCURRENT was proved at.
    fn promoted(mut self, before: Id) -> Self {
        if self.world.current != before {
            for r in 0..REPLICAS {
                // A replica that knows it although it was skipped counts again.
                self.replicas[r].skipped = self.skips[r] && !self.seen_by(r).holds();
            }
        }
        self
    }
}

/// The states of store and database before a run of a pair in order.
pub(super) fn starts(late: Late) -> Vec<World> {
    let document = |clone, password| Value::Doc {
        clone,
        password,
        fields: 0,
    };
    let user = |password| User::There {
        signs_in: true,
        password,
        full: true,
    };
    let first = (Value::None, None, User::Absent);
    let later = (document(true, 1), Some(PREVIOUS), user(1));
    let mut all = Vec::new();
    for (replaced, previous, standby) in [first, later] {
        for pending in [None, Some(OTHER)] {
            all.push(World {
                versions: [
                    document(false, 0),
                    replaced,
                    document(true, 2),
                    Value::None,
                    Value::None,
                    Value::None,
                ],
                current: CURRENT,
                previous,
                pending,
                users: [user(0), standby],
                late,
            });
        }
    }
    all
}

/// All states that one event can reach.
fn next(state: &State, skips_unreachable: bool) -> Vec<State> {
    let mut all = Vec::new();
    for r in 0..REPLICAS {
        let replica = state.replicas[r];
        if replica.at + 1 < state.length {
            let mut learned = *state;
            learned.replicas[r].at += 1;
            if learned.seen_by(r).holds() {
                learned.replicas[r].skipped = false;
            }
            all.push(learned);
        }
        if state.outages > 0 {
            let mut changed = *state;
            changed.outages -= 1;
            changed.replicas[r].reachable = !replica.reachable;
            all.push(changed);
        }
    }
    if let Late::InFlight(write) = state.world.late {
        let landed = World {
            late: Late::Landed,
            ..state.world
        };
        let (world, _) = landed.write(write);
        all.push(State { world, ..*state });
    }
    let Some(run) = state.run else {
        for own in [THIS_WINDOW, NEXT_WINDOW] {
            let run = Some(state.observe(own, skips_unreachable));
            let skips = [false; REPLICAS];
            all.push(State {
                run,
                skips,
                ..*state
            });
        }
        return all;
    };
    let proves = decide(&run.observed) == Action::Prove;
    for (world, run) in successors(state.world, run) {
        let mut after = State {
            world,
            run,
            ..*state
        }
        .record();
        if proves {
            after.prove(skips_unreachable);
        }
        all.push(after.promoted(state.world.current));
    }
    all
}

/// Runs one window to its end, undisturbed.
fn undisturbed(mut state: State, own: Id, skips_unreachable: bool) -> (State, Action) {
    state.world.late = Late::Landed;
    state.run = Some(state.observe(own, skips_unreachable));
    loop {
        let run = state.run.unwrap();
        let action = decide(&run.observed);
        if matches!(action, Action::Done | Action::Refuse(_)) {
            return (state, action);
        }
        let (world, run) = successors(state.world, run).swap_remove(0);
        state = State {
            world,
            run,
            ..state
        }
        .record();
        if action == Action::Prove {
            state.prove(skips_unreachable);
        }
    }
}

fn explore(skips_unreachable: bool, outages: u8) {
    let mut seen: HashSet<State> = HashSet::new();
    let mut settled: HashSet<State> = HashSet::new();
    let late = if skips_unreachable {
        Late::Landed
    } else {
        Late::NotYet
    };
    let mut todo: Vec<State> = starts(late)
        .into_iter()
        .map(|world| State::start(world, outages))
        .collect();
    while let Some(state) = todo.pop() {
        let state = state.ordered();
        if !seen.insert(state) {
            continue;
        }
        assert!(state.holds(), "a replica refuses AWSCURRENT: {state:?}");
        if state.run.is_none() {
            settled.insert(State {
                outages: 0,
                ..state
            });
        }
        todo.extend(next(&state, skips_unreachable));
    }
    for state in &settled {
        // The replicas never learn: the run waits, and the next one continues with its password.
        let (waiting, end) = undisturbed(*state, LATER_WINDOW, skips_unreachable);
        // A late write left AWSPENDING on a version of the active user, as without replicas.
        if end == Action::Refuse(Refusal::PendingConflict) {
            assert_ne!(state.world.late, Late::NotYet, "{state:?}");
            continue;
        }
        if end != Action::Done {
            let waits = [Refusal::ReaderBehind, Refusal::ReaderUnreachable];
            assert!(
                waits.map(Action::Refuse).contains(&end),
                "{end:?} {state:?}"
            );
            assert_eq!(waiting.world.current, state.world.current);
            assert!(waiting.holds());
        }
        // They catch up, and the same window's run succeeds with the same password.
        let mut healed = waiting;
        for replica in &mut healed.replicas {
            replica.at = healed.length - 1;
            replica.reachable = true;
        }
        let pending = healed.world.password(LATER_WINDOW);
        let proposed = healed.world.versions[LATER_WINDOW] != Value::None;
        let (done, end) = undisturbed(healed, LATER_WINDOW, skips_unreachable);
        // The run converges only where the wait began before its change.
        let (done, end) = if end == Action::Refuse(Refusal::ReaderBehind) {
            let mut healed = done;
            for replica in &mut healed.replicas {
                replica.at = healed.length - 1;
            }
            undisturbed(healed, LATER_WINDOW, skips_unreachable)
        } else {
            (done, end)
        };
        assert_eq!(end, Action::Done, "{state:?}");
        assert_eq!(done.world.current, LATER_WINDOW);
        if proposed {
            assert_eq!(
                done.world.password(LATER_WINDOW),
                pending,
                "another password"
            );
        }
        assert!(done.run.is_some_and(|run| run.observed.own == Own::Current));
    }
    println!(
        "readers_down = {}: {} states, {} of them between two runs: 0 violations",
        if skips_unreachable { "skip" } else { "wait" },
        seen.len(),
        settled.len()
    );
}

#[test]
fn no_flip_locks_out_a_replica() {
    explore(false, 2);
}

#[test]
fn a_skipped_replica_is_the_only_one_behind() {
    explore(true, 2);
}
