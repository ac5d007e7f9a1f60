//! Limit of concurrent runs on one database server (`limits.per_host`), which is named `host:port`.
//!
//! Workers that share a journal also share the limit. Without the journal the limit applies to this
//! process only: no run begins then, and running ones end with their leases.
//!
//! # Failure modes
//! - A host does not answer, and runs queue up behind connection timeouts while they occupy permits
//!   of other hosts. After a failed connection only one run at a time probes the host; the others
//!   fail immediately and retry later.
//! - Many runs of one worker poll for shared slots at the same time. Only one run per host polls;
//!   the others queue behind it.
//! - One of two servers at one host name is down. The key has the port, so the other one rotates.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::journal::SharedHostSlots;
use twinkey_engines::EngineError;

/// Interval at which a worker polls for a shared slot.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Concurrent runs per server, within this process and across workers. Cheap to clone.
#[derive(Clone)]
pub struct HostLimits {
    per_host: usize,
    hosts: Arc<Mutex<HashMap<String, Arc<Host>>>>,
    /// The limit that all workers of the journal share.
    shared: Option<Arc<dyn SharedHostSlots>>,
}

struct Host {
    permits: Arc<Semaphore>,
    /// The last connection attempt failed.
    down: AtomicBool,
    /// The only permit while the host is down.
    probe_permit: Arc<Semaphore>,
    /// Serializes polling for a shared slot.
    polling: tokio::sync::Mutex<()>,
}

/// Permission to work on a server; dropping it releases the permission.
pub struct HostPermit {
    host: Arc<Host>,
    _permit: OwnedSemaphorePermit,
    _probe: Option<OwnedSemaphorePermit>,
    _shared: Option<Box<dyn Send + Sync>>,
}

impl HostLimits {
    #[must_use]
    pub fn new(per_host: usize) -> Self {
        Self {
            per_host,
            hosts: Arc::default(),
            shared: None,
        }
    }

    /// Shares the limit with other workers.
    pub fn share(&mut self, slots: Option<Arc<dyn SharedHostSlots>>) {
        self.shared = slots;
    }

    /// Waits for a permit. `None` if the host is down and another run probes it.
    pub async fn permit(&self, name: &str) -> Option<HostPermit> {
        let name = name.to_ascii_lowercase();
        let host = self.host(&name);
        let probe = host.probe_permit();
        if probe.is_none() && host.is_down() {
            return None;
        }
        // The semaphore is never closed, so this always returns a permit.
        let permit = Arc::clone(&host.permits).acquire_owned().await.ok()?;
        let probe = if host.is_down() {
            Some(probe.or_else(|| host.probe_permit())?)
        } else {
            None
        };
        let shared = self.shared_slot(&name, &host).await;
        Some(HostPermit {
            host,
            _permit: permit,
            _probe: probe,
            _shared: shared,
        })
    }

    /// Waits for a slot under the shared limit, if there is one.
    async fn shared_slot(&self, name: &str, host: &Host) -> Option<Box<dyn Send + Sync>> {
        let slots = self.shared.as_ref()?;
        let _polling = host.polling.lock().await;
        loop {
            match slots.take(name, self.per_host).await {
                Ok(Some(slot)) => return Some(slot),
                Ok(None) => tokio::time::sleep(POLL_INTERVAL).await,
                Err(error) => {
                    tracing::warn!(host = name, %error, "shared host limit unavailable");
                    return None;
                }
            }
        }
    }

    fn host(&self, name: &str) -> Arc<Host> {
        let mut hosts = self.hosts.lock();
        let host = hosts.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(Host {
                permits: Arc::new(Semaphore::new(self.per_host)),
                down: AtomicBool::new(false),
                probe_permit: Arc::new(Semaphore::new(1)),
                polling: tokio::sync::Mutex::default(),
            })
        });
        Arc::clone(host)
    }
}

impl Host {
    fn is_down(&self) -> bool {
        self.down.load(Ordering::Acquire)
    }

    /// The probe permit, if the host is down and no other run holds it.
    fn probe_permit(&self) -> Option<OwnedSemaphorePermit> {
        self.is_down()
            .then(|| Arc::clone(&self.probe_permit).try_acquire_owned().ok())
            .flatten()
    }
}

impl HostPermit {
    /// Records from the result of a connection attempt whether the host is up.
    pub fn record<T>(&self, result: &Result<T, EngineError>) {
        match result {
            Ok(_) | Err(EngineError::SignIn { .. }) => self.set_reached(true),
            Err(EngineError::Unreachable { .. }) => self.set_reached(false),
            Err(_) => {}
        }
    }

    fn set_reached(&self, reached: bool) {
        self.host.down.store(!reached, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(limits: &HostLimits, host: &str) -> usize {
        limits.host(host).permits.available_permits()
    }

    #[tokio::test]
    async fn limits_runs_per_host_and_hosts_are_independent() {
        let limits = HostLimits::new(2);
        let first = limits.permit("db.example:5432").await;
        let _second = limits.permit("DB.example:5432").await;
        assert_eq!(free(&limits, "db.example:5432"), 0);
        assert!(limits.permit("db.example:5433").await.is_some());
        drop(first);
        assert_eq!(free(&limits, "db.example:5432"), 1);
    }

    #[tokio::test]
    async fn a_host_that_is_down_is_probed_by_one_run_at_a_time() {
        let limits = HostLimits::new(1);
        let first = limits.permit("db.example:5432").await.unwrap();
        let waits = tokio::spawn({
            let limits = limits.clone();
            async move { limits.permit("db.example:5432").await }
        });
        tokio::task::yield_now().await;
        first.set_reached(false);
        drop(first);
        let probe = waits.await.unwrap().expect("the waiting run probes");
        assert!(limits.permit("db.example:5432").await.is_none());
        assert!(limits.permit("db.example:5433").await.is_some());
        probe.set_reached(true);
        drop(probe);
        assert!(limits.permit("db.example:5432").await.is_some());
    }
}
