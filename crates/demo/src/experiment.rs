//! The experiment: a worker with a window every few seconds, and an application on each database
//! that opens connections all the time. Only the length of the windows differs from `twinkey serve`.

use std::collections::BTreeMap;
use std::future::IntoFuture;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::applications::Applications;
use crate::consumer::{Consumer, Tally};
use crate::shop::Shop;
use crate::stage::{Stage, StageError};
use twinkey::admin;
use twinkey::admin::auth::TokenAuth;
use twinkey::journal::{Run, RunState};
use twinkey::rotation::event::Event;
use twinkey::worker::state::WorkerState;
use twinkey::worker::scheduler::{Command, schedule};
use twinkey::worker::window_runner::{Shutdown, WindowRunner};
use twinkey_core::telemetry::metrics::Metrics;
use twinkey_stores::listener::{Listener, Peer};

/// A window opens this often.
pub const EVERY: Duration = Duration::from_secs(4);
/// And stays open for this long.
pub const WINDOW: Duration = Duration::from_secs(3);
/// How long the application keeps a secret before it asks the store again. Shorter than
/// [`MIN_INTERVAL`], as the contract asks of consumers.
pub const CACHE: Duration = Duration::from_secs(1);
/// The least time between two flips.
pub const MIN_INTERVAL: Duration = Duration::from_secs(2);

/// What the demo showed.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    pub shops: BTreeMap<Shop, Showing>,
    /// Runs that failed, windows that were missed, runs outside their window: in words.
    pub faults: Vec<String>,
}

/// What the demo showed on one shop.
#[derive(Debug, Clone, Default)]
pub struct Showing {
    /// Runs that moved AWSCURRENT, each inside its window.
    pub rotations: usize,
    pub tally: Tally,
}

impl Outcome {
    /// Whether the demo shows what it is to show, on every shop.
    #[must_use]
    pub fn holds(&self, wanted: usize) -> bool {
        let unharmed = |showing: &Showing| showing.tally.failed == 0;
        self.rotated(wanted) && self.faults.is_empty() && self.shops.values().all(unharmed)
    }

    fn rotated(&self, wanted: usize) -> bool {
        Shop::ALL.iter().all(|shop| {
            let showing = self.shops.get(shop);
            showing.is_some_and(|showing| showing.rotations >= wanted)
        })
    }

    fn count(&mut self, shop: Shop, run: &Run) {
        let inside = run
            .window
            .zip(run.finished)
            .is_some_and(|(w, end)| w.opens <= run.started && end < w.closes);
        match (run.state, inside) {
            (RunState::Succeeded, true) => self.shops.entry(shop).or_default().rotations += 1,
            (RunState::Succeeded, false) => {
                self.faults.push(format!(
                    "{}: run {} was not inside its window",
                    run.rotation, run.id
                ));
            }
            (RunState::Deferred, _) => {}
            _ => {
                let why = run.error.as_ref().map(ToString::to_string);
                let why = why.unwrap_or_else(|| format!("run {} failed", run.id));
                self.faults.push(format!("{}: {why}", run.rotation));
            }
        }
    }
}

/// Runs the demo until every shop has had so many `rotations`, or it is clear that they will not
/// come. `begun` gets the address of the dashboard, which is there as long as the demo runs; `show` every run
/// that ended, with the tally so far of the shop's application.
///
/// # Errors
/// [`StageError`] when there is nothing to show it on.
pub async fn run(
    rotations: usize,
    begun: impl FnOnce(SocketAddr),
    show: impl Fn(Shop, &Run, &Tally),
) -> Result<Outcome, StageError> {
    let stage = Stage::set(&Shop::ALL, MIN_INTERVAL, EVERY, WINDOW).await?;
    let rotator = stage.rotator.clone();
    let mut events = rotator.events.subscribe();
    let metrics = Metrics::default();
    let state = WorkerState::new(
        WindowRunner {
            permits: Arc::new(Semaphore::new(stage.settings.limits.concurrency)),
            rotator: rotator.clone(),
            shutdown: Shutdown::default(),
        },
        stage.settings.rotations.clone(),
        metrics.clone(),
    );
    let clock = &rotator.context.clock;
    let applications = Applications::serve(&stage.settings.secrets, &metrics, clock).await?;
    let consumers = Shop::ALL.map(|shop| {
        let store = applications.client();
        (shop, Consumer::start(shop, store, clock.clone()))
    });
    let endpoint = open_endpoint(&state, stage.settings.server.listen, begun).await?;
    let (commands, heard) = mpsc::channel(1);
    let worker = tokio::spawn(async move { schedule(&state, heard).await });

    let windows = u32::try_from(rotations)
        .unwrap_or(u32::MAX)
        .saturating_add(4);
    let deadline = clock.now() + EVERY * windows;
    let mut outcome = Outcome::default();
    while !outcome.rotated(rotations) {
        let happened = tokio::select! {
            happened = events.next_event() => happened,
            () = clock.sleep_until(deadline) => {
                outcome.faults.push("the rotations did not come in time".into());
                break;
            }
        };
        match &happened.event {
            // What somebody has asked for on the dashboard is not what is counted here.
            Event::RunFinished { run } if run.window.is_some() => {
                let of_run = |(shop, _): &&(Shop, Consumer)| shop.rotation() == run.rotation;
                if let Some((shop, consumer)) = consumers.iter().find(of_run) {
                    outcome.count(*shop, run);
                    show(*shop, run, &consumer.tally());
                }
            }
            Event::WindowMissed {
                rotation, problem, ..
            } => {
                outcome
                    .faults
                    .push(format!("{rotation}: a window was missed: {problem}"));
            }
            _ => {}
        }
    }
    // The last flip is not survived until the application has met it.
    clock.sleep_until(clock.now() + CACHE * 2).await;
    // A worker that has stopped by itself has nobody to tell.
    let _ = commands.send(Command::Stop).await;
    match worker.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => outcome.faults.push(format!("the worker failed: {error}")),
        Err(error) => outcome.faults.push(format!("the worker ended: {error}")),
    }
    endpoint.abort();
    for (shop, consumer) in consumers {
        outcome.shops.entry(shop).or_default().tally = consumer.stop().await;
    }
    Ok(outcome)
}

/// Opens the worker's endpoint, for everybody on this machine: there is nothing to keep in a demo.
async fn open_endpoint(
    state: &WorkerState,
    listen: SocketAddr,
    begun: impl FnOnce(SocketAddr),
) -> Result<JoinHandle<std::io::Result<()>>, StageError> {
    let gate = TokenAuth::new(None).map_err(|error| StageError::Other(error.to_string()))?;
    let listener = Listener::bind(listen, None).await;
    let listener = listener.map_err(StageError::Endpoint)?;
    begun(listener.address());
    let service =
        admin::router(state.clone(), Arc::new(gate)).into_make_service_with_connect_info::<Peer>();
    Ok(tokio::spawn(axum::serve(listener, service).into_future()))
}
