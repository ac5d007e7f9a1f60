//! Exhaustive model of the store, the two users and a run.
//!
//! The test visits every state that is reachable from the starts that it enumerates. In each state
//! a run may continue, crash, be followed by a run of the same or another window, or leave a write
//! to the store in flight that takes effect at any later time.
//!
//! # Invariants
//! In every state:
//! 1. AWSCURRENT signs in with full privileges;
//! 2. only Converge changes a database user, so AWSPREVIOUS signs in until the next `set`;
//! 3. every run ends;
//! 4. repeating the effect of an action changes nothing more;
//! 5. only a standby that is the secret's own is changed.
//!
//! `single` is the same for one user whose password changes.
//!
//! From every state without a foreign AWSPENDING or a foreign standby, a run that nothing disturbs
//! succeeds.
//!
//! # Limits
//! The model has one late write per history. Two late writes need two workers that exit one after
//! the other, each with a lost database connection (and so the pair's lock) and a write still in
//! the network while later runs come and go. A late AWSPENDING can then replace that of a run whose
//! own promotion is late too. No sequence of single calls to Secrets Manager can exclude that.

mod endpoints;
mod interleavings;
mod poolers;
mod single;
mod world;

use std::collections::HashSet;

use super::decide::{
    Action, Content, Elsewhere, Guards, Hooks, Observed, Own, Proof, Refusal, Standby, Users,
    decide,
};
use world::*;

/// All starts: each active user with every state of labels, documents and standby.
fn starts() -> Vec<World> {
    let mut all = Vec::new();
    for active_clone in [false, true] {
        let standby = |password, fields| Value::Doc {
            clone: !active_clone,
            password,
            fields,
        };
        let wrong_user = Value::Doc {
            clone: active_clone,
            password: 7,
            fields: 0,
        };
        let contents = |password| {
            [
                Value::None,
                Value::Empty,
                Value::Foreign,
                wrong_user,
                standby(password, 0),
                standby(password, 1),
                standby(2, 0),
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
                                        fields: 0,
                                    },
                                    standby(1, 0),
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
                            // A label needs a version.
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
fn every_reachable_state_keeps_the_promises() {
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

    // From every state, an undisturbed run succeeds, or stops at a foreign AWSPENDING or standby.
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
        if !world.owns_standby() {
            let foreign = Action::Refuse(Refusal::StandbyForeign);
            assert_eq!(end, foreign, "{world:?}");
        } else if foreign {
            assert_eq!(end, Action::Refuse(Refusal::PendingConflict), "{world:?}");
        } else {
            assert_eq!(end, Action::Done, "{world:?}");
            assert!(at.holds() && at.current == LATER_WINDOW);
            assert_eq!(
                at.previous,
                Some(world.current),
                "the replaced user must be AWSPREVIOUS"
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

const CONTENTS: [Content; 4] = [
    Content::Fits,
    Content::Outdated,
    Content::Empty,
    Content::Foreign,
];

/// Every state of the version of the run.
fn every_own() -> Vec<Own> {
    let mut all = vec![Own::NotThere, Own::Current, Own::Previous];
    all.extend(CONTENTS.map(Own::Unlabelled));
    all.extend(CONTENTS.map(Own::Pending));
    all
}

/// Every state of AWSPENDING on another version.
fn every_elsewhere() -> Vec<Elsewhere> {
    let mut all = vec![Elsewhere::Nothing];
    for content in CONTENTS {
        for same_password in [false, true] {
            all.push(Elsewhere::Pending {
                content,
                same_password,
            });
        }
    }
    all
}

#[test]
fn no_guard_lets_an_effect_through() {
    let (owns, elsewheres) = (every_own(), every_elsewhere());
    let mut count = 0;
    // The guards about the pair are combined with two others at most, which keeps the test short.
    let few = |bits: &u32| bits >> 12 == 0 || bits.count_ones() <= 3;
    for bits in (0..1_u32 << 21).filter(few) {
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
            pair_shared: on(12),
            standby_foreign: on(13),
            standby_unproved: on(14),
            reader_elsewhere: on(15),
            reader_behind: on(16),
            reader_unreachable: on(17),
            pooler_refused: on(18),
            replaced: on(19),
            gap_not_accepted: on(20),
        };
        let always = guards.refusals();
        assert_eq!(
            always.len() as u32,
            (bits & !(1 << 2) & !(1 << 11) & !(1 << 14) & !(7 << 16)).count_ones()
        );
        for own in &owns {
            for elsewhere in &elsewheres {
                for (equal, has_password) in
                    [(false, false), (false, true), (true, false), (true, true)]
                {
                    for proof in [
                        None,
                        Some(Proof::Refused),
                        Some(Proof::Behind),
                        Some(Proof::Unreachable),
                        Some(Proof::PoolerRefused),
                        Some(Proof::Accepted),
                    ] {
                        for (converged, end_sessions) in
                            [(false, false), (true, false), (false, true), (true, true)]
                        {
                            let action = decide(&Observed {
                                users: Users::Pair,
                                own: *own,
                                elsewhere: *elsewhere,
                                guards,
                                standby: Standby {
                                    equal,
                                    has_password,
                                },
                                proof,
                                pooler_secrets_stale: false,
                                hooks: Hooks::Absent,
                                converged,
                                end_sessions,
                            });
                            count += 1;
                            let effect = matches!(
                                action,
                                Action::PutPending { .. }
                                    | Action::LabelPending
                                    | Action::Converge
                                    | Action::EndSessions
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
                                assert!(equal && has_password && proof == Some(Proof::Accepted));
                                assert!(!end_sessions, "the sessions are still open");
                            }
                        }
                    }
                }
            }
        }
    }
    println!("{count} combinations of facts: no guard lets an effect through");
}
