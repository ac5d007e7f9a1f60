//! What every run stands on: the store, the clock, and how many may work on one database host at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::aws::Aws;
use crate::store::SecretStore;
use crate::telemetry::clock::Clock;

/// Shared by all runs of a process.
#[derive(Clone)]
pub struct Site {
    pub store: Arc<dyn SecretStore>,
    /// For engines that speak to AWS; keeps no secrets where the store is not AWS's.
    pub aws: Aws,
    pub clock: Clock,
    pub hosts: HostLimits,
}

/// At most so many connections' worth of work on one host at once (`limits.per_host`).
#[derive(Clone)]
pub struct HostLimits {
    per_host: usize,
    hosts: Arc<Mutex<HashMap<String, Arc<Semaphore>>>>,
}

impl HostLimits {
    #[must_use]
    pub fn new(per_host: usize) -> Self {
        Self {
            per_host,
            hosts: Arc::default(),
        }
    }

    /// Waits for a place at `host`; it is free again when the permit is dropped.
    pub async fn place(&self, host: &str) -> Option<OwnedSemaphorePermit> {
        let semaphore = {
            let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(
                hosts
                    .entry(host.to_ascii_lowercase())
                    .or_insert_with(|| Arc::new(Semaphore::new(self.per_host))),
            )
        };
        // The semaphore is never closed, so there always is a permit in the end.
        semaphore.acquire_owned().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_host_takes_no_more_runs_than_its_limit_and_hosts_do_not_wait_for_each_other() {
        let limits = HostLimits::new(2);
        let first = limits.place("db.example").await;
        let _second = limits.place("DB.example").await;
        let semaphore = Arc::clone(&limits.hosts.lock().unwrap()["db.example"]);
        assert_eq!(semaphore.available_permits(), 0);
        assert!(limits.place("other.example").await.is_some());
        drop(first);
        assert_eq!(semaphore.available_permits(), 1);
    }
}
