//! `twinkey rotate`: one run now, with its steps, or a run of each selected rotation.
//!
//! # Failure modes
//! - Many runs at once exceed what a database or the store can take: at most `limits.concurrency` run in
//!   this process, within the limits of each host and of the store's writes. A worker is sent one request
//!   after the other, as its runs end.
//! - One of many fails, and is not seen among the others: each failure has a line, and the exit status is 1.
//! - A rotation that runs already, or ran just before, is counted as failed. It is counted as refused.

use std::collections::HashSet;
use std::time::Duration;

use clap::ArgGroup;
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::config::settings::Rotation;
use crate::journal::{AuditAction, Claim, Claimed, Run, RunState, Step, StepState, Trigger};
use crate::rotation::error::RotationError;
use crate::rotation::event::{Event, Subscription};
use crate::rotation::run::version_id;
use crate::rotation::run::{Order, Rotator};
use twinkey_core::code::{Code, Problem};
use twinkey_core::printable::escaped;
use twinkey_core::tasks::Tasks;
use twinkey_core::telemetry::Clock;

use crate::cli::actor::cause;
use crate::cli::context::{Context, Purpose, record_names};
use crate::cli::failure::Failure;
use crate::cli::output::{self, BAD, DIM, GOOD, STRONG};
use crate::cli::remote::{RemoteWorker, Target};
use crate::cli::selection::Selection;

/// The interval at which a worker's run is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The largest number of concurrent runs that are started in a worker, which has a limit of its own.
const MAX_RUNS_IN_WORKER: usize = 4;

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("rotations").required(true).args(["names", "all"]))]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    selection: Selection,
    /// All rotations
    #[arg(long)]
    all: bool,
    /// Rotate even inside min_interval or while the standby is in use
    #[arg(long)]
    force: bool,
    /// End the standby's open sessions after its new password is set
    #[arg(long)]
    end_sessions: bool,
    /// Reason, for the journal
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print the finished run as JSON; a list for several
    #[arg(long)]
    json: bool,
}

impl Args {
    fn order(&self) -> Order {
        Order {
            trigger: Trigger::Manual,
            cause: cause(self.reason.clone()),
            window: None,
            version_id: version_id::manual(),
            force: self.force,
            end_sessions: self.end_sessions,
        }
    }
}

/// One of several rotations, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Rotated {
    rotation: String,
    /// `null` if none was started.
    run: Option<Run>,
    /// Why no run started, or why it failed.
    error: Option<Problem>,
}

impl Rotated {
    fn new(rotation: String, run: Result<Run, Failure>) -> Result<Self, Failure> {
        let (run, error) = match run {
            Ok(run) => {
                let error = run.error.clone();
                (Some(run), error)
            }
            Err(Failure::Problem(problem)) => (None, Some(problem)),
            Err(failure) => return Err(failure),
        };
        Ok(Self {
            rotation,
            run,
            error,
        })
    }

    /// Whether nothing failed: another run is active, or one ended less than `min_interval` ago.
    fn is_refused(&self) -> bool {
        let code = self.error.as_ref().map(|problem| problem.code);
        matches!(code, Some(Code::AlreadyRunning | Code::TooSoon))
    }
}

pub(in crate::cli) async fn run(target: &Target<'_>, args: Args) -> Result<(), Failure> {
    match args.selection.one() {
        Some(name) => one(target, name, &args).await,
        None => several(target, &args).await,
    }
}

