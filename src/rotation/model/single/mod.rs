//! Exhaustive model of `strategy = "single"`: the store, the one user, and a run.
//!
//! The user has two accounts, of which twinkey signs in at the first one. A change reaches one after
//! the other. The server retains the replaced password, or does not. In each state a run may continue, crash, be followed by a run of the same or another window, or leave a
//! write to the store in flight that takes effect at any later time.
//!
//! # Invariants
//! In every state:
//! 1. at each account AWSCURRENT or AWSPENDING signs in; on a server that retains passwords,
//!    AWSCURRENT does, once it did;
//! 2. every run ends;
//! 3. repeating a write changes nothing more.
//!
//! From every state:
//! 4. a run that nothing disturbs succeeds, or stops at a foreign AWSPENDING. On a server that
//!    retains passwords, AWSPREVIOUS goes on signing in;
//! 5. inside the gap it succeeds against every guard about time, endpoints, privileges and config.
//!
//! While neither AWSCURRENT nor AWSPENDING signs in, no run writes or changes anything.
//!
//! [`rules`] breaks the rules of the decision one by one, and the model finds each of them.
//!
//! # Limits
//! - One run at a time, because a run holds the lock of its user.
//! - A statement takes effect before the lock of its connection is free, as PostgreSQL, MySQL and
//!   MariaDB have it. A server that carries out a statement of a lost connection later breaks it.
//! - The stored passwords can be read, or tried. A user that rotates itself cannot see which of two
//!   passwords is the primary one.

mod facts;
mod rules;
mod world;

use std::collections::HashSet;

use self::world::*;
use crate::rotation::decide::{Action, Content, Guards, Observed, Refusal, decide};

/// A decision: the real one, or one with a broken rule.
type Decision<'a> = &'a dyn Fn(&Observed) -> Action;

/// What a run does besides deciding.
const RULES: Rules = Rules { put_labels: false };

/// Size of an exploration.
#[derive(Debug, Default)]
struct Explored {
    starts: usize,
    worlds: usize,
    states: usize,
    steps: u64,
}

/// The accounts of a user whose passwords are among those of the versions.
fn users(retains: bool) -> Vec<[Account; ACCOUNTS]> {
    let primary = [0, 2, 3, UNKNOWN];
    let mut all = Vec::new();
    for first in primary {
        if retains {
            for secondary in [None, Some(0), Some(1), Some(2), Some(3)] {
                let account = Account {
                    primary: first,
                    secondary,
                };
                all.push([account; ACCOUNTS]);
            }
            continue;
        }
        for second in primary {
            all.push([first, second].map(|primary| Account {
                primary,
                secondary: None,
            }));
        }
    }
    all
}

