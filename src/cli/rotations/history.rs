//! `twinkey history`: runs, newest first.

use std::path::Path;

use crate::journal::{Run, RunQuery, RunState, Trigger};
use crate::worker::views::RotationView;

use crate::cli::context::{Purpose, find, settings, with_journal};
use crate::cli::failure::Failure;
use crate::cli::output::{self, BAD, Cell, DIM, GOOD, STRONG, WARN, time};
use crate::cli::remote::{RemoteWorker, Target};

/// The largest page that the endpoint returns.
const PAGE_SIZE: usize = 500;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Name of the rotation; all by default
    name: Option<String>,
    /// Largest number of runs
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Print the runs as JSON
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn run(target: &Target<'_>, args: Args) -> Result<(), Failure> {
    let runs = match target {
        Target::Local(config) => local_runs(*config, &args).await?,
        Target::Worker(worker) => remote_runs(worker, &args).await?,
    };
    if args.json {
        return output::json(&runs);
    }
    let headings = ["STARTED", "ROTATION", "STATE", "BY", "USERS", "TOOK", "WHY"];
    let rows: Vec<Vec<Cell>> = runs.iter().map(row).collect();
    output::table(&headings, &rows);
    Ok(())
}

async fn local_runs(config: Option<&Path>, args: &Args) -> Result<Vec<Run>, Failure> {
    let settings = settings(config)?;
    if let Some(name) = &args.name {
        find(&settings, name)?;
    }
    let query = RunQuery {
        rotation: args.name.clone(),
        limit: args.limit,
        ..RunQuery::default()
    };
    with_journal(&settings.journal, Purpose::Read, async |journal| {
        journal.runs(&query).await
    })
    .await
}

/// Reads the runs in pages.
async fn remote_runs(worker: &RemoteWorker, args: &Args) -> Result<Vec<Run>, Failure> {
    if let Some(name) = &args.name {
        worker
            .get::<RotationView>(&["rotations", name], &[])
            .await?;
    }
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let mut runs: Vec<Run> = Vec::new();
    while runs.len() < limit {
        let count = (limit - runs.len()).min(PAGE_SIZE);
        let mut query = vec![("limit", count.to_string())];
        query.extend(args.name.iter().map(|name| ("rotation", name.clone())));
        query.extend(runs.last().map(|run| ("before", run.id.to_string())));
        let page: Vec<Run> = worker.get(&["runs"], &query).await?;
        let last = page.len() < count;
        runs.extend(page);
        if last {
            break;
        }
    }
    Ok(runs)
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
