//! Job that removes what crashed sign-in checks left outside the database.
//!
//! # Failure modes
//! - A check that runs loses what it created. Only leftovers of a minimum age are removed.
//! - AWS denies the calls, and the log repeats that each hour. An error is logged once.
//! - One account is down, and the leftovers of the others stay. Each store is tried.
//! - A worker without such engines calls AWS. The engines of its rotations decide.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::TimeDelta;

use super::housekeeping::HousekeepingJob;
use super::state::WorkerState;
use crate::config::settings::StoreSettings;
use crate::rotation::error::RotationError;
use crate::worker::view_filter::Filterable;
use twinkey_engines::{EngineKind, EngineOptions, remove_leftovers};

/// The age from which nothing belongs to a check that runs: a check takes minutes at most.
const MIN_AGE: TimeDelta = TimeDelta::hours(1);

/// The engines of the rotations, by their store.
type EnginesOfStores = HashMap<Option<Arc<StoreSettings>>, Vec<(EngineKind, EngineOptions)>>;

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

    /// The engines of the rotations of each store: those of the config, else as last observed.
    async fn engines(&self) -> Result<EnginesOfStores, RotationError> {
        let summaries = self.state.summaries().await?;
        let mut engines = EnginesOfStores::new();
        for row in summaries.rows(self.state.now()) {
            let seen = || row.engine()?.parse().ok();
            if let Some(kind) = row.rotation.engine.or_else(seen) {
                let of_store = engines.entry(row.rotation.store.clone()).or_default();
                of_store.push((kind, row.rotation.options.clone()));
            }
        }
        Ok(engines)
    }

    async fn remove(&self) -> Result<usize, String> {
        let engines = self.engines().await.map_err(|error| error.to_string())?;
        let before = self.state.now() - MIN_AGE;
        let (mut removed, mut errors) = (0, Vec::new());
        for (store, engines) in engines {
            let aws = self
                .state
                .runner
                .rotator
                .context
                .of_store(store.as_ref())
                .aws;
            match remove_leftovers(&engines, &aws, before).await {
                Ok(count) => removed += count,
                Err(error) => errors.push(error.to_string()),
            }
        }
        if errors.is_empty() {
            return Ok(removed);
        }
        Err(errors.join("; "))
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
