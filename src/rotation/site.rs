//! What every run stands on: the store, the clock, and how many may work on one database host at once.
//!
//! What can go wrong, and what prevents it: a host that does not answer keeps everybody waiting who wants
//! to work on it, one after the other, for as long as a connection takes to be given up; and they
//! keep the worker's places from the rotations of other hosts. So a host that was not reached is
//! tried by one run at a time, until one reaches it; the others are told at once, and come back later.
//!
//! Workers that share a journal share the limit too. One that is waiting for a place asks for all of its runs at that
//! host, in a line; without the journal the limit is this process's own, for without it no run begins, and those
//! that are on end with their leases.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::journal::SharedPlaces;
use crate::rotation::masters::Masters;
use twinkey_core::aws::Aws;
use twinkey_core::telemetry::clock::Clock;
use twinkey_engines::EngineError;
use twinkey_stores::SecretStore;

/// How long after it was told that no place is free a worker asks again.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Shared by all runs of a process.
#[derive(Clone)]
pub struct Site {
    pub store: Arc<dyn SecretStore>,
    /// For engines that speak to AWS; keeps no secrets where the store is not AWS's.
    pub aws: Aws,
    pub clock: Clock,
    pub hosts: HostLimits,
    /// Master connections that a run may go on with.
    pub masters: Masters,
}

/// At most so many connections' worth of work on one host at once (`limits.per_host`).
#[derive(Clone)]
pub struct HostLimits {
    per_host: usize,
    hosts: Arc<Mutex<HashMap<String, Arc<Host>>>>,
    /// With other workers.
    shared: Option<Arc<dyn SharedPlaces>>,
}

struct Host {
    places: Arc<Semaphore>,
    /// Nobody has reached it since somebody could not.
    down: AtomicBool,
    /// The one place there is while it is down.
    scout: Arc<Semaphore>,
    /// Who asks for a place that is shared with other workers.
    asking: tokio::sync::Mutex<()>,
}

/// A place at a host; it is free again when this is dropped.
pub struct Place {
    host: Arc<Host>,
    _place: OwnedSemaphorePermit,
    _scout: Option<OwnedSemaphorePermit>,
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

    /// Keeps the limit together with other workers.
    pub fn share(&mut self, places: Option<Arc<dyn SharedPlaces>>) {
        self.shared = places;
    }

    /// Waits for a place at `host`. `None`: it is down, and another run is trying it.
    pub async fn place(&self, name: &str) -> Option<Place> {
        let name = name.to_ascii_lowercase();
        let host = self.host(&name);
        let scout = host.scout();
        if scout.is_none() && host.is_down() {
            return None;
        }
        // The semaphore is never closed, so there always is a permit in the end.
        let place = Arc::clone(&host.places).acquire_owned().await.ok()?;
        let scout = if host.is_down() {
            Some(scout.or_else(|| host.scout())?)
        } else {
            None
        };
        let shared = self.shared_place(&name, &host).await;
        Some(Place {
            host,
            _place: place,
            _scout: scout,
            _shared: shared,
        })
    }

    /// Waits for a place among those that are shared with other workers, if any are.
    async fn shared_place(&self, name: &str, host: &Host) -> Option<Box<dyn Send + Sync>> {
        let places = self.shared.as_ref()?;
        let _asking = host.asking.lock().await;
        loop {
            match places.take(name, self.per_host).await {
                Ok(Some(place)) => return Some(place),
                Ok(None) => tokio::time::sleep(ASK_AGAIN).await,
                Err(error) => {
                    tracing::warn!(host = name, %error, "limits.per_host holds for this worker alone");
                    return None;
                }
            }
        }
    }

    fn host(&self, name: &str) -> Arc<Host> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let host = hosts.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(Host {
                places: Arc::new(Semaphore::new(self.per_host)),
                down: AtomicBool::new(false),
                scout: Arc::new(Semaphore::new(1)),
                asking: tokio::sync::Mutex::default(),
            })
        });
        Arc::clone(host)
    }
}

impl Host {
    fn is_down(&self) -> bool {
        self.down.load(Ordering::Acquire)
    }

    /// The only place, where the host is down.
    fn scout(&self) -> Option<OwnedSemaphorePermit> {
        self.is_down()
            .then(|| Arc::clone(&self.scout).try_acquire_owned().ok())
            .flatten()
    }
}

impl Place {
    /// Learns from an answer whether the host was reached.
    pub fn heard<T>(&self, answer: &Result<T, EngineError>) {
        match answer {
            Ok(_) | Err(EngineError::SignIn { .. }) => self.reached(true),
            Err(EngineError::Unreachable { .. }) => self.reached(false),
            Err(_) => {}
        }
    }

    fn reached(&self, yes: bool) {
        self.host.down.store(!yes, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(limits: &HostLimits, host: &str) -> usize {
        limits.host(host).places.available_permits()
    }

    #[tokio::test]
    async fn a_host_takes_no_more_runs_than_its_limit_and_hosts_do_not_wait_for_each_other() {
        let limits = HostLimits::new(2);
        let first = limits.place("db.example").await;
        let _second = limits.place("DB.example").await;
        assert_eq!(free(&limits, "db.example"), 0);
        assert!(limits.place("other.example").await.is_some());
        drop(first);
        assert_eq!(free(&limits, "db.example"), 1);
    }

    #[tokio::test]
    async fn a_host_that_is_down_is_tried_by_one_run_at_a_time_until_one_reaches_it() {
        let limits = HostLimits::new(1);
        let first = limits.place("db.example").await.unwrap();
        let waits = tokio::spawn({
            let limits = limits.clone();
            async move { limits.place("db.example").await }
        });
        tokio::task::yield_now().await;
        first.reached(false);
        drop(first);
        let scout = waits.await.unwrap().expect("somebody has to try");
        assert!(limits.place("db.example").await.is_none());
        assert!(limits.place("other.example").await.is_some());
        scout.reached(true);
        drop(scout);
        assert!(limits.place("db.example").await.is_some());
    }
}
