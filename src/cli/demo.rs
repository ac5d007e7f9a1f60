//! `twinkey demo`: the main job, shown on two real databases, in about a minute.

use std::net::SocketAddr;

use crate::code::Code;
use crate::demo::consumer::Tally;
use crate::demo::shop::Shop;
use crate::demo::{CACHE, EVERY, WINDOW};
use crate::journal::{Run, RunState};

use super::failure::Failure;
use super::output::{BAD, DIM, GOOD, STRONG};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many rotations to show on each database; a window opens every 4 seconds
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=200))]
    rotations: u16,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    anstream::println!(
        "A PostgreSQL, a MariaDB, an embedded secret store, and a worker whose windows open every {} s for {} s.\n\
         On each database an application keeps its secret for {} s and opens a new connection every few milliseconds.\n",
        EVERY.as_secs(),
        WINDOW.as_secs(),
        CACHE.as_secs()
    );
    let wanted = usize::from(args.rotations);
    let outcome = crate::demo::run(wanted, begun, show)
        .await
        .map_err(|error| Failure::problem(Code::Internal, error.to_string(), error.hint()))?;

    anstream::println!();
    for (shop, showing) in &outcome.shops {
        let tally = &showing.tally;
        let users = tally.by_user.iter();
        let users: Vec<String> = users.map(|(user, n)| format!("{user} {n}")).collect();
        anstream::println!(
            "{STRONG}{}: {} rotations, each inside its window; {} connections ({}), {} failed{STRONG:#}",
            shop.engine(),
            showing.rotations,
            tally.connected,
            users.join(", "),
            tally.failed
        );
        if let Some(failure) = &tally.first_failure {
            anstream::println!("{BAD}✗{BAD:#} the first failed connection: {failure}");
        }
    }
    for fault in &outcome.faults {
        anstream::println!("{BAD}✗{BAD:#} {fault}");
    }
    if outcome.holds(wanted) {
        anstream::println!("{GOOD}Nobody was locked out.{GOOD:#}");
        Ok(())
    } else {
        Err(Failure::Printed)
    }
}

fn begun(dashboard: SocketAddr) {
    anstream::println!(
        "The worker's dashboard, as long as this lasts: {STRONG}http://{dashboard}/{STRONG:#}\n"
    );
}

fn show(shop: Shop, run: &Run, tally: &Tally) {
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
        "{style}{mark}{style:#} {} {:<8}  {from:>9} -> {STRONG}{to:<9}{STRONG:#}  {DIM}began {lag} ms after the opening, took {took} ms;{DIM:#} connections so far: {}, failed: {}",
        window.opens.format("%H:%M:%S"),
        shop.engine(),
        tally.connected,
        tally.failed
    );
}
