//! `twinkey serve`: the worker, until SIGTERM; SIGHUP reloads the config.

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
use crate::hook;
#[cfg(feature = "notify")]
use crate::notify;
use crate::rotation::context::admin_cache::IdleAdmins;
use crate::worker::state::WorkerState;
use crate::worker::heartbeat;
use crate::worker::metrics_recorder::record_metrics;
use crate::worker::scheduler::{Command, schedule};
use crate::worker::window_runner::{Shutdown, WindowRunner};
use twinkey_core::code::Code;
use twinkey_stores::listener::{Identity, Listener, PeerAddr};

use super::context::{Context, settings};
use super::failure::Failure;
use super::manager::{News, heard, keep_told, tell};
use super::served;

/// How long a run's master connection waits for the next run: a window of many is worked through without a pause.
const MASTER_IDLE: Duration = Duration::from_secs(3);
/// How long answers have that are under way when the worker stops.
const FAREWELL: Duration = Duration::from_secs(2);

pub(super) async fn run(config: Option<&Path>) -> Result<(), Failure> {
    let mut context = Context::open(config).await?;
    let rotations = std::mem::take(&mut context.settings.rotations);
    context.rotator.context.idle_admins = IdleAdmins::new(MASTER_IDLE, context.settings.limits.per_host);
    let rotator = &context.rotator;
    rotator.journal.occupy(&rotator.worker).await?;
    let server = &context.settings.server;
    let auth = TokenAuth::new(server.admin_token.clone()).map_err(|error| {
        Failure::usage(
            error.to_string(),
            "see [server] admin_token_file in the config",
        )
    })?;
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
    let served = served::open(&context).await?;
    let state = WorkerState::new(
        WindowRunner {
            rotator: context.rotator.clone(),
            permits: Arc::new(Semaphore::new(context.settings.limits.concurrency)),
            shutdown: Shutdown::default(),
        },
        rotations,
        context.metrics,
    );
    let counting = tokio::spawn(record_metrics(state.clone(), context.rotator.events.subscribe()));
    let closing = CancellationToken::new();
    let deliveries = start_notifications(&context, &state, &closing)?;
    let hooks = hook::start(&context.settings, &state, &closing)
        .map_err(|error| Failure::usage(error.to_string(), "see [[hook]] in the config"))?;
    let beating = tokio::spawn(heartbeat::run(state.heartbeats()));
    tracing::info!(listen = %server.listen, worker = %context.rotator.worker, "worker started");

    let (commands, receiver) = mpsc::channel(4);
    tokio::spawn(signals(config.map(Path::to_owned), commands.clone()));
    let router = admin::router(state.clone(), Arc::clone(&auth));
    let clock = context.rotator.context.clock.clone();
    let telling = tokio::spawn(keep_told(commands, clock.clone()));
    let renewal = tokio::spawn(reload_on_change(auth, identity, clock.clone()));
    let drain = state.runner.shutdown.drain.clone();
    let mut endpoint = tokio::spawn(async move {
        let service = router.into_make_service_with_connect_info::<PeerAddr>();
        axum::serve(listener, service)
            .with_graceful_shutdown(drain.cancelled_owned())
            .await
    });
    // Applications read their secrets until the last run is over.
    let mut served = served.map(|served| served.start(&closing, &clock));
    schedule(&state, receiver).await?;
    closing.cancel();
    // Answers that are under way end by themselves, and readers of events are told the end;
    // and what has just happened is still told.
    let farewell = async {
        let _ = (&mut endpoint).await;
        if let Some(served) = &mut served {
            served.end().await;
        }
        join_all(deliveries.into_iter().chain(hooks)).await
    };
    tokio::select! {
        _ = farewell => {}
        () = clock.sleep(FAREWELL) => {}
    }
    endpoint.abort();
    telling.abort();
    renewal.abort();
    beating.abort();
    counting.abort();
    if let Some(served) = &served {
        served.close().await;
    }
    context.rotator.context.store.close().await;
    context.rotator.journal.close().await;
    tracing::info!("worker stopped");
    Ok(())
}

/// Turns signals into commands for the scheduler, until the first that says stop.
async fn signals(config: Option<std::path::PathBuf>, commands: mpsc::Sender<Command>) {
    let kinds = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
        signal(SignalKind::hangup()),
    );
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = kinds else {
        tracing::error!("signals cannot be listened to; the worker stops");
        // Fails only where the scheduler is gone already.
        let _ = commands.send(Command::Stop).await;
        return;
    };
    loop {
        let hung_up = tokio::select! {
            _ = terminate.recv() => false,
            _ = interrupt.recv() => false,
            _ = hangup.recv() => true,
        };
        if !hung_up {
            tell(News::Stopping);
            // Fails only where the scheduler is gone already.
            let _ = commands.send(Command::Stop).await;
            return;
        }
        tell(News::Reloading);
        match settings(config.as_deref()) {
            Ok(settings) => {
                tracing::info!(
                    "config reloaded; [server], [journal], [secrets], [limits], [[notify]] and [[hook]] take a restart"
                );
                let told = commands.send(Command::Reload(Box::new(settings))).await;
                if told.is_err() || !heard(&commands).await {
                    return;
                }
                tell(News::Reloaded);
            }
            Err(failure) => {
                tracing::error!("the new config is refused, the old one stays in force");
                failure.report();
                tell(News::Refused);
            }
        }
    }
}

#[cfg(feature = "notify")]
fn start_notifications(
    context: &Context,
    state: &WorkerState,
    closing: &CancellationToken,
) -> Result<Vec<tokio::task::JoinHandle<()>>, Failure> {
    notify::start(&context.settings.notify, state, closing).map_err(|error| {
        Failure::usage(
            error.to_string(),
            "see [[notify]] in the config: a key has at least 16 characters",
        )
    })
}

/// The config refuses `[[notify]]` before.
#[cfg(not(feature = "notify"))]
fn start_notifications(
    _context: &Context,
    _state: &WorkerState,
    _closing: &CancellationToken,
) -> Result<Vec<tokio::task::JoinHandle<()>>, Failure> {
    Ok(Vec::new())
}
