//! `twinkey history`: the runs, newest first.

use std::path::Path;

use crate::journal::{Run, RunQuery, RunState, Trigger};

use super::context::{find, open_journal, settings};
use super::failure::Failure;
use super::output::{self, BAD, Cell, DIM, GOOD, STRONG, WARN, time};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The rotation; all of them when none is named
    name: Option<String>,
    /// How many runs at the most
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Print the runs as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: Option<&Path>, args: Args) -> Result<(), Failure> {
    let settings = settings(config)?;
    if let Some(name) = &args.name {
        find(&settings, name)?;
    }
    let query = RunQuery {
        rotation: args.name,
        limit: args.limit,
        ..RunQuery::default()
    };
    let runs = open_journal(&settings.journal).await?.runs(&query).await?;
    if args.json {
        return output::json(&runs);
    }
    let headings = ["STARTED", "ROTATION", "STATE", "BY", "USERS", "TOOK", "WHY"];
    let rows: Vec<Vec<Cell>> = runs.iter().map(row).collect();
    output::table(&headings, &rows);
    Ok(())
}

fn row(run: &Run) -> Vec<Cell> {
    let style = match run.state {
        RunState::Running | RunState::Succeeded => GOOD,
        RunState::Failed | RunState::Missed => BAD,
        RunState::Deferred => WARN,
    };
    let by = match run.trigger {
        Trigger::Schedule => "schedule",
        Trigger::Manual => "hand",
        Trigger::Recovery => "recovery",
    };
    let users = match (&run.from_user, &run.to_user) {
        (Some(from), Some(to)) => format!("{from} -> {to}"),
        _ => "-".into(),
    };
    let took = run.finished.map_or_else(
        || "-".into(),
        |end| format!("{:.2} s", (end - run.started).as_seconds_f64()),
    );
    let why = match (&run.error, &run.reason) {
        (Some(problem), _) => problem.to_string(),
        (None, Some(reason)) => reason.clone(),
        (None, None) => String::new(),
    };
    vec![
        Cell::plain(time(Some(run.started))),
        Cell(run.rotation.clone(), STRONG),
        Cell(run.state.as_str().into(), style),
        Cell::plain(by),
        Cell::plain(users),
        Cell::plain(took),
        Cell(why, DIM),
    ]
}
