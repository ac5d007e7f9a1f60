//! `twinkey serve`: the worker, until SIGTERM; SIGHUP reloads the config.

pub(super) mod healthz;
mod served_store;
mod systemd;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::signal::unix::{SignalKind, signal};

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::admin;
use crate::admin::auth::TokenAuth;
use crate::admin::reload::{CertificateFiles, TokenFiles};
use crate::config::settings::Notify;
use crate::hook;
use crate::rotation::context::admin_cache::IdleAdmins;
use crate::rotation::run::Rotator;
use crate::worker::discovery::{ConfiguredRotations, ListStores};
use crate::worker::heartbeat;
use crate::worker::housekeeping::{self, journal_jobs};
use crate::worker::leftovers::RemoveLeftovers;
use crate::worker::metrics_recorder::record_metrics;
use crate::worker::next_tries::NextTries;
use crate::worker::scheduler::{Command, schedule, shut_down};
use crate::worker::state::WorkerState;
use crate::worker::window_runner::{Shutdown, WindowRunner};
use twinkey_core::code::Code;
use twinkey_stores::listener::{Identity, Listener, descriptors};

use crate::cli::context::{Context, Purpose, check_files, settings};
use crate::cli::failure::Failure;
use served_store::BoundStore;
use systemd::{ServiceState, report_state, run_watchdog, scheduler_processed};

/// The idle time of a master connection, which the consecutive runs of a window share.
const MASTER_IDLE: Duration = Duration::from_secs(3);
/// The time that open responses have when the worker stops.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

pub(in crate::cli) async fn run(config: Option<&Path>) -> Result<(), Failure> {
    serve(config, |_| {}).await
}

/// Runs the worker. `started` is called when its services have been started.
async fn serve(config: Option<&Path>, started: impl FnOnce(&WorkerState)) -> Result<(), Failure> {
    if let Err(error) = descriptors::raise() {
        tracing::warn!(%error, "limit of file descriptors not raised");
    }
    let settings = settings(config)?;
    for finding in check_files(config, &settings)? {
        tracing::warn!(key = finding.key, fix = finding.fix, "{}", finding.what);
    }
    let mut context = Context::open(settings, Purpose::Serve).await?;
    let rotations = std::mem::take(&mut context.settings.rotations);
    let discover = std::mem::take(&mut context.settings.discover);
    let configured = ConfiguredRotations::new(rotations, discover);
    context.rotator.context.idle_admins =
        IdleAdmins::new(MASTER_IDLE, context.settings.limits.per_host);
    let rotator = &context.rotator;
    rotator.journal.register_worker(&rotator.worker).await?;
    let server = &context.settings.server;
    let auth = TokenAuth::new(server.admin_token.clone(), server.tokens.clone());
    let auth = auth.map_err(|error| Failure::usage(error.to_string(), error.hint()))?;
    if let Some(finding) = admin::exposure::plain_http(server) {
        tracing::warn!(listen = %server.listen, "{}", finding.what);
    }
    let auth = Arc::new(auth);
    let identity = server.tls.clone().map(Identity::read).transpose();
    let identity = identity.map_err(|error| {
        Failure::usage(
            format!("server.tls: {error}"),
            "see [server] tls in the config: PEM files, a certificate with its chain and its key",
        )
    })?;
    let identity = identity.map(Arc::new);
    let listener = Listener::bind(server.listen, identity.clone())
        .await
        .map_err(|error| {
            Failure::problem(
                Code::Internal,
                format!(
                    "the admin endpoint cannot listen on {}: {error}",
                    server.listen
                ),
                "another worker may be running here; set server.listen to a free address",
            )
        })?
        .with_tasks(context.rotator.context.tasks.clone());
    let mut state = WorkerState::new(
        WindowRunner {
            rotator: context.rotator.clone(),
            permits: Arc::new(Semaphore::new(context.settings.limits.concurrency)),
            shutdown: Shutdown::default(),
            next_tries: NextTries::default(),
        },
        Vec::new(),
    );
    state.rotation_series = server.metrics;
    state.replace(Arc::clone(&configured.rotations));
    state.configure(configured);
    let served = served_store::open(&context, &state).await?;
    let tasks = state.tasks.clone();
    let clock = context.rotator.context.clock.clone();
    let events = context.rotator.events.subscribe();
    tasks.spawn_service("metrics", record_metrics(state.clone(), events));
    let closing = CancellationToken::new();
    let deliveries = start_notifications(&context.settings.notify, &state, &closing)?;
    let hooks = hook::start(&context.settings, &state, &closing)
        .map_err(|error| Failure::usage(error.to_string(), "see [[hook]] in the config"))?;
    tasks.spawn_service("heartbeats", heartbeat::run(state.heartbeats()));
    tracing::info!(listen = %server.listen, worker = %context.rotator.worker, "worker started");

    let at_start = state.clone();
    tasks.spawn("readiness", "", async move {
        tokio::select! {
            () = at_start.log_readiness() => {}
            () = at_start.runner.shutdown.drain.cancelled() => {}
        }
    });
    let (commands, receiver) = mpsc::channel(4);
    let signals = signals(config.map(Path::to_owned), state.clone(), commands.clone());
    tasks.spawn_service("signals", signals);
    let router = admin::router(state.clone(), Arc::clone(&auth));
    let watchdog = run_watchdog(commands.clone(), tasks.clone(), clock.clone());
    tasks.spawn_service("watchdog", watchdog);
    let mut jobs = journal_jobs(&state, context.settings.keep);
    jobs.push(Box::new(RemoveLeftovers::new(state.clone())));
    jobs.push(Box::new(ListStores::new(state.clone(), commands.clone())));
    jobs.push(Box::new(TokenFiles::new(auth)));
    if let Some(identity) = identity {
        jobs.push(Box::new(CertificateFiles::new("certificate", identity)));
    }
    jobs.extend(served.iter().flat_map(BoundStore::jobs));
    housekeeping::start(&state, jobs);
    let drain = state.runner.shutdown.drain.clone();
    let endpoint = listener.serve(router, drain.cancelled_owned());
    let mut endpoint = tasks.spawn_service("admin endpoint", endpoint);
    // Applications can read their secrets until the last run has finished.
    let mut served = served.map(|served| served.start(&closing, &tasks));
    started(&state);
    run_scheduler(&state, commands, receiver).await?;
    closing.cancel();
    // Open responses finish, event streams end, and pending notifications are sent.
    let graceful = async {
        let _ = (&mut endpoint).await;
        if let Some(served) = &mut served {
            served.finish().await;
        }
        join_all(deliveries.into_iter().chain(hooks)).await
    };
    tokio::select! {
        _ = graceful => {}
        () = clock.sleep(SHUTDOWN_GRACE) => {}
    }
    tasks.abort_services();
    if let Some(served) = &served {
        served.close().await;
    }
    context.rotator.context.stores.close().await;
    context.rotator.journal.close().await;
    match tasks.failure() {
        Some(failure) => Err(Failure::problem(
            Code::Internal,
            format!("the worker stopped: {failure}"),
            "start it again; report the error with its log if it returns",
        )),
        None => {
            tracing::info!("worker stopped");
            Ok(())
        }
    }
}

