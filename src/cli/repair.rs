//! `twinkey repair`: what is stuck about a secret, and with `--apply` the way out of it.

use std::path::Path;

use serde::Serialize;

use crate::config::settings::Rotation;
use crate::journal::{RunState, Trigger};
use crate::rotation::run::version_id;
use crate::rotation::commands::repair::{Diagnosis, Remedy, diagnose, apply_remedy};
use crate::rotation::run::Order;
use crate::rotation::observe::observation::RunRequest;
use twinkey_core::telemetry::AUDIT;

use super::context::Context;
use super::failure::Failure;
use super::output::{self, GOOD, STRONG};
use super::rotate;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The rotation
    name: String,
    /// Do it, where there is something to be done
    #[arg(long)]
    apply: bool,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

/// What is printed with `--json`.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    found: &'a Diagnosis,
    /// The remedy was carried out.
    applied: bool,
}

pub(super) async fn run(config: Option<&Path>, args: Args) -> Result<(), Failure> {
    Context::with(config, async |context| repair(context, args).await).await
}

async fn repair(context: &Context, args: Args) -> Result<(), Failure> {
    let rotation = context.rotation(&args.name)?;
    let run_context = &context.rotator.context;
    let request = RunRequest {
        lock: args.apply,
        ..context.rotator.preview(rotation).await?
    };
    let found = if args.apply {
        apply_remedy(run_context, &request).await?
    } else {
        diagnose(run_context, &request).await?
    };
    if !args.json {
        show(&found, args.apply);
    }
    if args.apply && found.remedy == Remedy::DropPending {
        let version = found.pending_version.as_ref().map_or("", |id| &id.0);
        tracing::warn!(target: AUDIT, rotation = %rotation.name, %version, "AWSPENDING taken off");
    }
    if args.apply && found.remedy == Remedy::Rotate {
        finish(context, rotation, args.json).await?;
    }
    if args.json {
        output::json(&Told {
            applied: args.apply && found.remedy != Remedy::Nothing,
            found: &found,
        })?;
    }
    Ok(())
}

/// A run that carries the pending password on, like every other.
async fn finish(context: &Context, rotation: &Rotation, quiet: bool) -> Result<(), Failure> {
    let order = Order {
        trigger: Trigger::Manual,
        reason: Some("twinkey repair".into()),
        window: None,
        version_id: version_id::manual(),
        force: false,
    };
    let run = rotate::now(context, rotation, order, quiet).await?;
    match run.error {
        Some(problem) if run.state != RunState::Succeeded => Err(Failure::Problem(problem)),
        _ => Ok(()),
    }
}

fn show(found: &Diagnosis, apply: bool) {
    anstream::println!("{STRONG}{}{STRONG:#}", found.rotation);
    for sentence in &found.explanation {
        anstream::println!("  {sentence}");
    }
    let version = found.pending_version.as_ref().map_or("", |id| &id.0);
    match (found.remedy, apply) {
        (Remedy::Nothing, _) => anstream::println!("  {GOOD}nothing is to be done{GOOD:#}"),
        (Remedy::DropPending, false) => anstream::println!(
            "  --apply takes AWSPENDING off version {version}, which stays readable by its id for a while"
        ),
        (Remedy::DropPending, true) => {
            anstream::println!("  {GOOD}AWSPENDING is taken off version {version}{GOOD:#}");
        }
        (Remedy::Rotate, false) => {
            anstream::println!("  --apply finishes it: one run that carries the password on");
        }
        (Remedy::Rotate, true) => anstream::println!("  one run carries the password on:"),
    }
}
