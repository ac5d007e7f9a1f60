//! Hooks (`[[hook]]`): actions after AWSCURRENT has moved, for applications that do not read the secret, and
//! programs before it moves ([`before_flip`]).
//!
//! # Failure modes
//! - A hook fails, hangs or is missing: hooks after the flip subscribe to the events and no run waits for
//!   them. Only the log and the metrics report their outcome.
//! - A hook hangs, or many rotations start many programs: each hook has a timeout and a number of permits
//!   ([`Hook::timeout`], [`Hook::concurrency`]).
//! - Child processes outlive the timeout: the program's process group is killed ([`exec`]).
//! - A program receives a password: its payload comes from an event, which holds none ([`HookPayload`]), and
//!   its environment starts empty ([`exec`]).
//! - A worker that stops or falls behind skips a hook: each skipped hook is an error in the log.

pub mod before_flip;
#[cfg(feature = "aws")]
mod ecs;
mod exec;
pub mod payload;

use std::fmt;
use std::sync::Arc;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::settings::{Hook, HookActionSettings, HookTime, Settings};
use crate::hook::payload::HookPayload;
use crate::rotation::event::{Received, Subscription};
use crate::worker::state::WorkerState;
use twinkey_engines::EngineError;

/// The outcomes of a hook, as the metric names them.
const OUTCOMES: [&str; 4] = ["succeeded", "failed", "timed_out", "not_run"];

/// A hook that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    #[error("{hook}: {source}")]
    Roots {
        hook: String,
        source: Box<EngineError>,
    },
    #[error("{hook}: {source}")]
    Client {
        hook: String,
        source: reqwest::Error,
    },
}

/// A failed hook.
#[derive(Debug)]
enum HookFailure {
    Failed(String),
    TimedOut,
}

impl HookFailure {
    fn error(reason: impl fmt::Display) -> Self {
        Self::Failed(reason.to_string())
    }

    /// The outcome, as the metric names it.
    const fn outcome(&self) -> &'static str {
        match self {
            Self::Failed(_) => "failed",
            Self::TimedOut => "timed_out",
        }
    }
}

impl fmt::Display for HookFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(reason) => f.write_str(reason),
            Self::TimedOut => f.write_str("the timeout expired, and the hook was stopped"),
        }
    }
}

/// The executable action of a hook.
enum HookAction {
    #[cfg(feature = "aws")]
    Ecs(ecs::Ecs),
    Exec(exec::Exec),
}

/// Whether a hook is one of this rotation.
fn applies_to(hook: &Hook, rotation: &str) -> bool {
    let names = hook.rotations.as_ref();
    names.is_none_or(|names| names.iter().any(|name| name == rotation))
}

/// The task of one hook.
struct HookWorker {
    hook: Hook,
    action: HookAction,
    state: WorkerState,
}

/// Starts the tasks that run hooks. They end when `closing` is cancelled and the running hooks have ended.
///
/// # Errors
/// The TLS roots for AWS cannot be read; then no hook runs.
pub fn start(
    settings: &Settings,
    state: &WorkerState,
    closing: &CancellationToken,
) -> Result<Vec<JoinHandle<()>>, HookError> {
    let mut workers = Vec::new();
    let after = |hook: &&Hook| hook.when == HookTime::AfterFlip;
    for hook in settings.hooks.iter().filter(after) {
        let action = match &hook.action {
            #[cfg(feature = "aws")]
            HookActionSettings::EcsRedeploy { cluster, services } => {
                let clock = state.runner.rotator.context.clock.clone();
                HookAction::Ecs(ecs::Ecs::new(clock, cluster, services)?)
            }
            // The config refuses this hook.
            #[cfg(not(feature = "aws"))]
            HookActionSettings::EcsRedeploy { .. } => continue,
            HookActionSettings::Exec {
                program,
                arguments,
                aws,
            } => HookAction::Exec(exec::Exec::new(program, arguments, *aws)),
        };
        state.metrics.register_hooks(hook.action.kind(), &OUTCOMES);
        workers.push(Arc::new(HookWorker {
            hook: hook.clone(),
            action,
            state: state.clone(),
        }));
    }
    let events = &state.runner.rotator.events;
    Ok(workers
        .into_iter()
        .map(|worker| {
            let work = worker.work(events.subscribe(), closing.clone());
            state.tasks.spawn_service("hooks", work)
        })
        .collect())
}

impl HookWorker {
    async fn work(self: Arc<Self>, mut events: Subscription, closing: CancellationToken) {
        let permits = Arc::new(Semaphore::new(self.hook.concurrency));
        let mut running = FuturesUnordered::new();
        loop {
            let received = tokio::select! {
                biased;
                received = events.recv() => received,
                () = closing.cancelled() => break,
            };
            let recorded = match received {
                Received::Event(recorded) => recorded,
                Received::Gap(lost) => {
                    tracing::error!(hook = %self.hook.action, lost, "events lost, hook possibly not run");
                    continue;
                }
            };
            let secret = |rotation: &str| Some(self.state.rotation(rotation)?.secret.clone());
            let Some(payload) = HookPayload::from_event(&recorded, &self.hook, secret) else {
                continue;
            };
            let permit = tokio::select! {
                biased;
                permit = Arc::clone(&permits).acquire_owned() => permit.ok(),
                () = closing.cancelled() => None,
            };
            let Some(permit) = permit else {
                tracing::error!(hook = %self.hook.action, rotation = %payload.rotation, "hook not run, worker stopping");
                self.record_outcome("not_run");
                continue;
            };
            let worker = Arc::clone(&self);
            let rotation = payload.rotation.clone();
            running.push(self.state.tasks.spawn_owned("hook", &rotation, async move {
                worker.run(&payload).await;
                drop(permit);
            }));
            // Remove the finished tasks.
            while let Some(Some(_)) = running.next().now_or_never() {}
        }
        while running.next().await.is_some() {}
    }

    async fn run(&self, payload: &HookPayload) {
        let hook = &self.hook;
        let result = match &self.action {
            #[cfg(feature = "aws")]
            HookAction::Ecs(ecs) => {
                let rotation = self.state.rotation(&payload.rotation);
                let store = rotation.as_ref().and_then(|one| one.store.as_ref());
                let stores = &self.state.runner.rotator.context.stores;
                let aws = stores.aws_for(ecs.cluster(), store);
                let redeployed = tokio::time::timeout(hook.timeout, ecs.redeploy(&aws)).await;
                redeployed.unwrap_or(Err(HookFailure::TimedOut))
            }
            HookAction::Exec(exec) => exec.run(payload, hook.timeout).await,
        };
        match result {
            Ok(()) => {
                tracing::info!(hook = %hook.action, rotation = %payload.rotation, "hook succeeded");
                self.record_outcome("succeeded");
            }
            Err(failure) => {
                tracing::error!(hook = %hook.action, rotation = %payload.rotation, run = payload.run.as_deref(), reason = %failure, "hook failed, rotation unaffected");
                self.record_outcome(failure.outcome());
            }
        }
    }

    fn record_outcome(&self, outcome: &'static str) {
        let kind = self.hook.action.kind();
        self.state.metrics.hook(kind, outcome);
    }
}
