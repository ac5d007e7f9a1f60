//! Exhaustive model of a pooler with a list of passwords of its own, in front of the database.
//!
//! The list has a password for each of the two users. It changes by the write of a run into the
//! pooler's secrets, by a hook before the flip, or by an administrator who copies the database's
//! state at any time. A hook may fail before or after it wrote the list, and a run may crash during
//! it. The store, the users and the run are those of `world`, and the run decides with the real
//! `decide`. In each state a run may also crash, be followed by a run of another window, or leave a
//! late write.
//!
//! # Invariants
//! 1. AWSCURRENT signs in with full privileges at the database and at the pooler.
//! 2. Only a run that proved its password at the pooler promotes.
//! 3. A failed hook, or a pooler that refuses, leaves AWSCURRENT, and the next run continues with the
//!    same password.
//! 4. From every state, a run succeeds once the pooler can learn the password.

use std::collections::HashSet;

use super::endpoints;
use super::world::*;
use crate::rotation::decide::{Action, Hooks, Own, Proof, Refusal, decide};

/// How the pooler learns passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    /// The run writes its secrets.
    Secrets,
    /// A hook writes its list.
    Hook,
    /// Only an administrator does.
    Administrator,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    world: World,
    /// The password of the base user and of the clone at the pooler.
    list: [Password; 2],
    run: Option<Run>,
}

impl State {
    fn holds(&self) -> bool {
        let clone = self.world.active_is_clone();
        self.world.holds()
            && self.list[usize::from(clone)] == self.world.password(self.world.current)
    }

    fn knows(&self, run: &Run) -> bool {
        self.list[usize::from(run.clone_is_standby)] == run.password
    }

    fn learn(&mut self, run: &Run) {
        self.list[usize::from(run.clone_is_standby)] = run.password;
    }

    fn observe(&self, own: Id, source: Source) -> Run {
        let mut run = observe(&self.world, own);
        run.puts_pooler_secrets = source == Source::Secrets;
        run.observed.pooler_secrets_stale = run.puts_pooler_secrets && !self.knows(&run);
        if source == Source::Hook {
            run.observed.hooks = Hooks::Due;
        }
        run.observed.guards.pooler_refused = !self.holds();
        run
    }

    /// All states after one step of the run.
    fn successors(&self, run: Run, source: Source) -> Vec<Self> {
        let action = decide(&run.observed);
        if action == Action::Promote {
            assert!(self.knows(&run), "the pooler refuses the promoted password");
        }
        let mut all = Vec::new();
        for (world, after) in successors(self.world, run) {
            let mut next = Self {
                world,
                run: after,
                ..*self
            };
            match action {
                Action::PutPoolerSecrets => next.learn(&run),
                // A run that was cut during the hook is the case of a failure, too.
                Action::RunHooks => {
                    let failed = after.is_none_or(|run| run.observed.hooks == Hooks::Failed);
                    if failed {
                        all.push(next);
                    }
                    next.learn(&run);
                }
                Action::Prove => next.prove(),
                Action::PutPending { .. } | Action::LabelPending => {
                    if let Some(mut after) = next.run {
                        after.observed.pooler_secrets_stale =
                            after.puts_pooler_secrets && !next.knows(&after);
                        next.run = Some(after);
                    }
                }
                _ => {}
            }
            // After a conflict, `successors` observes without the pooler.
            if let Some(after) = &mut next.run
                && after.steps == run.steps + 1
                && action != Action::RunHooks
            {
                let seen = Self { run: None, ..next }.observe(after.own, source);
                after.puts_pooler_secrets = seen.puts_pooler_secrets;
                if source == Source::Hook && after.observed.hooks == Hooks::Absent {
                    after.observed.hooks = Hooks::Due;
                }
            }
            all.push(next);
        }
        all
    }

    /// The proof at the pooler, after the database accepted the password.
    fn prove(&mut self) {
        let Some(mut run) = self.run else { return };
        let accepted = run.observed.proof == Some(Proof::Accepted);
        if accepted && run.observed.hooks != Hooks::Due && !self.knows(&run) {
            run.observed.proof = Some(Proof::PoolerRefused);
        }
        self.run = Some(run);
    }
}

