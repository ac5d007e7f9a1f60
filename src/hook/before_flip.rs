//! Hooks with `when = "before_flip"`: a run executes them and moves AWSCURRENT only if they succeed.
//!
//! # Failure modes
//! - A hook fails or hangs. Its error or its timeout refuses the flip, and AWSCURRENT stays.
//! - The run ends during a hook, because its window closed or its worker stops. The future is
//!   dropped, which kills the process group of the program.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use twinkey_core::telemetry::metrics::Metrics;

use super::exec::Exec;
use super::payload::HookPayload;
use super::{OUTCOMES, applies_to};
use crate::config::settings::{Hook, HookActionSettings, HookTime, Settings};
use crate::rotation::context::flip_hooks::{FlipFacts, FlipHooks};

struct OneHook {
    hook: Hook,
    program: Exec,
    permits: Arc<Semaphore>,
}

/// The programs that run before a flip.
pub struct BeforeFlip {
    hooks: Vec<OneHook>,
    metrics: Metrics,
}

impl BeforeFlip {
    /// The hooks of a config.
    #[must_use]
    pub fn new(settings: &Settings, metrics: Metrics) -> Self {
        let before = |hook: &&Hook| hook.when == HookTime::BeforeFlip;
        let hooks = settings.hooks.iter().filter(before).filter_map(|hook| {
            let HookActionSettings::Exec {
                program,
                arguments,
                aws,
            } = &hook.action
            else {
                // The config refuses other kinds.
                return None;
            };
            metrics.register_hooks(hook.action.kind(), &OUTCOMES);
            Some(OneHook {
                hook: hook.clone(),
                program: Exec::new(program, arguments, *aws),
                permits: Arc::new(Semaphore::new(hook.concurrency)),
            })
        });
        Self {
            hooks: hooks.collect(),
            metrics,
        }
    }

    fn of(&self, rotation: &str) -> impl Iterator<Item = &OneHook> {
        (self.hooks.iter()).filter(move |one| applies_to(&one.hook, rotation))
    }
}

#[async_trait]
impl FlipHooks for BeforeFlip {
    fn of_rotation(&self, rotation: &str) -> Vec<String> {
        self.of(rotation)
            .map(|one| one.hook.action.to_string())
            .collect()
    }

    async fn run(&self, facts: &FlipFacts) -> Result<(), String> {
        let payload = HookPayload::before_flip(facts);
        for one in self.of(&facts.rotation) {
            let action = &one.hook.action;
            // The semaphore is never closed.
            let _permit = one.permits.acquire().await;
            let result = one.program.run(&payload, one.hook.timeout).await;
            let rotation = &facts.rotation;
            match result {
                Ok(()) => {
                    tracing::info!(hook = %action, rotation, "hook succeeded");
                    self.metrics.hook(action.kind(), "succeeded");
                }
                Err(failure) => {
                    tracing::error!(hook = %action, rotation, reason = %failure, "hook failed, flip refused");
                    self.metrics.hook(action.kind(), failure.outcome());
                    return Err(format!("{action}: {failure}"));
                }
            }
        }
        Ok(())
    }
}
