//! `twinkey status`: the state of each rotation, from the config and the journal.

use std::path::Path;

use crate::config::settings::JournalLocation;
use crate::discovery::DiscoveredSecret;
use crate::journal::KnownSecret;
use crate::rotation::context::endpoint_states::{EndpointState, EndpointStatus};
use crate::worker::views::{RotationState, RotationView};

use crate::cli::context::{Purpose, settings, with_journal};
use crate::cli::failure::Failure;
use crate::cli::output::{self, BAD, Cell, DIM, GOOD, STRONG, WARN, or_dash, time};
use crate::cli::remote::{RemoteWorker, Target};
use crate::cli::selection::Selection;

use twinkey_core::code::Code;

/// The largest number of notes about secrets that are not rotated.
const NOTES: usize = 10;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    selection: Selection,
    /// Print the rotations as JSON
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn run(target: &Target<'_>, args: Args) -> Result<(), Failure> {
    let mut views = match target {
        Target::Local(config) => local_views(*config, &args.selection).await?,
        Target::Worker(worker) => {
            if args.selection.is_empty() {
                note_refused(&remote_refusals(worker).await?);
            }
            args.selection.views_of(worker).await?
        }
    };
    if args.json {
        return output::json(&views);
    }
    // The sort is stable: within a state, the config's order stays.
    views.sort_by_key(|view| urgency(view.state));
    // A config without [[store]] has no column for it.
    let has_stores = views.iter().any(|view| view.store.is_some());
    let mut rows: Vec<Vec<Cell>> = views.iter().map(row).collect();
    let mut headings = vec![
        "ROTATION",
        "STATE",
        "ACTIVE",
        "LAST SUCCESS",
        "NEXT WINDOW",
        "HINT",
    ];
    if has_stores {
        headings.insert(1, "STORE");
        for (row, view) in rows.iter_mut().zip(&views) {
            row.insert(1, Cell::plain(or_dash(view.store.as_deref())));
        }
    }
    output::table(&headings, &rows);
    if views.is_empty() {
        output::no_rotations("selected");
    } else if views.len() > 1 {
        anstream::println!("{DIM}{}{DIM:#}", totals(&views));
    }
    if let ([_], [view]) = (args.selection.names.as_slice(), views.as_slice()) {
        let rows: Vec<Vec<Cell>> = view.endpoints.iter().map(endpoint).collect();
        if !rows.is_empty() {
            anstream::println!();
            output::table(&["ENDPOINT", "KIND", "STATE"], &rows);
        }
    }
    Ok(())
}

async fn local_views(
    config: Option<&Path>,
    selection: &Selection,
) -> Result<Vec<RotationView>, Failure> {
    let settings = settings(config)?;
    if let JournalLocation::Sqlite(path) = &settings.journal
        && !path.exists()
    {
        anstream::eprintln!(
            "{WARN}note:{WARN:#} there is no journal at {} yet; the first run creates it",
            path.display()
        );
    }
    with_journal(settings, Purpose::Read, async |settings, journal| {
        if selection.is_empty() && !settings.discover.is_empty() {
            note_refused(&refusals(&journal.known_secrets().await?));
        }
        selection.views(settings, journal).await
    })
    .await
}

/// The secrets that are refused, as a worker or `twinkey discover` recorded, with the reasons.
fn refusals(known: &[KnownSecret]) -> Vec<String> {
    let refused = known.iter().filter_map(|secret| {
        let why = secret.refusal.as_ref()?;
        let name = &secret.listed.name;
        Some(format!("secret {name:?} is not rotated: {why}"))
    });
    refused.collect()
}

/// The same of a worker.
async fn remote_refusals(worker: &RemoteWorker) -> Result<Vec<String>, Failure> {
    let query = [("state", "refused".to_owned())];
    let refused: Vec<DiscoveredSecret> = worker.get(&["discovered"], &query).await?;
    let problems = refused.into_iter().filter_map(|secret| secret.problem);
    Ok(problems.map(|problem| problem.message).collect())
}

/// Notes on standard error which secrets a `[[discover]]` concerns that have no rotation.
fn note_refused(sentences: &[String]) {
    for sentence in sentences.iter().take(NOTES) {
        let code = Code::DiscoveryFailed;
        anstream::eprintln!("{WARN}note:{WARN:#} {code}: {sentence}");
    }
    if let Some(more) = sentences.len().checked_sub(NOTES).filter(|more| *more > 0) {
        anstream::eprintln!(
            "{WARN}note:{WARN:#} {more} more secrets are not rotated: `twinkey discover --dry-run` lists them"
        );
    }
}

/// The place of a state in the list: what an operator must act on comes first.
const fn urgency(state: RotationState) -> u8 {
    match state {
        RotationState::LockedOut => 0,
        RotationState::Failed => 1,
        RotationState::Missed => 2,
        RotationState::Waiting => 3,
        RotationState::Paused => 4,
        RotationState::Running => 5,
        RotationState::New => 6,
        RotationState::Idle => 7,
    }
}

/// The number of rotations in each state.
fn totals(views: &[RotationView]) -> String {
    let mut states = RotationState::ALL;
    states.sort_by_key(|state| urgency(*state));
    let counts = states.into_iter().filter_map(|state| {
        let count = views.iter().filter(|view| view.state == state).count();
        (count > 0).then(|| format!("{count} {}", state.as_str()))
    });
    let counts: Vec<String> = counts.collect();
    format!("{} rotations: {}", views.len(), counts.join(", "))
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
        if pause.is_by_config() {
            return format!("{pause}; set it to false there to resume the schedule");
        }
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
