//! `twinkey rotate`: one run now, in this process, with its steps shown as they happen.

use std::collections::HashSet;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::config::settings::Rotation;
use crate::journal::{Claim, Run, RunState, Step, StepState, Trigger};
use crate::rotation::event::{Event, Subscription};
use crate::rotation::run::Order;
use crate::rotation::run::version_id;
use twinkey_core::code::Code;
use twinkey_core::telemetry::Clock;

use super::context::Context;
use super::failure::Failure;
use super::output::{self, BAD, DIM, GOOD, STRONG};
use super::remote::{Remote, Whom};

/// How often a worker is asked how far it is.
const PACE: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The rotation
    name: String,
    /// Rotate even inside min_interval or while the standby is in use
    #[arg(long)]
    force: bool,
    /// Why, for the journal
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print the run as JSON when it has ended
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(whom: &Whom<'_>, args: Args) -> Result<(), Failure> {
    let run = match whom {
        Whom::Here(config) => {
            Context::with(*config, async |context| {
                let rotation = context.rotation(&args.name)?;
                let order = Order {
                    trigger: Trigger::Manual,
                    reason: args.reason,
                    window: None,
                    version_id: version_id::manual(),
                    force: args.force,
                };
                now(context, rotation, order, args.json).await
            })
            .await?
        }
        Whom::There(worker) => there(worker, &args).await?,
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

/// Carries the order out in this process, and shows its steps unless `quiet`.
pub(super) async fn now(
    context: &Context,
    rotation: &Rotation,
    order: Order,
    quiet: bool,
) -> Result<Run, Failure> {
    let rotator = &context.rotator;
    rotator.not_too_soon(rotation, &order).await?;
    let claimed = match rotator.claim(rotation, &order).await? {
        Claim::Claimed(claimed) => *claimed,
        Claim::Running { run, .. } | Claim::Over(run) => {
            return Err(Failure::problem(
                Code::AlreadyRunning,
                format!(
                    "run {} of this rotation is running in worker {}",
                    run.id, run.worker
                ),
                "wait for its end; `twinkey status` shows it",
            ));
        }
    };
    let stop = CancellationToken::new();
    let interrupted = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            interrupted.cancel();
        }
    });
    let show = tokio::spawn(follow(rotator.events.subscribe(), quiet));
    let run = rotator.carry_out(rotation, &order, claimed, &stop).await;
    // Showing ends with the run's last event; a lost display is no failure of the run.
    let _ = show.await;
    if !quiet {
        conclusion(&run);
    }
    Ok(run)
}

/// Has a worker carry it out, and shows its steps as they are there. Interrupting this does not stop the run.
async fn there(worker: &Remote, args: &Args) -> Result<Run, Failure> {
    let wish = serde_json::json!({ "force": args.force, "reason": args.reason });
    let path = ["rotations", args.name.as_str(), "rotate"];
    let mut run: Run = worker.post(&path, &wish).await?;
    let id = run.id.to_string();
    let clock = Clock::system();
    let mut shown = HashSet::new();
    loop {
        for step in &run.steps {
            if !args.json && step.finished.is_some() && shown.insert(step.name) {
                show(step);
            }
        }
        if run.state != RunState::Running {
            break;
        }
        clock.pass(PACE).await;
        run = worker.get(&["runs", &id], &[]).await?;
    }
    if !args.json {
        conclusion(&run);
    }
    Ok(run)
}

async fn follow(mut events: Subscription, quiet: bool) {
    loop {
        match &events.next_event().await.event {
            Event::Step { step, .. } if !quiet => show(step),
            Event::RunFinished { .. } => return,
            _ => {}
        }
    }
}

fn show(step: &Step) {
    let name = step.name.as_str();
    let detail = step.detail.as_deref().unwrap_or_default();
    let took = step
        .finished
        .map_or(0, |end| (end - step.started).num_milliseconds());
    match step.state {
        StepState::Running => {}
        StepState::Succeeded => {
            anstream::println!("  {GOOD}✓{GOOD:#} {name:<6}  {detail} {DIM}({took} ms){DIM:#}");
        }
        StepState::Failed => anstream::println!("  {BAD}✗{BAD:#} {name:<6}  {detail}"),
    }
}

fn conclusion(run: &Run) {
    let (Some(from), Some(to), Some(finished)) = (&run.from_user, &run.to_user, run.finished)
    else {
        return;
    };
    let took = (finished - run.started).as_seconds_f64();
    if run.state == RunState::Succeeded {
        anstream::println!(
            "{GOOD}{STRONG}{}{STRONG:#}{GOOD:#}: {from} -> {STRONG}{to}{STRONG:#} in {took:.2} s; {from} goes on signing in until the next rotation",
            run.rotation
        );
    }
}