/// Runs the scheduler until it is stopped, or a service fails. The runs have ended then.
async fn run_scheduler(
    state: &WorkerState,
    commands: mpsc::Sender<Command>,
    receiver: mpsc::Receiver<Command>,
) -> Result<(), Failure> {
    let (ended, mut outcome) = oneshot::channel();
    let scheduled = state.clone();
    state.tasks.spawn_service("scheduler", async move {
        // The receiver waits for it.
        let _ = ended.send(schedule(&scheduled, receiver).await);
        std::future::pending().await
    });
    let failure = tokio::select! {
        outcome = &mut outcome => match outcome {
            Ok(outcome) => return Ok(outcome?),
            Err(_) => state.tasks.failed().await,
        },
        failure = state.tasks.failed() => failure,
    };
    tracing::error!(task = failure.task, "worker stopping: a task failed");
    report_state(ServiceState::Stopping);
    // An error means that the scheduler itself has failed.
    let stopped = commands.send(Command::Stop).await.is_ok() && outcome.await.is_ok();
    if !stopped {
        shut_down(state).await;
    }
    Ok(())
}

/// Translates signals into scheduler commands, until the first stop signal.
async fn signals(
    config: Option<std::path::PathBuf>,
    state: WorkerState,
    commands: mpsc::Sender<Command>,
) {
    // The end of this task would be a failure. The process ends with the scheduler.
    let stop = async || {
        let _ = commands.send(Command::Stop).await;
        std::future::pending().await
    };
    let kinds = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
        signal(SignalKind::hangup()),
    );
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = kinds else {
        tracing::error!("signal handlers cannot be installed, worker stopping");
        return stop().await;
    };
    loop {
        // A reload waits for the journal; a stop does not wait for the reload.
        let reloading = async {
            hangup.recv().await;
            reload(config.as_deref(), &state.runner.rotator, &commands).await;
        };
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = reloading => {}
        }
    }
    report_state(ServiceState::Stopping);
    stop().await
}

/// Reads the config again, and activates it if it is valid.
async fn reload(config: Option<&Path>, rotator: &Rotator, commands: &mpsc::Sender<Command>) {
    report_state(ServiceState::Reloading);
    match settings(config) {
        Ok(settings) => {
            tracing::info!(
                "config reloaded; [server], [[token]], [journal], [secrets], [limits], [[notify]] and [[hook]] require a restart"
            );
            let sent = commands.send(Command::Reload(Box::new(settings))).await;
            if sent.is_ok() && scheduler_processed(commands).await {
                rotator.record_reload(None).await;
                report_state(ServiceState::Reloaded);
            }
        }
        Err(failure) => {
            let code = Code::ConfigInvalid;
            tracing::error!(%code, "new config refused, the previous one stays active");
            rotator.record_reload(Some(code)).await;
            failure.report();
            report_state(ServiceState::Refused);
        }
    }
}

#[cfg(feature = "notify")]
fn start_notifications(
    notify: &[Notify],
    state: &WorkerState,
    closing: &CancellationToken,
) -> Result<Vec<tokio::task::JoinHandle<()>>, Failure> {
    crate::notify::start(notify, state, closing).map_err(|error| {
        Failure::usage(
            error.to_string(),
            "see [[notify]] in the config: a key has at least 16 characters",
        )
    })
}

/// The config refuses `[[notify]]` before.
#[cfg(not(feature = "notify"))]
fn start_notifications(
    _notify: &[Notify],
    _state: &WorkerState,
    _closing: &CancellationToken,
) -> Result<Vec<tokio::task::JoinHandle<()>>, Failure> {
    Ok(Vec::new())
}
