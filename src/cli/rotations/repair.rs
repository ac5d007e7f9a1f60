//! `twinkey repair`: diagnosis of an interrupted rotation, and its repair with `--apply`.

use std::path::Path;

use serde::Serialize;

use crate::config::settings::Rotation;
use crate::journal::{AuditAction, AuditRecord, RunState, Trigger};
use crate::rotation::commands::repair::{Diagnosis, Remedy, apply_remedy, diagnose};
use crate::rotation::observe::observation::RunRequest;
use crate::rotation::run::Order;
use crate::rotation::run::version_id;
use twinkey_core::telemetry::AUDIT;

use super::rotate;
use crate::cli::actor::cause;
use crate::cli::context::{Context, Purpose};
use crate::cli::failure::Failure;
use crate::cli::output::{self, GOOD, STRONG};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Name of the rotation
    name: String,
    /// Apply the remedy, if there is one
    #[arg(long)]
    apply: bool,
    /// Print the diagnosis as JSON
    #[arg(long)]
    json: bool,
}

/// The JSON output.
#[derive(Serialize)]
struct RepairResult<'a> {
    #[serde(flatten)]
    diagnosis: &'a Diagnosis,
    /// Whether the remedy was applied.
    applied: bool,
}

pub(in crate::cli) async fn run(config: Option<&Path>, args: Args) -> Result<(), Failure> {
    let purpose = if args.apply {
        Purpose::Change
    } else {
        Purpose::Read
    };
    Context::with(config, purpose, async |context| repair(context, args).await).await
}

async fn repair(context: &Context, args: Args) -> Result<(), Failure> {
    let rotation = context.rotation(&args.name)?;
    let run_context = &context.rotator.context.of(rotation);
    let request = RunRequest {
        lock: args.apply,
        ..context.rotator.preview(rotation).await?
    };
    let diagnosis = if args.apply {
        match apply_remedy(run_context, &request).await {
            Ok(diagnosis) => diagnosis,
            Err(error) => {
                context
                    .rotator
                    .record_refusal(AuditAction::Repair, rotation, &cause(None), &error)
                    .await;
                return Err(error.into());
            }
        }
    } else {
        diagnose(run_context, &request).await?
    };
    if !args.json {
        print(&diagnosis, args.apply);
    }
    if args.apply && diagnosis.remedy == Remedy::DropPending {
        let version = diagnosis.pending_version.as_ref().map_or("", |id| &id.0);
        tracing::warn!(target: AUDIT, rotation = %rotation.name, %version, "AWSPENDING removed");
        let (cause, now) = (cause(None), run_context.clock.now());
        let record = AuditRecord::done(AuditAction::Repair, &rotation.name, cause, now);
        context.rotator.journal.append(&record).await?;
    }
    if args.apply && diagnosis.remedy == Remedy::Rotate {
        finish(context, rotation, args.json).await?;
    }
    if args.json {
        output::json(&RepairResult {
            applied: args.apply && diagnosis.remedy != Remedy::Nothing,
            diagnosis: &diagnosis,
        })?;
    }
    Ok(())
}

/// Runs the rotation, which continues with the pending password.
async fn finish(context: &Context, rotation: &Rotation, quiet: bool) -> Result<(), Failure> {
    let order = Order {
        trigger: Trigger::Manual,
        cause: cause(Some("twinkey repair".into())),
        window: None,
        version_id: version_id::manual(),
        force: false,
        end_sessions: false,
    };
    let run = rotate::run_locally(context, rotation, order, quiet).await?;
    match run.error {
        Some(problem) if run.state != RunState::Succeeded => Err(Failure::Problem(problem)),
        _ => Ok(()),
    }
}

fn print(diagnosis: &Diagnosis, apply: bool) {
    anstream::println!("{STRONG}{}{STRONG:#}", diagnosis.rotation);
    for sentence in &diagnosis.explanation {
        anstream::println!("  {sentence}");
    }
    let version = diagnosis.pending_version.as_ref().map_or("", |id| &id.0);
    match (diagnosis.remedy, apply) {
        (Remedy::Nothing, _) => anstream::println!("  {GOOD}nothing to repair{GOOD:#}"),
        (Remedy::DropPending, false) => anstream::println!(
            "  --apply removes AWSPENDING from version {version}, which stays readable by its id for a while"
        ),
        (Remedy::DropPending, true) => {
            anstream::println!("  {GOOD}AWSPENDING removed from version {version}{GOOD:#}");
        }
        (Remedy::Rotate, false) => {
            anstream::println!(
                "  --apply starts one run, which continues with the pending password"
            );
        }
        (Remedy::Rotate, true) => {
            anstream::println!("  one run continues with the pending password:")
        }
    }
}
