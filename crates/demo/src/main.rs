//! `make demo`: rotations of a real PostgreSQL and a real MariaDB under load, for about a minute.

mod app;
mod applications;
mod consumer;
mod environment;
mod experiment;

use std::net::SocketAddr;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use clap::Parser;
use twinkey::journal::{Run, RunState};
use twinkey_core::telemetry::{self, LogFormat};

use crate::app::App;
use crate::consumer::Tally;
use crate::experiment::{CACHE, EVERY, WINDOW};

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const DIM: Style = Style::new().dimmed();
const STRONG: Style = Style::new().bold();

/// Rotates the credentials of a real PostgreSQL and a real MariaDB under load.
#[derive(Debug, Parser)]
#[command(name = "twinkey-demo", version)]
struct Args {
    /// Rotations on each database; a window opens every 4 seconds
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=200))]
    rotations: u16,
    /// Log more; twice for even more
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Format of the log on standard error
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormat,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    match run(args).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            anstream::eprintln!("{BAD}error{BAD:#}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every rotation succeeded and every connection was accepted.
async fn run(args: Args) -> Result<bool, Box<dyn std::error::Error>> {
    telemetry::init(args.log_format, args.verbose, true)?;
    anstream::println!(
        "A PostgreSQL, a MariaDB, an embedded secret store, and a worker whose windows open every {} s for {} s.\n\
         On each database an application keeps its secret for {} s and opens a new connection every few milliseconds.\n",
        EVERY.as_secs(),
        WINDOW.as_secs(),
        CACHE.as_secs()
    );
    let wanted = usize::from(args.rotations);
    let outcome = experiment::run(wanted, on_start, show)
        .await
        .map_err(|error| {
            format!(
                "{error}
hint: {}",
                error.hint()
            )
        })?;
    for (app, app_outcome) in &outcome.apps {
        let tally = &app_outcome.tally;
        let users = tally.by_user.iter();
        let users: Vec<String> = users.map(|(user, n)| format!("{user} {n}")).collect();
        anstream::println!(
            "{STRONG}{}: {} rotations, each inside its window; {} connections ({}), {} failed{STRONG:#}",
            app.engine(),
            app_outcome.rotations,
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
        anstream::println!("{GOOD}Every connection was accepted.{GOOD:#}");
        Ok(true)
    } else {
        Ok(false)
    }
}

fn on_start(dashboard: SocketAddr) {
    anstream::println!(
        "The worker's dashboard, as long as this lasts: {STRONG}http://{dashboard}/{STRONG:#}\n"
    );
}

fn show(app: App, run: &Run, tally: &Tally) {
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
        app.engine(),
        tally.connected,
        tally.failed
    );
}