/// All states of labels, documents and the user before a run. `orderly`: those without another
/// program.
fn starts(orderly: bool, late_left: u8) -> Vec<World> {
    let document = |password, fields| Value::Doc { password, fields };
    let contents = |password| {
        let usual = vec![Value::None, document(password, 0), document(2, 0)];
        let odd = [
            Value::Empty,
            Value::Foreign,
            document(password, 1),
            document(0, 0),
        ];
        let odd = odd.into_iter().filter(|_| !orderly);
        usual.into_iter().chain(odd).collect::<Vec<_>>()
    };
    let mut all = HashSet::new();
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
                    for other_is_older in [false, true] {
                        for retains in [false, true] {
                            for accounts in users(retains) {
                                let mut world = World {
                                    versions: [
                                        document(0, 0),
                                        document(1, 0),
                                        other,
                                        this,
                                        Value::None,
                                        Value::None,
                                    ],
                                    written: [2, 1, if other_is_older { 1 } else { 3 }, 3, 0, 0],
                                    current: CURRENT,
                                    previous,
                                    pending,
                                    accounts,
                                    retains,
                                    whole: false,
                                    late: NOTHING_LATE,
                                    late_left,
                                };
                                world.whole = world.current_signs_in();
                                // A label needs a version.
                                if pending.is_none_or(|id| world.versions[id] != Value::None) {
                                    all.insert(world);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    all.into_iter().collect()
}

/// Visits every state that is reachable from the starts that hold.
///
/// # Errors
/// The first promise that does not hold, and where.
fn explore(starts: &[World], decision: Decision<'_>, rules: Rules) -> Result<Explored, String> {
    let mut explored = Explored::default();
    let mut seen: HashSet<(World, Option<Run>)> = HashSet::new();
    let mut worlds: HashSet<World> = HashSet::new();
    let mut todo: Vec<(World, Option<Run>)> = Vec::new();
    let (holding, others): (Vec<&World>, Vec<&World>) =
        starts.iter().partition(|world| world.holds());
    explored.starts = holding.len();
    todo.extend(holding.into_iter().map(|world| (*world, None)));
    while let Some((world, run)) = todo.pop() {
        if !seen.insert((world, run)) {
            continue;
        }
        if !world.holds() {
            return Err(format!("the credentials do not sign in: {world:?} {run:?}"));
        }
        worlds.insert(World {
            late: NOTHING_LATE,
            late_left: 0,
            ..world
        });
        let mut next = Vec::new();
        match run {
            Some(run) => {
                let action = decision(&run.observed);
                let reached = successors(world, run, action, rules);
                next.extend(reached.map_err(|rule| format!("{rule}: {world:?} {run:?}"))?);
            }
            None => next.extend(
                [THIS_WINDOW, NEXT_WINDOW]
                    .map(|own| (world, Some(observe(&world, own, Guards::default())))),
            ),
        }
        next.extend(world.after_late_writes().map(|landed| (landed, run)));
        explored.steps += next.len() as u64;
        todo.extend(next);
    }
    for world in &worlds {
        succeeds(world, decision, rules)?;
    }
    for world in others {
        begins_nothing(world, decision)?;
    }
    explored.worlds = worlds.len();
    explored.states = seen.len();
    Ok(explored)
}

/// Checks that no run has an effect while no password that it may use signs in.
fn begins_nothing(world: &World, decision: Decision<'_>) -> Result<(), String> {
    for own in [THIS_WINDOW, NEXT_WINDOW] {
        let usable = [Some(world.current), world.pending, Some(own)];
        if usable.into_iter().flatten().any(|id| world.is_accepted(id)) {
            continue;
        }
        let action = decision(&observe(world, own, Guards::default()).observed);
        if !matches!(action, Action::Refuse(_)) {
            return Err(format!("{action:?} while no password signs in: {world:?}"));
        }
    }
    Ok(())
}

/// Runs the later window to its end, undisturbed.
fn undisturbed(
    world: &World,
    guards: Guards,
    decision: Decision<'_>,
    rules: Rules,
) -> Result<(World, Action), String> {
    let mut at = *world;
    let mut run = observe(&at, LATER_WINDOW, guards);
    loop {
        let action = decision(&run.observed);
        if matches!(action, Action::Done | Action::Refuse(_)) {
            return Ok((at, action));
        }
        let reached = successors(at, run, action, rules);
        let reached = reached.map_err(|rule| format!("{rule}: {world:?}"))?;
        let Some((world, Some(next))) = reached.first() else {
            return Err(format!("the run ends without an outcome: {world:?}"));
        };
        (at, run) = (*world, *next);
    }
}

/// Checks that an undisturbed run succeeds.
fn succeeds(world: &World, decision: Decision<'_>, rules: Rules) -> Result<(), String> {
    let (after, end) = undisturbed(world, Guards::default(), decision, rules)?;
    let is_foreign = |id: usize| {
        id != world.current && Some(id) != world.previous && world.content(id) == Content::Foreign
    };
    if world.pending.is_some_and(is_foreign) {
        if end != Action::Refuse(Refusal::PendingConflict) {
            return Err(format!("{end:?} at a foreign AWSPENDING: {world:?}"));
        }
        return Ok(());
    }
    if end != Action::Done || after.current != LATER_WINDOW || !after.current_signs_in() {
        return Err(format!("an undisturbed run ends with {end:?}: {world:?}"));
    }
    if after.previous != Some(world.current) {
        return Err(format!(
            "the replaced version is not AWSPREVIOUS: {world:?}"
        ));
    }
    if world.retains && world.current_signs_in() && !after.is_accepted(world.current) {
        return Err(format!("AWSPREVIOUS stopped at the flip: {world:?}"));
    }
    if !world.accounts[0].accepts(world.password(world.current)) {
        let (_, end) = undisturbed(world, against_the_promotion(), decision, rules)?;
        if end != Action::Done {
            return Err(format!("a guard prolongs the gap: {end:?}: {world:?}"));
        }
    }
    Ok(())
}

/// Every guard, except those that protect another writer or say that no change is possible.
fn against_the_promotion() -> Guards {
    Guards {
        window_closed: true,
        too_soon: true,
        other_server: true,
        gap_not_accepted: true,
        pair_shared: true,
        standby_foreign: true,
        unfit: true,
        standby_missing: true,
        master_lacks: true,
        differs: true,
        standby_in_use: true,
        standby_unproved: true,
        reader_elsewhere: true,
        reader_behind: true,
        reader_unreachable: true,
        pooler_refused: true,
        managed_elsewhere: false,
        replaced: false,
        current_refused: false,
        master_refused: false,
        locked: false,
    }
}

#[test]
fn one_user_always_has_a_way_in() {
    for (orderly, late) in [(false, 1), (true, 2)] {
        let starts = starts(orderly, late);
        let explored = explore(&starts, &decide, RULES).unwrap();
        println!(
            "{late} late writes: {} starts that hold of {}, {} states of the world, \
             {} states with a run, {} steps: 0 violations",
            explored.starts,
            starts.len(),
            explored.worlds,
            explored.states,
            explored.steps
        );
    }
}
