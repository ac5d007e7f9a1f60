//! `twinkey serve`: the worker, until SIGTERM; SIGHUP reloads the config.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::signal::unix::{SignalKind, signal};

use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::admin;
use crate::admin::auth::Gate;
use crate::admin::listen::{Identity, Listener, Peer};
use crate::admin::renew::renew;
use crate::code::Code;
use crate::notify;
use crate::worker::fleet::Fleet;
use crate::worker::heartbeat::keep;
use crate::worker::measure::measure;
use crate::worker::serve::{Word, schedule};
use crate::worker::windows::{Crew, Stop};

use super::context::{Context, settings};
use super::failure::Failure;
use super::served;

/// How long answers have that are under way when the worker stops.
const FAREWELL: Duration = Duration::from_secs(2);

pub(super) async fn run(config: Option<&Path>) -> Result<(), Failure> {
    let context = Context::open(config).await?;
    let server = &context.settings.server;
    let gate = Gate::new(server.admin_token.clone()).map_err(|error| {
        Failure::usage(
            error.to_string(),
            "see [server] admin_token_file in the config",
        )
    })?;
    let gate = Arc::new(gate);
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
    let fleet = Fleet::new(
        Crew {
            rotator: context.rotator.clone(),
            places: Arc::new(Semaphore::new(context.settings.limits.concurrency)),
            stop: Stop::default(),
        },
        &context.settings,
        context.metrics,
    );
    let counting = tokio::spawn(measure(fleet.clone(), context.rotator.events.subscribe()));
    let closing = CancellationToken::new();
    let told = notify::start(&context.settings.notify, &fleet, &closing);
    let told = told.map_err(|error| {
        Failure::usage(
            error.to_string(),
            "see [[notify]] in the config: a key has at least 16 characters",
        )
    })?;
    let beating = tokio::spawn(keep(fleet.clone()));
    tracing::info!(listen = %server.listen, worker = %context.rotator.worker, "worker started");

    let (words, heard) = mpsc::channel(4);
    tokio::spawn(signals(config.map(Path::to_owned), words));
    let router = admin::router(fleet.clone(), Arc::clone(&gate));
    let clock = context.rotator.site.clock.clone();
    let renewal = tokio::spawn(renew(gate, identity, clock.clone()));
    let winding_down = fleet.crew.stop.winding_down.clone();
    let mut endpoint = tokio::spawn(async move {
        let service = router.into_make_service_with_connect_info::<Peer>();
        axum::serve(listener, service)
            .with_graceful_shutdown(winding_down.cancelled_owned())
            .await
    });
    // Applications read their secrets until the last run is over.
    let mut served = served.map(|served| served.start(&closing, &clock));
    schedule(&fleet, heard).await?;
    closing.cancel();
    // Answers that are under way end by themselves, and readers of events are told the end;
    // and what has just happened is still told.
    let farewell = async {
        let _ = (&mut endpoint).await;
        if let Some(served) = &mut served {
            served.end().await;
        }
        join_all(told).await
    };
    tokio::select! {
        _ = farewell => {}
        () = clock.pass(FAREWELL) => {}
    }
    endpoint.abort();
    renewal.abort();
    beating.abort();
    counting.abort();
    tracing::info!("worker stopped");
    Ok(())
}

/// Turns signals into words for the scheduler, until the first that says stop.
async fn signals(config: Option<std::path::PathBuf>, words: mpsc::Sender<Word>) {
    let kinds = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
        signal(SignalKind::hangup()),
    );
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = kinds else {
        tracing::error!("signals cannot be listened to; the worker stops");
        return;
    };
    loop {
        let word = tokio::select! {
            _ = terminate.recv() => Word::Stop,
            _ = interrupt.recv() => Word::Stop,
            _ = hangup.recv() => match settings(config.as_deref()) {
                Ok(settings) => {
                    tracing::info!("config reloaded; [server], [journal], [secrets], [limits] and [[notify]] take a restart");
                    Word::Reload(Box::new(settings))
                }
                Err(failure) => {
                    tracing::error!("the new config is refused, the old one stays in force");
                    failure.report();
                    continue;
                }
            },
        };
        let last = matches!(word, Word::Stop);
        if words.send(word).await.is_err() || last {
            return;
        }
    }
}
