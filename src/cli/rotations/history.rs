//! `twinkey history`: runs and records of other actions, newest first.

use std::path::Path;

use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::journal::history::{HistoryEntry, merged};
use crate::journal::{AuditOutcome, AuditQuery, AuditRecord, Run, RunQuery, RunState};

use crate::cli::context::{Purpose, settings, with_journal};
use crate::cli::failure::Failure;
use crate::cli::output::{self, BAD, Cell, DIM, GOOD, STRONG, WARN, time};
use crate::cli::remote::{RemoteWorker, Target};
use crate::cli::selection::Selection;
use crate::worker::views::RotationView;

/// The largest page that the endpoint returns.
const PAGE_SIZE: usize = 500;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    selection: Selection,
    /// Largest number of runs and other actions
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Print the runs and other actions as JSON
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn run(target: &Target<'_>, args: Args) -> Result<(), Failure> {
    let (runs, records) = match target {
        Target::Local(config) => local(*config, &args).await?,
        Target::Worker(worker) => remote(worker, &args).await?,
    };
    let mut entries = merged(&runs, records.iter());
    entries.truncate(usize::try_from(args.limit).unwrap_or(usize::MAX));
    if args.json {
        return output::json(&entries);
    }
    let headings = ["STARTED", "ROTATION", "STATE", "BY", "USERS", "TOOK", "WHY"];
    let rows: Vec<Vec<Cell>> = entries.into_iter().map(row).collect();
    output::table(&headings, &rows);
    if rows.is_empty() {
        anstream::println!("{DIM}0 runs and other actions{DIM:#}");
    }
    Ok(())
}

async fn local(
    config: Option<&Path>,
    args: &Args,
) -> Result<(Vec<Run>, Vec<AuditRecord>), Failure> {
    let settings = settings(config)?;
    with_journal(settings, Purpose::Read, async |settings, journal| {
        let rotations = match args.selection.is_empty() {
            true => None,
            false => Some(args.selection.names_with_history(settings, journal).await?),
        };
        let rotations: Option<Vec<String>> = rotations.map(|names| names.into_iter().collect());
        let runs = RunQuery {
            rotations: rotations.clone(),
            limit: args.limit,
            ..RunQuery::default()
        };
        let records = AuditQuery {
            rotations,
            without_runs: true,
            limit: args.limit,
            ..AuditQuery::default()
        };
        Ok((journal.runs(&runs).await?, journal.audit(&records).await?))
    })
    .await
}

async fn remote(
    worker: &RemoteWorker,
    args: &Args,
) -> Result<(Vec<Run>, Vec<AuditRecord>), Failure> {
    let rotations: Vec<Option<String>> = if args.selection.is_empty() {
        vec![None]
    } else {
        let names = args.selection.names_of(worker).await?;
        names.into_iter().map(Some).collect()
    };
    let (mut runs, mut records) = (Vec::new(), Vec::new());
    for rotation in rotations {
        let rotation = rotation.as_deref();
        let its_runs = pages(worker, "runs", rotation, args.limit, |run: &Run| run.id).await?;
        let id = |record: &AuditRecord| record.id;
        let its_records = pages(worker, "audit", rotation, args.limit, id).await?;
        if let Some(name) = rotation.filter(|_| its_runs.is_empty() && its_records.is_empty()) {
            // A rotation without history, or no rotation, which is the worker's error.
            let _: RotationView = worker.get(&["rotations", name], &[]).await?;
        }
        runs.extend(its_runs);
        records.extend(its_records);
    }
    records.retain(|record| record.run.is_none());
    Ok((runs, records))
}

/// Reads a list in pages.
async fn pages<T: DeserializeOwned>(
    worker: &RemoteWorker,
    list: &str,
    rotation: Option<&str>,
    limit: u32,
    id: impl Fn(&T) -> Uuid,
) -> Result<Vec<T>, Failure> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut items: Vec<T> = Vec::new();
    while items.len() < limit {
        let count = (limit - items.len()).min(PAGE_SIZE);
        let mut query = vec![("limit", count.to_string())];
        query.extend(rotation.map(|name| ("rotation", name.to_owned())));
        query.extend(items.last().map(|item| ("before", id(item).to_string())));
        let page: Vec<T> = worker.get(&[list], &query).await?;
        let last = page.len() < count;
        items.extend(page);
        if last {
            break;
        }
    }
    Ok(items)
}

fn row(entry: HistoryEntry<'_>) -> Vec<Cell> {
    match entry {
        HistoryEntry::Run(run) => run_row(run),
        HistoryEntry::Record(record) => record_row(record),
    }
}

fn record_row(record: &AuditRecord) -> Vec<Cell> {
    let (state, style) = match record.outcome {
        AuditOutcome::Done => (record.action.as_str().to_owned(), STRONG),
        outcome => (
            format!("{} {}", record.action.as_str(), outcome.as_str()),
            BAD,
        ),
    };
    let code = record.code.map(|code| code.as_str().to_owned());
    let why: Vec<String> = code.into_iter().chain(record.reason.clone()).collect();
    let rotation = record.rotation.clone();
    vec![
        Cell::plain(time(Some(record.at))),
        Cell(rotation.unwrap_or_else(|| "-".into()), STRONG),
        Cell(state, style),
        Cell::plain(record.shown_actor()),
        Cell::plain("-"),
        Cell::plain("-"),
        Cell(why.join(": "), DIM),
    ]
}

fn run_row(run: &Run) -> Vec<Cell> {
    let style = match run.state {
        RunState::Running | RunState::Succeeded => GOOD,
        RunState::Failed | RunState::Missed => BAD,
        RunState::Deferred => WARN,
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
        Cell::plain(run.shown_actor()),
        Cell::plain(users),
        Cell::plain(took),
        Cell(why, DIM),
    ]
}
