//! `twinkey pause` and `twinkey resume`: the schedules of rotations.

use chrono::{DateTime, Utc};
use clap::ArgGroup;
use indexmap::IndexSet;
use serde_json::Value as Json;

use crate::cli::actor::cause;
use crate::cli::context::{Purpose, record_names, settings, with_journal};
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::cli::remote::Target;
use crate::cli::selection::Selection;
use crate::journal::{AuditAction, AuditRecord};
use twinkey_core::telemetry::Clock;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct PauseArgs {
    #[command(flatten)]
    schedule: Args,
    /// End of the pause (RFC 3339); without it, `twinkey resume` ends the pause
    #[arg(long, value_name = "TIME")]
    until: Option<DateTime<Utc>>,
}

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("rotations").required(true).args(["names", "all"]))]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    selection: Selection,
    /// All rotations
    #[arg(long)]
    all: bool,
    /// Reason, for the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn pause(target: &Target<'_>, args: PauseArgs) -> Result<(), Failure> {
    let PauseArgs { schedule, until } = args;
    let now = Clock::system().now();
    if until.is_some_and(|until| until <= now) {
        return Err(Failure::usage(
            "--until is not in the future",
            "give a later time, such as 2027-01-31T08:00:00Z",
        ));
    }
    let (names, _) = set_paused(target, &schedule, true, until).await?;
    if schedule.json {
        let result = |name| serde_json::json!({"rotation": name, "paused": true, "until": until});
        return results(&schedule, names.iter().map(result));
    }
    if names.is_empty() {
        output::no_rotations("paused");
    }
    let end = until.map_or_else(String::new, |at| {
        format!(" until {}", output::time(Some(at)))
    });
    for name in names {
        anstream::println!("{name}: paused{end}; `twinkey rotate` still works");
    }
    Ok(())
}

pub(in crate::cli) async fn resume(target: &Target<'_>, args: Args) -> Result<(), Failure> {
    let (names, by_config) = set_paused(target, &args, false, None).await?;
    if args.json {
        let result = |name: &String| {
            let paused = by_config.contains(name);
            serde_json::json!({"rotation": name, "paused": paused})
        };
        return results(&args, names.iter().map(result));
    }
    if names.is_empty() {
        output::no_rotations("resumed");
    }
    for name in names {
        if by_config.contains(&name) {
            anstream::println!(
                "{name}: still paused by the config; remove `paused = true` or its tag twinkey:paused"
            );
        } else {
            anstream::println!("{name}: schedule resumed");
        }
    }
    Ok(())
}

/// Prints one result for one name, and a list for a selection.
fn results(args: &Args, results: impl Iterator<Item = Json>) -> Result<(), Failure> {
    let results: Vec<Json> = results.collect();
    match (args.selection.one(), results.as_slice()) {
        (Some(_), [result]) => output::json(result),
        _ => output::json(&results),
    }
}

/// Pauses or resumes the selected rotations. Returns their names, and those that the config pauses.
async fn set_paused(
    target: &Target<'_>,
    args: &Args,
    paused: bool,
    until: Option<DateTime<Utc>>,
) -> Result<(IndexSet<String>, IndexSet<String>), Failure> {
    let action = if paused {
        AuditAction::Pause
    } else {
        AuditAction::Resume
    };
    match target {
        Target::Local(config) => {
            let settings = settings(*config)?;
            let (cause, now) = (cause(args.reason.clone()), Clock::system().now());
            with_journal(settings, Purpose::Change, async |settings, journal| {
                let names = args.selection.names(settings, journal).await?;
                record_names(settings, journal, |name| names.contains(name)).await?;
                for name in &names {
                    let record = AuditRecord::done(action, name, cause.clone(), now);
                    let pause = paused.then(|| record.as_pause(until));
                    journal.set_paused(name, pause.as_ref(), &record).await?;
                    tracing::debug!(rotation = %name, paused, "schedule paused or resumed");
                }
                let by_config = settings.rotations.iter().filter(|one| one.paused);
                let by_config = by_config.map(|one| one.name.clone()).collect();
                Ok((names, by_config))
            })
            .await
        }
        Target::Worker(worker) => {
            let mut body = serde_json::json!({});
            // A worker of version 0.1 refuses unknown fields.
            if let Some(reason) = &args.reason {
                body["reason"] = reason.as_str().into();
            }
            if let Some(until) = until {
                body["until"] = serde_json::json!(until);
            }
            let names = args.selection.names_of(worker).await?;
            let mut by_config = IndexSet::new();
            for name in &names {
                let path = ["rotations", name, action.as_str()];
                let done: Json = worker.post(&path, &body).await?;
                if done["paused"] == true {
                    by_config.insert(name.clone());
                }
            }
            Ok((names, by_config))
        }
    }
}
