//! `twinkey serve`: the worker, until SIGTERM; SIGHUP reloads the config.

pub(super) mod healthz;
mod served_store;
mod systemd;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::signal::unix::{SignalKind, signal};

use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::admin;
use crate::admin::auth::TokenAuth;
use crate::admin::reload::reload_on_change;
use crate::config::settings::Notify;
use crate::hook;
use crate::rotation::context::admin_cache::IdleAdmins;
use crate::rotation::run::Rotator;
use crate::worker::heartbeat;
use crate::worker::metrics_recorder::record_metrics;
use crate::worker::next_tries::NextTries;
use crate::worker::scheduler::{Command, schedule};
use crate::worker::state::WorkerState;
use crate::worker::window_runner::{Shutdown, WindowRunner};
use twinkey_core::code::Code;
use twinkey_stores::listener::{Identity, Listener, descriptors};

use crate::cli::context::{Context, Purpose, check_files, settings};
use crate::cli::failure::Failure;
use systemd::{ServiceState, report_state, run_watchdog, scheduler_responds};

/// The idle time of a master connection, which the consecutive runs of a window share.
const MASTER_IDLE: Duration = Duration::from_secs(3);
/// The time that open responses have when the worker stops.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

pub(in crate::cli) async fn run(config: Option<&Path>) -> Result<(), Failure> {
    if let Err(error) = descriptors::raise() {
        tracing::warn!(%error, "limit of file descriptors not raised");
    }
    let settings = settings(config)?;
    for finding in check_files(config, &settings)? {
        tracing::warn!(key = finding.key, fix = finding.fix, "{}", finding.what);
    }
    let mut context = Context::open(settings, Purpose::Serve).await?;
    let rotations = std::mem::take(&mut context.settings.rotations);
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
        })?;
    let served = served_store::open(&context).await?;
    let state = WorkerState::new(
        WindowRunner {
            rotator: context.rotator.clone(),
            permits: Arc::new(Semaphore::new(context.settings.limits.concurrency)),
            shutdown: Shutdown::default(),
            next_tries: NextTries::default(),
        },
        rotations,
        context.metrics,
    );
    let metrics_task = tokio::spawn(record_metrics(
        state.clone(),
        context.rotator.events.subscribe(),
    ));
    let closing = CancellationToken::new();
    let deliveries = start_notifications(&context.settings.notify, &state, &closing)?;
    let hooks = hook::start(&context.settings, &state, &closing)
        .map_err(|error| Failure::usage(error.to_string(), "see [[hook]] in the config"))?;
    let heartbeats = tokio::spawn(heartbeat::run(state.heartbeats()));
    tracing::info!(listen = %server.listen, worker = %context.rotator.worker, "worker started");

    let at_start = state.clone();
    let log_readiness = tokio::spawn(async move { at_start.log_readiness().await });
    let (commands, receiver) = mpsc::channel(4);
    let rotator = context.rotator.clone();
    tokio::spawn(signals(
        config.map(Path::to_owned),
        rotator,
        commands.clone(),
    ));
    let router = admin::router(state.clone(), Arc::clone(&auth));
    let clock = context.rotator.context.clock.clone();
    let watchdog = tokio::spawn(run_watchdog(commands, clock.clone()));
    let reload = tokio::spawn(reload_on_change(auth, identity, clock.clone()));
    let drain = state.runner.shutdown.drain.clone();
    let mut endpoint = tokio::spawn(listener.serve(router, drain.cancelled_owned()));
    // Applications can read their secrets until the last run has finished.
    let mut served = served.map(|served| served.start(&closing, &clock));
    schedule(&state, receiver).await?;
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
    endpoint.abort();
    watchdog.abort();
    reload.abort();
    heartbeats.abort();
    log_readiness.abort();
    metrics_task.abort();
    if let Some(served) = &served {
        served.close().await;
    }
    context.rotator.context.store.close().await;
    context.rotator.journal.close().await;
    tracing::info!("worker stopped");
    Ok(())
}

/// Translates signals into scheduler commands, until the first stop signal.
async fn signals(
    config: Option<std::path::PathBuf>,
    rotator: Rotator,
    commands: mpsc::Sender<Command>,
) {
    let kinds = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
        signal(SignalKind::hangup()),
    );
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = kinds else {
        tracing::error!("signal handlers cannot be installed, worker stopping");
        // An error means that the scheduler has already stopped.
        let _ = commands.send(Command::Stop).await;
        return;
    };
    loop {
        let reload = tokio::select! {
            _ = terminate.recv() => false,
            _ = interrupt.recv() => false,
            _ = hangup.recv() => true,
        };
        if !reload {
            report_state(ServiceState::Stopping);
            // An error means that the scheduler has already stopped.
            let _ = commands.send(Command::Stop).await;
            return;
        }
        report_state(ServiceState::Reloading);
        match settings(config.as_deref()) {
            Ok(settings) => {
                tracing::info!(
                    "config reloaded; [server], [[token]], [journal], [secrets], [limits], [[notify]] and [[hook]] require a restart"
                );
                let sent = commands.send(Command::Reload(Box::new(settings))).await;
                if sent.is_err() || !scheduler_responds(&commands).await {
                    return;
                }
                rotator.record_reload(None).await;
                report_state(ServiceState::Reloaded);
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
