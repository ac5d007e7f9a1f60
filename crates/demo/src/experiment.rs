//! The experiment: a worker with a window every few seconds, and an application on each database
//! that opens connections continuously. Only the lengths of windows differ from `twinkey serve`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::app::App;
use crate::applications::Applications;
use crate::consumer::{Consumer, Tally};
use crate::environment::{DemoError, Environment};
use twinkey::admin;
use twinkey::admin::auth::TokenAuth;
use twinkey::journal::{Run, RunState};
use twinkey::rotation::event::Event;
use twinkey::worker::next_tries::NextTries;
use twinkey::worker::scheduler::{Command, schedule};
use twinkey::worker::state::WorkerState;
use twinkey::worker::window_runner::{Shutdown, WindowRunner};
use twinkey_stores::listener::Listener;

/// The time between two windows.
pub const EVERY: Duration = Duration::from_secs(4);
/// The length of a window.
pub const WINDOW: Duration = Duration::from_secs(3);
/// The time for which the application caches a secret. It is shorter than [`MIN_INTERVAL`], as the
/// contract requires of consumers.
pub const CACHE: Duration = Duration::from_secs(1);
/// The minimum time between two flips.
pub const MIN_INTERVAL: Duration = Duration::from_secs(2);
/// Windows that a busy machine may miss.
const GRACE: u32 = 25;

/// The result of the demo.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    pub apps: BTreeMap<App, AppOutcome>,
    /// Failed runs, missed windows, and runs outside their window, as text.
    pub faults: Vec<String>,
}

/// The result of one application.
#[derive(Debug, Clone, Default)]
pub struct AppOutcome {
    /// Runs that moved AWSCURRENT inside their window.
    pub rotations: usize,
    pub tally: Tally,
}

impl Outcome {
    /// Whether each application had `wanted` rotations without any failure.
    #[must_use]
    pub fn holds(&self, wanted: usize) -> bool {
        let unharmed = |app_outcome: &AppOutcome| app_outcome.tally.failed == 0;
        self.rotated(wanted) && self.faults.is_empty() && self.apps.values().all(unharmed)
    }

    fn rotated(&self, wanted: usize) -> bool {
        App::ALL.iter().all(|app| {
            let app_outcome = self.apps.get(app);
            app_outcome.is_some_and(|app_outcome| app_outcome.rotations >= wanted)
        })
    }

    fn count(&mut self, app: App, run: &Run) {
        let inside = run
            .window
            .zip(run.finished)
            .is_some_and(|(w, end)| w.opens <= run.started && end < w.closes);
        match (run.state, inside) {
            (RunState::Succeeded, true) => self.apps.entry(app).or_default().rotations += 1,
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

/// Runs the demo until each application has had `rotations` rotations, or they are overdue.
/// `on_start` gets the address of the dashboard, which exists during the demo. `show` gets each
/// finished run with the connections so far.
///
/// # Errors
/// [`DemoError`] if the demo cannot start.
pub async fn run(
    rotations: usize,
    on_start: impl FnOnce(SocketAddr),
    show: impl Fn(App, &Run, &Tally),
) -> Result<Outcome, DemoError> {
    let environment = Environment::start(&App::ALL, MIN_INTERVAL, EVERY, WINDOW).await?;
    let rotator = environment.rotator.clone();
    let mut events = rotator.events.subscribe();
    let metrics = rotator.context.tasks.metrics().clone();
    let state = WorkerState::new(
        WindowRunner {
            permits: Arc::new(Semaphore::new(environment.settings.limits.concurrency)),
            rotator: rotator.clone(),
            shutdown: Shutdown::default(),
            next_tries: NextTries::default(),
        },
        environment.settings.rotations.clone(),
    );
    let clock = &rotator.context.clock;
    let applications = Applications::serve(&environment.settings.secrets, &metrics, clock).await?;
    let consumers = App::ALL.map(|app| {
        let store = applications.client();
        (app, Consumer::start(app, store, clock.clone()))
    });
    let endpoint = open_endpoint(&state, environment.settings.server.listen, on_start).await?;
    let (commands, received) = mpsc::channel(1);
    let worker = tokio::spawn(async move { schedule(&state, received).await });

    let windows = u32::try_from(rotations)
        .unwrap_or(u32::MAX)
        .saturating_add(GRACE);
    let deadline = clock.now() + EVERY * windows;
    let mut outcome = Outcome::default();
    while !outcome.rotated(rotations) {
        let happened = tokio::select! {
            happened = events.next_event() => happened,
            () = clock.sleep_until(deadline) => {
                outcome.faults.push("the rotations did not happen in time".into());
                break;
            }
        };
        match &happened.event {
            // Manual runs from the dashboard do not count.
            Event::RunFinished { run } if run.window.is_some() => {
                let of_run = |(app, _): &&(App, Consumer)| app.rotation() == run.rotation;
                if let Some((app, consumer)) = consumers.iter().find(of_run) {
                    outcome.count(*app, run);
                    show(*app, run, &consumer.tally());
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
    // The application must connect after the last flip.
    clock.sleep_until(clock.now() + CACHE * 2).await;
    // The channel is closed if the worker has already exited.
    let _ = commands.send(Command::Stop).await;
    match worker.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => outcome.faults.push(format!("the worker failed: {error}")),
        Err(error) => outcome.faults.push(format!("the worker ended: {error}")),
    }
    endpoint.abort();
    for (app, consumer) in consumers {
        outcome.apps.entry(app).or_default().tally = consumer.stop().await;
    }
    Ok(outcome)
}

/// Opens the endpoint of the worker without a token, on this machine only.
async fn open_endpoint(
    state: &WorkerState,
    listen: SocketAddr,
    on_start: impl FnOnce(SocketAddr),
) -> Result<JoinHandle<()>, DemoError> {
    let gate =
        TokenAuth::new(None, Vec::new()).map_err(|error| DemoError::Other(error.to_string()))?;
    let listener = Listener::bind(listen, None).await;
    let listener = listener.map_err(DemoError::Endpoint)?;
    on_start(listener.address());
    let router = admin::router(state.clone(), Arc::new(gate));
    Ok(tokio::spawn(listener.serve(router, std::future::pending())))
}
