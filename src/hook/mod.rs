//! What is done for those who do not read the secret themselves: `[[hook]]`, after AWSCURRENT has moved.
//!
//! What can go wrong, and what prevents it:
//! - a hook that fails, hangs or is missing undoes a rotation, or holds one up: hooks read the memory of the last
//!   events at their own pace, as notifications do; nothing waits for them, and nothing hears of their outcome but
//!   the log and the metrics;
//! - a hook hangs for ever, or many rotations at once start as many programs: it has a time limit and a number of
//!   places ([`Hook::timeout`], [`Hook::concurrency`]), and who waits for a place starts nothing;
//! - a program outlives its time limit through its children: it is a process group of its own, which is killed
//!   whole ([`exec`]);
//! - a password reaches a program: what it is told is made of an event, which holds none ([`Occasion`]), and the
//!   variables in which the worker itself is given tokens and keys are withheld from it;
//! - a worker that stops, or falls behind, skips a hook without a word: each that is not run is an error in the log.

mod ecs;
mod exec;
pub mod occasion;

use std::fmt;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::config::settings::{Destination, Hook, HookAction, Settings, TokenSource};
use crate::hook::occasion::Occasion;
use crate::rotation::event::{Heard, Subscription};
use crate::worker::fleet::Fleet;
use twinkey_engines::EngineError;

/// What becomes of a hook, as the metric writes it.
const OUTCOMES: [&str; 4] = ["succeeded", "failed", "timed_out", "not_run"];

/// Why a hook can never be run.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    #[error("{hook}: {source}")]
    Roots { hook: String, source: EngineError },
    #[error("{hook}: {source}")]
    Client {
        hook: String,
        source: reqwest::Error,
    },
}

/// How a hook failed.
#[derive(Debug)]
enum Undone {
    Failed(String),
    TimedOut,
}

impl Undone {
    fn because(why: impl fmt::Display) -> Self {
        Self::Failed(why.to_string())
    }

    /// As the metric writes it.
    const fn outcome(&self) -> &'static str {
        match self {
            Self::Failed(_) => "failed",
            Self::TimedOut => "timed_out",
        }
    }
}

impl fmt::Display for Undone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(why) => f.write_str(why),
            Self::TimedOut => f.write_str("it was not done within its timeout, and was stopped"),
        }
    }
}

enum Doer {
    Ecs(ecs::Ecs),
    Exec(exec::Exec),
}

/// One hook.
struct Runner {
    hook: Hook,
    doer: Doer,
    fleet: Fleet,
}

/// The variables in which a worker is given tokens and keys.
fn withheld(settings: &Settings) -> Vec<String> {
    let keys = settings
        .notify
        .iter()
        .filter_map(|notify| match &notify.to {
            Destination::Webhook { key, .. } => Some(key),
            Destination::Sns { .. } | Destination::EventBridge { .. } => None,
        });
    let sources = settings.server.admin_token.iter().chain(keys);
    sources
        .filter_map(|source| match source {
            TokenSource::Env(name) => Some(name.clone()),
            TokenSource::File(_) | TokenSource::Value(_) => None,
        })
        .collect()
}

/// The tasks that run hooks. They end when `closing` is cancelled and what was on has ended.
///
/// # Errors
/// The roots that AWS is verified against cannot be read; then no hook is run.
pub fn start(
    settings: &Settings,
    fleet: &Fleet,
    closing: &CancellationToken,
) -> Result<Vec<JoinHandle<()>>, HookError> {
    let mut runners = Vec::new();
    for hook in &settings.hooks {
        let doer = match &hook.action {
            HookAction::EcsRedeploy { cluster, services } => {
                let site = &fleet.crew.rotator.site;
                let (aws, clock) = (site.aws.clone(), site.clock.clone());
                Doer::Ecs(ecs::Ecs::new(aws, clock, cluster, services)?)
            }
            HookAction::Exec { program, arguments } => {
                Doer::Exec(exec::Exec::new(program, arguments, withheld(settings)))
            }
        };
        fleet.metrics.expect_hooks(hook.action.kind(), &OUTCOMES);
        runners.push(Arc::new(Runner {
            hook: hook.clone(),
            doer,
            fleet: fleet.clone(),
        }));
    }
    let events = &fleet.crew.rotator.events;
    Ok(runners
        .into_iter()
        .map(|runner| tokio::spawn(runner.work(events.subscribe(), closing.clone())))
        .collect())
}

impl Runner {
    async fn work(self: Arc<Self>, mut events: Subscription, closing: CancellationToken) {
        let places = Arc::new(Semaphore::new(self.hook.concurrency));
        let mut on = JoinSet::new();
        loop {
            let heard = tokio::select! {
                biased;
                heard = events.recv() => heard,
                () = closing.cancelled() => break,
            };
            let happened = match heard {
                Heard::Event(happened) => happened,
                Heard::Gap(lost) => {
                    tracing::error!(hook = %self.hook.action, lost, "events came faster than this hook takes them: it may not have been run");
                    continue;
                }
            };
            let secret = |rotation: &str| Some(self.fleet.rotation(rotation)?.secret.clone());
            let Some(occasion) = Occasion::of(&happened, &self.hook, secret) else {
                continue;
            };
            let place = tokio::select! {
                biased;
                place = Arc::clone(&places).acquire_owned() => place.ok(),
                () = closing.cancelled() => None,
            };
            let Some(place) = place else {
                tracing::error!(hook = %self.hook.action, rotation = %occasion.rotation, "a hook was not run: the worker stops");
                self.count("not_run");
                continue;
            };
            let runner = Arc::clone(&self);
            on.spawn(async move {
                runner.run(&occasion).await;
                drop(place);
            });
            // Those that have ended are let go of.
            while on.try_join_next().is_some() {}
        }
        on.join_all().await;
    }

    async fn run(&self, occasion: &Occasion) {
        let hook = &self.hook;
        let done = match &self.doer {
            Doer::Ecs(ecs) => {
                let redeployed = tokio::time::timeout(hook.timeout, ecs.redeploy()).await;
                redeployed.unwrap_or(Err(Undone::TimedOut))
            }
            Doer::Exec(exec) => exec.run(occasion, hook.timeout).await,
        };
        match done {
            Ok(()) => {
                tracing::info!(hook = %hook.action, rotation = %occasion.rotation, "a hook has run");
                self.count("succeeded");
            }
            Err(undone) => {
                tracing::error!(hook = %hook.action, rotation = %occasion.rotation, run = occasion.run.as_deref(), why = %undone, "a hook failed; the rotation stands");
                self.count(undone.outcome());
            }
        }
    }

    fn count(&self, outcome: &'static str) {
        let kind = self.hook.action.kind();
        self.fleet.metrics.hook_ran(kind, outcome);
    }
}
