//! `twinkey rotate`: one run now, with its steps.

use std::collections::HashSet;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::config::settings::Rotation;
use crate::journal::{AuditAction, Claim, Claimed, Run, RunState, Step, StepState, Trigger};
use crate::rotation::error::RotationError;
use crate::rotation::event::{Event, Subscription};
use crate::rotation::run::version_id;
use crate::rotation::run::{Order, Rotator};
use twinkey_core::code::Code;
use twinkey_core::printable::escaped;
use twinkey_core::telemetry::Clock;

use crate::cli::actor::cause;
use crate::cli::context::{Context, Purpose};
use crate::cli::failure::Failure;
use crate::cli::output::{self, BAD, DIM, GOOD, STRONG};
use crate::cli::remote::{RemoteWorker, Target};

/// The interval at which a worker's run is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Name of the rotation
    name: String,
    /// Rotate even inside min_interval or while the standby is in use
    #[arg(long)]
    force: bool,
    /// End the standby's open sessions after its new password is set
    #[arg(long)]
    end_sessions: bool,
    /// Reason, for the journal
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print the finished run as JSON
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn run(target: &Target<'_>, args: Args) -> Result<(), Failure> {
    let run = match target {
        Target::Local(config) => {
            Context::with(*config, Purpose::Change, async |context| {
                let rotation = context.rotation(&args.name)?;
                let order = Order {
                    trigger: Trigger::Manual,
                    cause: cause(args.reason),
                    window: None,
                    version_id: version_id::manual(),
                    force: args.force,
                    end_sessions: args.end_sessions,
                };
                run_locally(context, rotation, order, args.json).await
            })
            .await?
        }
        Target::Worker(worker) => run_in_worker(worker, &args).await?,
    };
    if args.json {
        output::json(&run)?;
    }
    match run.error {
        None => Ok(()),
        Some(_) if args.json => Err(Failure::Printed),
        Some(problem) => Err(Failure::Problem(problem)),
    }
}

/// Runs the rotation in this process, and prints its steps unless `quiet`.
pub(in crate::cli) async fn run_locally(
    context: &Context,
    rotation: &Rotation,
    order: Order,
    quiet: bool,
) -> Result<Run, Failure> {
    let rotator = &context.rotator;
    let claimed = match claim(rotator, rotation, &order).await {
        Ok(claimed) => claimed,
        Err(error) => {
            rotator
                .record_refusal(AuditAction::Rotate, rotation, &order.cause, &error)
                .await;
            return Err(error.into());
        }
    };
    let stop = CancellationToken::new();
    let interrupted = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            interrupted.cancel();
        }
    });
    let display = tokio::spawn(print_steps(rotator.events.subscribe(), quiet));
    let run = rotator.carry_out(rotation, &order, claimed, &stop).await;
    // The display ends with the run's last event; its failure does not affect the run.
    let _ = display.await;
    if !quiet {
        print_summary(&run);
    }
    Ok(run)
}

async fn claim(
    rotator: &Rotator,
    rotation: &Rotation,
    order: &Order,
) -> Result<Claimed, RotationError> {
    rotator.not_too_soon(rotation, order).await?;
    match rotator.claim(rotation, order).await? {
        Claim::Claimed(claimed) => Ok(*claimed),
        Claim::Running { run, .. } | Claim::Over(run) => Err(RotationError::Refused {
            code: Code::AlreadyRunning,
            message: format!(
                "run {} of this rotation is running in worker {}",
                run.id, run.worker
            ),
            hint: "wait for its end; `twinkey status` shows it".into(),
            passes: true,
        }),
    }
}

/// Starts the run in a worker and prints its steps; interrupting this does not stop the run.
async fn run_in_worker(worker: &RemoteWorker, args: &Args) -> Result<Run, Failure> {
    let mut request = serde_json::json!({ "force": args.force, "reason": args.reason });
    // A worker of version 0.1 refuses unknown fields.
    if args.end_sessions {
        request["end_sessions"] = true.into();
    }
    let path = ["rotations", args.name.as_str(), "rotate"];
    let mut run: Run = worker.post(&path, &request).await?;
    let id = run.id.to_string();
    let clock = Clock::system();
    let mut shown = HashSet::new();
    loop {
        for step in &run.steps {
            let waits = step.detail.clone().filter(|_| step.finished.is_none());
            let is_new = step.finished.is_some() || waits.is_some();
            if !args.json && is_new && shown.insert((step.name, waits)) {
                print_step(step);
            }
        }
        if run.state != RunState::Running {
            break;
        }
        clock.sleep(POLL_INTERVAL).await;
        run = worker.get(&["runs", &id], &[]).await?;
    }
    if !args.json {
        print_summary(&run);
    }
    Ok(run)
}

async fn print_steps(mut events: Subscription, quiet: bool) {
    loop {
        match &events.next_event().await.event {
            Event::Step { step, .. } if !quiet => print_step(step),
            Event::RunFinished { .. } => return,
            _ => {}
        }
    }
}

fn print_step(step: &Step) {
    let name = step.name.as_str();
    let detail = escaped(step.detail.as_deref().unwrap_or_default());
    let took = step
        .finished
        .map_or(0, |end| (end - step.started).num_milliseconds());
    match step.state {
        StepState::Running if detail.is_empty() => {}
        StepState::Running => anstream::println!("  {DIM}…{DIM:#} {name:<6}  {detail}"),
        StepState::Succeeded => {
            anstream::println!("  {GOOD}✓{GOOD:#} {name:<6}  {detail} {DIM}({took} ms){DIM:#}");
        }
        StepState::Failed => anstream::println!("  {BAD}✗{BAD:#} {name:<6}  {detail}"),
    }
}

fn print_summary(run: &Run) {
    let (Some(from), Some(to), Some(finished)) = (&run.from_user, &run.to_user, run.finished)
    else {
        return;
    };
    let (from, to) = (escaped(from), escaped(to));
    let took = (finished - run.started).as_seconds_f64();
    if run.state == RunState::Succeeded {
        anstream::println!(
            "{GOOD}{STRONG}{}{STRONG:#}{GOOD:#}: {from} -> {STRONG}{to}{STRONG:#} in {took:.2} s; {from} can sign in until the next rotation",
            run.rotation
        );
    }
}