fn starts() -> Vec<State> {
    let state = |world: World| {
        let known = match world.users[1] {
            User::Absent => UNKNOWN,
            User::There { .. } => 1,
        };
        State {
            world,
            list: [0, known],
            run: None,
        }
    };
    endpoints::starts(Late::NotYet)
        .into_iter()
        .map(state)
        .collect()
}

/// All states that one event can reach.
fn next(state: &State, source: Source) -> Vec<State> {
    let mut all = Vec::new();
    // An administrator, or auth_query, copies what the database has.
    let mut copied = *state;
    for (known, user) in copied.list.iter_mut().zip(state.world.users) {
        if let User::There { password, .. } = user {
            *known = password;
        }
    }
    if source == Source::Administrator {
        all.push(copied);
    }
    if let Late::InFlight(write) = state.world.late {
        let landed = World {
            late: Late::Landed,
            ..state.world
        };
        let (world, _) = landed.write(write);
        all.push(State { world, ..*state });
    }
    match state.run {
        Some(run) => all.extend(state.successors(run, source)),
        None => all.extend([THIS_WINDOW, NEXT_WINDOW].map(|own| State {
            run: Some(state.observe(own, source)),
            ..*state
        })),
    }
    all
}

/// Runs one window to its end, without a failure. `copies`: the administrator is present.
fn undisturbed(mut state: State, own: Id, source: Source, copies: bool) -> (State, Action) {
    state.world.late = Late::Landed;
    state.run = Some(state.observe(own, source));
    loop {
        let run = state.run.unwrap();
        let action = decide(&run.observed);
        if matches!(action, Action::Done | Action::Refuse(_)) {
            return (state, action);
        }
        if copies && action == Action::Prove {
            state.learn(&run);
        }
        // The first successor is the one without a failure, and a hook's success is the second.
        let all = state.successors(run, source);
        let fine = |next: &&State| {
            let run = next.run.as_ref();
            run.is_some_and(|run| run.observed.hooks != Hooks::Failed)
        };
        state = *all.iter().find(fine).unwrap();
    }
}

fn explore(source: Source) {
    let mut seen: HashSet<State> = HashSet::new();
    let mut settled: HashSet<State> = HashSet::new();
    let mut todo = starts();
    while let Some(state) = todo.pop() {
        if !seen.insert(state) {
            continue;
        }
        assert!(state.holds(), "the pooler refuses AWSCURRENT: {state:?}");
        if state.run.is_none() {
            settled.insert(state);
        }
        todo.extend(next(&state, source));
    }
    for state in &settled {
        let copies = source == Source::Administrator;
        // Without an administrator, its pooler refuses: the run waits.
        let (waiting, end) = undisturbed(*state, LATER_WINDOW, source, false);
        // A late write left AWSPENDING on a version of the active user, as without a pooler.
        if end == Action::Refuse(Refusal::PendingConflict) {
            assert_ne!(state.world.late, Late::NotYet, "{state:?}");
            continue;
        }
        let (done, end) = if end == Action::Refuse(Refusal::PoolerRefused) {
            assert!(copies, "{source:?} teaches the pooler: {state:?}");
            assert_eq!(waiting.world.current, state.world.current);
            assert!(waiting.holds());
            let pending = waiting.world.password(LATER_WINDOW);
            let (done, end) = undisturbed(waiting, LATER_WINDOW, source, true);
            assert_eq!(done.world.password(LATER_WINDOW), pending);
            (done, end)
        } else {
            (waiting, end)
        };
        assert_eq!(end, Action::Done, "{state:?}");
        assert_eq!(done.world.current, LATER_WINDOW);
        assert!(done.holds() && done.run.is_some_and(|run| run.observed.own == Own::Current));
    }
    println!(
        "{source:?}: {} states, {} of them between two runs: 0 violations",
        seen.len(),
        settled.len()
    );
}

#[test]
fn no_flip_locks_out_a_pooler_whose_secrets_a_run_writes() {
    explore(Source::Secrets);
}

#[test]
fn no_flip_locks_out_a_pooler_whose_list_a_hook_writes() {
    explore(Source::Hook);
}

#[test]
fn no_flip_locks_out_a_pooler_that_learns_by_itself() {
    explore(Source::Administrator);
}
