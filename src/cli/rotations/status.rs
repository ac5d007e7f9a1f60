//! `twinkey status`: the state of each rotation, from the config and the journal.

use std::path::Path;

use crate::config::settings::JournalLocation;
use crate::rotation::context::endpoint_states::{EndpointState, EndpointStatus};
use crate::worker::views::{LiveStates, RotationState, RotationView, view};

use crate::cli::context::{Purpose, find, settings, with_journal};
use crate::cli::failure::Failure;
use crate::cli::output::{self, BAD, Cell, DIM, GOOD, STRONG, WARN, or_dash, time};
use crate::cli::remote::Target;
use twinkey_core::telemetry::Clock;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Name of the rotation; all by default
    name: Option<String>,
    /// Print the rotations as JSON
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn run(target: &Target<'_>, args: Args) -> Result<(), Failure> {
    let views = match (target, &args.name) {
        (Target::Local(config), _) => local_views(*config, &args).await?,
        (Target::Worker(worker), None) => worker.get(&["rotations"], &[]).await?,
        (Target::Worker(worker), Some(name)) => vec![worker.get(&["rotations", name], &[]).await?],
    };
    if args.json {
        return output::json(&views);
    }
    let rows: Vec<Vec<Cell>> = views.iter().map(row).collect();
    let headings = [
        "ROTATION",
        "STATE",
        "ACTIVE",
        "LAST SUCCESS",
        "NEXT WINDOW",
        "HINT",
    ];
    output::table(&headings, &rows);
    if let (Some(_), [view]) = (&args.name, views.as_slice()) {
        let rows: Vec<Vec<Cell>> = view.endpoints.iter().map(endpoint).collect();
        if !rows.is_empty() {
            anstream::println!();
            output::table(&["ENDPOINT", "KIND", "STATE"], &rows);
        }
    }
    Ok(())
}

async fn local_views(config: Option<&Path>, args: &Args) -> Result<Vec<RotationView>, Failure> {
    let settings = settings(config)?;
    if let Some(name) = &args.name {
        find(&settings, name)?;
    }
    if let JournalLocation::Sqlite(path) = &settings.journal
        && !path.exists()
    {
        anstream::eprintln!(
            "{WARN}note:{WARN:#} there is no journal at {} yet; the first run creates it",
            path.display()
        );
    }
    let memory = with_journal(&settings.journal, Purpose::Read, async |journal| {
        journal.rotation_records().await
    });
    let mut memory = memory.await?;
    let now = Clock::system().now();
    Ok(settings
        .rotations
        .iter()
        .filter(|r| args.name.as_ref().is_none_or(|name| *name == r.name))
        .map(|r| {
            let unknown = LiveStates::default();
            view(r, memory.remove(&r.name).unwrap_or_default(), &unknown, now)
        })
        .collect())
}

fn row(view: &RotationView) -> Vec<Cell> {
    let style = match view.state {
        RotationState::New | RotationState::Idle => DIM,
        RotationState::Running => GOOD,
        RotationState::Waiting | RotationState::Paused => WARN,
        RotationState::Failed | RotationState::Missed | RotationState::LockedOut => BAD,
    };
    vec![
        Cell(view.name.clone(), STRONG),
        Cell(view.state.as_str().into(), style),
        Cell::plain(or_dash(view.active_user.as_deref())),
        Cell::plain(time(view.last_success)),
        Cell::plain(time(view.next_window.map(|w| w.opens))),
        Cell(hint(view), DIM),
    ]
}

fn endpoint(status: &EndpointStatus) -> Vec<Cell> {
    let style = match status.state {
        EndpointState::Unknown => DIM,
        EndpointState::Up => GOOD,
        EndpointState::Unreachable => WARN,
        EndpointState::Refused => BAD,
    };
    vec![
        Cell::plain(status.host.clone()),
        Cell::plain(status.kind.as_str()),
        Cell(status.state.as_str().into(), style),
    ]
}

fn hint(view: &RotationView) -> String {
    if view.state == RotationState::Paused {
        let pause = view.paused.clone().unwrap_or_default();
        return format!(
            "{pause}; `twinkey resume {}` resumes its schedule",
            view.name
        );
    }
    let problem = view.problem.as_ref();
    let why = problem.map_or_else(String::new, ToString::to_string);
    match view.next_try {
        Some(_) => format!("{why} (next try {})", time(view.next_try)),
        None => why,
    }
}
