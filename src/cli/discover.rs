//! `twinkey discover`: the secrets that `[[discover]]` finds, and what becomes of them.
//!
//! # Failure modes
//! - A store is not listed, and its secrets seem to be gone. The command fails, and the known secrets stay.
//! - A rotation is disarmed before a worker ran, and its history is not found. Its name is recorded when it
//!   is armed.
//! - A dry run changes the journal. It keeps the listing in memory.

use std::path::Path;

use crate::config::settings::{Discover, Rotation};
use crate::discovery::{DiscoveredSecret, Discovery, Finding, FoundSecret, plan, with_listing};
use crate::journal::ListingClaim;
use crate::rotation::context::rotation_set::RotationSet;
use crate::worker::discovery::{arm, list, list_and_record, listing_claim};
use crate::worker::renames::record_names;
use twinkey_core::code::{Code, Problem};
use twinkey_core::telemetry::Clock;

use super::actor::cause;
use super::context::{Context, Purpose};
use super::failure::Failure;
use super::output::{self, BAD, Cell, DIM, GOOD, STRONG, WARN, or_dash};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only show what would be armed; nothing is recorded
    #[arg(long)]
    dry_run: bool,
    /// Print the rotations as `[[rotation]]` tables in TOML; nothing is recorded
    #[arg(long, conflicts_with = "json")]
    export: bool,
    /// Print the secrets as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: Option<&Path>, args: Args) -> Result<(), Failure> {
    let is_read = args.dry_run || args.export;
    let purpose = if is_read {
        Purpose::Read
    } else {
        Purpose::Change
    };
    Context::of_config(config, purpose, async |context| {
        if context.settings.discover.is_empty() {
            return Err(Failure::usage(
                "the config has no [[discover]]",
                "see [[discover]] in config/twinkey.toml",
            ));
        }
        let (discovery, failed) = if is_read {
            dry_run(context).await?
        } else {
            discover(context).await?
        };
        if args.export {
            export(&context.settings.discover, &discovery)?;
        } else if args.json {
            let secrets = discovery.secrets.iter();
            let rows: Vec<DiscoveredSecret> = secrets.map(DiscoveredSecret::from).collect();
            output::json(&rows)?;
        } else {
            print(&discovery);
        }
        match failed {
            Some(problem) => Err(Failure::Problem(problem)),
            None => refusals(&discovery),
        }
    })
    .await
}

/// Lists every table's store, and plans without recording anything. Also returns the first store's error.
async fn dry_run(context: &Context) -> Result<(Discovery, Option<Problem>), Failure> {
    let rotator = &context.rotator;
    let (stores, journal) = (&rotator.context.stores, &*rotator.journal);
    let mut known = journal.known_secrets().await?;
    let mut failed = None;
    for table in &context.settings.discover {
        let store = table.store_name().unwrap_or_default();
        match list(stores, journal, table).await {
            Ok(listing) => known = with_listing(&known, store, listing),
            Err(problem) => failed = failed.or(Some(problem)),
        }
    }
    let rotations: Vec<&Rotation> = context.settings.rotations.iter().collect();
    let now = Clock::system().now();
    let discovery = plan(&context.settings.discover, &known, &rotations, now);
    Ok((discovery, failed))
}

/// Lists every table's store, and records what is armed. A running worker arms it within seconds. Also
/// returns the first store's error.
async fn discover(context: &Context) -> Result<(Discovery, Option<Problem>), Failure> {
    let rotator = &context.rotator;
    let (stores, journal) = (&rotator.context.stores, &*rotator.journal);
    let now = Clock::system().now();
    let mut failed = None;
    for table in &context.settings.discover {
        let claim = ListingClaim {
            at_once: true,
            ..listing_claim(table, &rotator.worker, now)
        };
        let listed = list_and_record(stores, journal, table, &claim).await?;
        failed = failed.or(listed.and_then(Result::err));
    }
    let rotations: Vec<&Rotation> = context.settings.rotations.iter().collect();
    let discover = &context.settings.discover;
    let discovery = arm(journal, discover, &rotations, cause(None).actor, now).await?;
    let armed = discovery.rotations.clone();
    let all: RotationSet = rotations.into_iter().cloned().chain(armed).collect();
    let is_armed = |name: &str| all.get(name).is_some_and(|one| one.discovered.is_some());
    record_names(journal, &all, is_armed, now).await?;
    Ok((discovery, failed))
}

fn print(discovery: &Discovery) {
    let rows: Vec<Vec<Cell>> = discovery.secrets.iter().map(row).collect();
    output::table(&["SECRET", "ROTATION", "STATE", "WHY"], &rows);
    let count = |is: fn(&Finding) -> bool| {
        let secrets = discovery.secrets.iter();
        secrets.filter(|one| is(&one.finding)).count()
    };
    anstream::println!(
        "{DIM}{} secrets: {} armed, {} refused, {} skipped{DIM:#}",
        discovery.secrets.len(),
        count(|finding| *finding == Finding::Armed),
        count(|finding| matches!(finding, Finding::Refused(_))),
        count(|finding| matches!(finding, Finding::Skipped(_))),
    );
}

fn row(found: &FoundSecret) -> Vec<Cell> {
    let (state, style, why) = match &found.finding {
        Finding::Armed => ("armed", GOOD, String::new()),
        Finding::Refused(why) => ("refused", BAD, format!("{}: {why}", Code::DiscoveryFailed)),
        Finding::Skipped(why) => ("skipped", WARN, why.clone()),
    };
    vec![
        Cell(found.known.listed.name.clone(), STRONG),
        Cell::plain(or_dash(found.rotation.as_deref())),
        Cell(state.into(), style),
        Cell(why, DIM),
    ]
}

fn export(discover: &[Discover], discovery: &Discovery) -> Result<(), Failure> {
    let mut first = true;
    for rotation in &discovery.rotations {
        let of_it = |one: &&FoundSecret| one.rotation.as_ref() == Some(&rotation.name);
        let found = discovery.secrets.iter().find(of_it);
        let table = found.and_then(|one| discover.get(one.by?.checked_sub(1)?));
        let (Some(found), Some(table)) = (found, table) else {
            continue;
        };
        let tags = &found.known.listed.tags;
        let master = rotation.master_secret.as_deref();
        let text = table.overrides(tags).and_then(|overrides| {
            let master = table.master_secret.as_ref().and(master);
            table.export(&rotation.name, &rotation.secret, master, &overrides)
        });
        let text = text.map_err(|error| {
            Failure::problem(
                Code::Internal,
                format!("rotation {:?} cannot be exported: {error}", rotation.name),
                "report the error with the [[discover]] of the config",
            )
        })?;
        if !first {
            anstream::println!();
        }
        first = false;
        anstream::print!("{text}");
    }
    Ok(())
}

/// Fails if a secret is refused.
fn refusals(discovery: &Discovery) -> Result<(), Failure> {
    let problems: Vec<Problem> = (discovery.secrets.iter())
        .filter_map(FoundSecret::problem)
        .collect();
    match problems.as_slice() {
        [] => Ok(()),
        [one] => Err(Failure::Problem(one.clone())),
        [first, ..] => Err(Failure::Problem(Problem {
            message: format!(
                "{} secrets are not rotated; {}",
                problems.len(),
                first.message
            ),
            ..first.clone()
        })),
    }
}
