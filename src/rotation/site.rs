//! What every run stands on: the store, the clock, and how many may work on one database host at once.
//!
//! What can go wrong, and what prevents it: a host that does not answer keeps everybody waiting who wants
//! to work on it, one after the other, for as long as a connection takes to be given up; and they
//! keep the worker's places from the rotations of other hosts. So a host that was not reached is
//! tried by one run at a time, until one reaches it; the others are told at once, and come back later.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::aws::Aws;
use crate::engine::EngineError;
use crate::rotation::masters::Masters;
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
    /// Master connections that a run may go on with.
    pub masters: Masters,
}

/// At most so many connections' worth of work on one host at once (`limits.per_host`).
#[derive(Clone)]
pub struct HostLimits {
    per_host: usize,
    hosts: Arc<Mutex<HashMap<String, Arc<Host>>>>,
}

struct Host {
    places: Arc<Semaphore>,
    /// Nobody has reached it since somebody could not.
    down: AtomicBool,
    /// The one place there is while it is down.
    scout: Arc<Semaphore>,
}

/// A place at a host; it is free again when this is dropped.
pub struct Place {
    host: Arc<Host>,
    _place: OwnedSemaphorePermit,
    _scout: Option<OwnedSemaphorePermit>,
}

impl HostLimits {
    #[must_use]
    pub fn new(per_host: usize) -> Self {
        Self {
            per_host,
            hosts: Arc::default(),
        }
    }

    /// Waits for a place at `host`. `None`: it is down, and another run is trying it.
    pub async fn place(&self, host: &str) -> Option<Place> {
        let host = self.host(host);
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
        Some(Place {
            host,
            _place: place,
            _scout: scout,
        })
    }

    fn host(&self, name: &str) -> Arc<Host> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let host = hosts.entry(name.to_ascii_lowercase()).or_insert_with(|| {
            Arc::new(Host {
                places: Arc::new(Semaphore::new(self.per_host)),
                down: AtomicBool::new(false),
                scout: Arc::new(Semaphore::new(1)),
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
