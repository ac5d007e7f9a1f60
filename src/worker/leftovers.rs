//! Job that removes what crashed sign-in checks left outside the database.
//!
//! # Failure modes
//! - A check that runs loses what it created. Only leftovers of a minimum age are removed.
//! - AWS denies the calls, and the log repeats that each hour. An error is logged once.
//! - A worker without such engines calls AWS. The engines of its rotations decide.

use async_trait::async_trait;
use chrono::TimeDelta;

use super::housekeeping::HousekeepingJob;
use super::state::WorkerState;
use crate::journal::JournalError;
use twinkey_engines::{EngineKind, EngineOptions, remove_leftovers};

/// The age from which nothing belongs to a check that runs: a check takes minutes at most.
const MIN_AGE: TimeDelta = TimeDelta::hours(1);

/// Removes the leftovers of the engines of the config.
pub struct RemoveLeftovers {
    state: WorkerState,
    /// The error that was logged last.
    logged: Option<String>,
}

impl RemoveLeftovers {
    #[must_use]
    pub const fn new(state: WorkerState) -> Self {
        Self {
            state,
            logged: None,
        }
    }

    /// The engines of the rotations: those of the config, else as last observed.
    async fn engines(&self) -> Result<Vec<(EngineKind, EngineOptions)>, JournalError> {
        let rotations = self.state.rotations();
        let records = if rotations.iter().all(|rotation| rotation.engine.is_some()) {
            Default::default()
        } else {
            self.state.runner.rotator.journal.rotation_records().await?
        };
        let engines = rotations.iter().filter_map(|rotation| {
            let seen = || {
                records
                    .get(&rotation.name)?
                    .seen
                    .as_ref()?
                    .engine
                    .parse()
                    .ok()
            };
            let kind = rotation.engine.or_else(seen)?;
            Some((kind, rotation.options.clone()))
        });
        Ok(engines.collect())
    }

    async fn remove(&self) -> Result<usize, String> {
        let engines = self.engines().await.map_err(|error| error.to_string())?;
        let aws = &self.state.runner.rotator.context.aws;
        let removed = remove_leftovers(&engines, aws, self.state.now() - MIN_AGE);
        removed.await.map_err(|error| error.to_string())
    }
}

#[async_trait]
impl HousekeepingJob for RemoveLeftovers {
    fn name(&self) -> &'static str {
        "leftovers"
    }

    fn schedule(&self) -> &'static str {
        "0 41 * * * *"
    }

    async fn run(&mut self) {
        match self.remove().await {
            Ok(removed) => {
                self.logged = None;
                if removed > 0 {
                    tracing::info!(removed, "leftover probe secrets removed");
                }
            }
            Err(error) => {
                if self.logged.as_ref() != Some(&error) {
                    tracing::warn!(%error, "leftover probe secrets not removed");
                }
                self.logged = Some(error);
            }
        }
    }
}
