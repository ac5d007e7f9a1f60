//! `twinkey demo`: the main job, shown on a real database, in about a minute.

use crate::code::Code;
use crate::demo::consumer::Tally;
use crate::demo::{CACHE, EVERY, WINDOW};
use crate::journal::{Run, RunState};

use super::failure::Failure;
use super::output::{BAD, DIM, GOOD, STRONG};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many rotations to show; a window opens every 4 seconds
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=200))]
    rotations: u16,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    anstream::println!(
        "A PostgreSQL, an embedded secret store, and a worker whose window opens every {} s for {} s.\n\
         An application keeps the secret for {} s and opens a new connection every few milliseconds.\n",
        EVERY.as_secs(),
        WINDOW.as_secs(),
        CACHE.as_secs()
    );
    let wanted = usize::from(args.rotations);
    let outcome = crate::demo::run(wanted, show)
        .await
        .map_err(|error| Failure::problem(Code::Internal, error.to_string(), error.hint()))?;

    let tally = &outcome.tally;
    let users: Vec<String> = tally
        .by_user
        .iter()
        .map(|(user, n)| format!("{user} {n}"))
        .collect();
    anstream::println!(
        "\n{STRONG}{} rotations, each inside its window; {} connections ({}), {} failed{STRONG:#}",
        outcome.rotations,
        tally.connected,
        users.join(", "),
        tally.failed
    );
    for fault in &outcome.faults {
        anstream::println!("{BAD}✗{BAD:#} {fault}");
    }
    if let Some(failure) = &tally.first_failure {
        anstream::println!("{BAD}✗{BAD:#} the first failed connection: {failure}");
    }
    if outcome.holds(wanted) {
        anstream::println!("{GOOD}Nobody was locked out.{GOOD:#}");
        Ok(())
    } else {
        Err(Failure::Printed)
    }
}

fn show(run: &Run, tally: &Tally) {
    let (Some(window), Some(finished)) = (run.window, run.finished) else {
        return;
    };
    let from = run.from_user.as_deref().unwrap_or("?");
    let to = run.to_user.as_deref().unwrap_or("?");
    let took = (finished - run.started).num_milliseconds();
    let lag = (run.started - window.opens).num_milliseconds();
    let (mark, style) = match run.state {
        RunState::Succeeded => ("✓", GOOD),
        _ => ("✗", BAD),
    };
    anstream::println!(
        "{style}{mark}{style:#} {}  {from:>9} -> {STRONG}{to:<9}{STRONG:#}  {DIM}began {lag} ms after the opening, took {took} ms;{DIM:#} connections so far: {}, failed: {}",
        window.opens.format("%H:%M:%S"),
        tally.connected,
        tally.failed
    );
}