async fn one(target: &Target<'_>, name: &str, args: &Args) -> Result<(), Failure> {
    let run = match target {
        Target::Local(config) => {
            Context::with(*config, Purpose::Change, async |context| {
                let rotation = context.rotation(name)?;
                run_locally(context, rotation, args.order(), args.json).await
            })
            .await?
        }
        Target::Worker(worker) => run_in_worker(worker, name, args, args.json).await?,
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

async fn several(target: &Target<'_>, args: &Args) -> Result<(), Failure> {
    let (selected, rotated) = match target {
        Target::Local(config) => {
            Context::with(*config, Purpose::Change, async |context| {
                let journal = &*context.rotator.journal;
                let names = args.selection.names(&context.settings, journal).await?;
                record_names(&context.settings, journal, |name| names.contains(name)).await?;
                let stop = on_interrupt(&context.rotator.context.tasks);
                let rotations = context.settings.rotations.iter();
                let runs = rotations
                    .filter(|rotation| names.contains(&rotation.name))
                    .take_while(|_| !stop.is_cancelled())
                    .map(async |rotation| {
                        let run = run_silently(&context.rotator, rotation, args, &stop).await;
                        Rotated::new(rotation.name.clone(), run)
                    });
                let concurrency = context.settings.limits.concurrency;
                let ends = stream::iter(runs).buffer_unordered(concurrency);
                Ok((names.len(), collect(ends, args).await?))
            })
            .await?
        }
        Target::Worker(worker) => {
            let names = args.selection.names_of(worker).await?;
            let selected = names.len();
            let runs = names.into_iter().map(async |name| {
                let run = run_in_worker(worker, &name, args, true).await;
                Rotated::new(name, run)
            });
            let ends = stream::iter(runs).buffer_unordered(MAX_RUNS_IN_WORKER);
            (selected, collect(ends, args).await?)
        }
    };
    let unsuccessful = rotated.iter().filter(|one| one.error.is_some()).count();
    let refused = rotated.iter().filter(|one| one.is_refused()).count();
    // Ctrl-C came before.
    let left = selected - rotated.len();
    if args.json {
        output::json(&rotated)?;
    } else {
        let done = rotated.len() - unsuccessful;
        let failed = unsuccessful - refused;
        anstream::println!(
            "{DIM}{done} rotated, {refused} refused, {failed} failed, {left} not started{DIM:#}"
        );
    }
    if unsuccessful + left > 0 {
        return Err(Failure::Printed);
    }
    Ok(())
}

/// Prints the end of each run as it comes, unless JSON is wanted, and returns all.
async fn collect(
    ends: impl Stream<Item = Result<Rotated, Failure>>,
    args: &Args,
) -> Result<Vec<Rotated>, Failure> {
    let mut ends = std::pin::pin!(ends);
    let mut rotated = Vec::new();
    while let Some(end) = ends.next().await {
        let end = end?;
        if !args.json {
            match (&end.error, &end.run) {
                (Some(problem), _) => {
                    let (name, problem) = (&end.rotation, problem.to_string());
                    anstream::println!("{BAD}{name}{BAD:#}: {}", escaped(&problem));
                }
                (None, Some(run)) => print_summary(run),
                (None, None) => {}
            }
        }
        rotated.push(end);
    }
    Ok(rotated)
}

async fn run_silently(
    rotator: &Rotator,
    rotation: &Rotation,
    args: &Args,
    stop: &CancellationToken,
) -> Result<Run, Failure> {
    let order = args.order();
    let claimed = claim(rotator, rotation, &order).await?;
    Ok(rotator.carry_out(rotation, &order, claimed, stop).await)
}

/// Is cancelled by Ctrl-C: running runs stop where a later run continues, and no other one starts.
fn on_interrupt(tasks: &Tasks) -> CancellationToken {
    let stop = CancellationToken::new();
    let interrupted = stop.clone();
    tasks.spawn_service("signals", async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            interrupted.cancel();
        }
        std::future::pending().await
    });
    stop
}

/// Runs the rotation in this process, and prints its steps unless `quiet`.
pub(in crate::cli) async fn run_locally(
    context: &Context,
    rotation: &Rotation,
    order: Order,
    quiet: bool,
) -> Result<Run, Failure> {
    let rotator = &context.rotator;
    let is_rotated = |name: &str| name == rotation.name;
    record_names(&context.settings, &*rotator.journal, is_rotated).await?;
    let stop = on_interrupt(&rotator.context.tasks);
    let claimed = claim(rotator, rotation, &order).await?;
    let steps = print_steps(rotator.events.subscribe(), quiet);
    // A task, so that a terminal that is stopped does not stop the run.
    let display = (rotator.context.tasks).spawn_owned("display", &rotation.name, steps);
    let run = rotator.carry_out(rotation, &order, claimed, &stop).await;
    // The display ends with the run's last event; its failure does not affect the run.
    let _ = display.await;
    if !quiet {
        print_summary(&run);
    }
    Ok(run)
}

/// Claims a run. A refusal is recorded.
async fn claim(
    rotator: &Rotator,
    rotation: &Rotation,
    order: &Order,
) -> Result<Claimed, RotationError> {
    let claimed = try_claim(rotator, rotation, order).await;
    if let Err(error) = &claimed {
        rotator
            .record_refusal(AuditAction::Rotate, rotation, &order.cause, error)
            .await;
    }
    claimed
}

async fn try_claim(
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

/// Starts the run in a worker and prints its steps unless `quiet`; interrupting this does not stop the run.
async fn run_in_worker(
    worker: &RemoteWorker,
    name: &str,
    args: &Args,
    quiet: bool,
) -> Result<Run, Failure> {
    let mut request = serde_json::json!({ "force": args.force, "reason": args.reason });
    // A worker of version 0.1 refuses unknown fields.
    if args.end_sessions {
        request["end_sessions"] = true.into();
    }
    let path = ["rotations", name, "rotate"];
    let mut run: Run = worker.post(&path, &request).await?;
    let id = run.id.to_string();
    let clock = Clock::system();
    let mut shown = HashSet::new();
    loop {
        for step in &run.steps {
            let waits = step.detail.clone().filter(|_| step.finished.is_none());
            let is_new = step.finished.is_some() || waits.is_some();
            if !quiet && is_new && shown.insert((step.name, waits)) {
                print_step(step);
            }
        }
        if run.state != RunState::Running {
            break;
        }
        clock.sleep(POLL_INTERVAL).await;
        run = worker.get(&["runs", &id], &[]).await?;
    }
    if !quiet {
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
