//! Slots of open connections.
//!
//! # Invariants
//! - At most `max` slots exist. A connection holds its slot until its socket is closed.
//! - Only a connection that is waiting for a request, or for the rest of one, is evicted.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The slots of one listener.
pub(super) struct Slots {
    max: usize,
    open: Mutex<Open>,
    /// Notified when [`Slots::acquire`] may succeed.
    changed: Notify,
}

#[derive(Default)]
struct Open {
    /// Counts acquisitions and phases; orders the connections by the start of their phase.
    counter: u64,
    connections: HashMap<u64, Entry>,
}

struct Entry {
    phase: Phase,
    since: u64,
    is_evicted: bool,
    evict: Arc<Notify>,
}

/// Phase of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It waits for bytes of the client: a handshake, a head, a body.
    Receiving,
    /// It has a complete request, and a response that is not finished.
    Responding,
}

impl Slots {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            open: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// A slot. At the limit, evicts the connection that has received for the longest time.
    pub(super) async fn acquire(self: &Arc<Self>) -> Slot {
        loop {
            if let Some(slot) = self.try_acquire() {
                return slot;
            }
            self.changed.notified().await;
        }
    }

    fn try_acquire(self: &Arc<Self>) -> Option<Slot> {
        let mut open = self.open.lock();
        if open.connections.len() < self.max {
            open.counter += 1;
            let id = open.counter;
            let evict = Arc::new(Notify::new());
            let entry = Entry {
                phase: Phase::Receiving,
                since: id,
                is_evicted: false,
                evict: Arc::clone(&evict),
            };
            open.connections.insert(id, entry);
            return Some(Slot {
                id,
                evict,
                slots: Arc::clone(self),
            });
        }
        let entries = || open.connections.values();
        if !entries().any(|entry| entry.is_evicted) {
            let receiving = open.connections.values_mut();
            let receiving = receiving.filter(|entry| entry.phase == Phase::Receiving);
            if let Some(oldest) = receiving.min_by_key(|entry| entry.since) {
                oldest.is_evicted = true;
                oldest.evict.notify_one();
            }
        }
        None
    }

    /// Whether an eviction is still valid. The connection may have started a response meanwhile.
    fn confirm_eviction(&self, id: u64) -> bool {
        let mut open = self.open.lock();
        let Some(entry) = open.connections.get_mut(&id) else {
            return true;
        };
        if entry.phase == Phase::Responding {
            entry.is_evicted = false;
        }
        entry.is_evicted
    }
}

/// The slot of one connection.
pub(super) struct Slot {
    id: u64,
    evict: Arc<Notify>,
    slots: Arc<Slots>,
}

impl Slot {
    pub(super) fn set_phase(&self, phase: Phase) {
        let mut open = self.slots.open.lock();
        open.counter += 1;
        let since = open.counter;
        if let Some(entry) = open.connections.get_mut(&self.id) {
            (entry.phase, entry.since) = (phase, since);
        }
        drop(open);
        self.slots.changed.notify_one();
    }

    /// Completes when the connection must close.
    pub(super) async fn evicted(&self) {
        loop {
            self.evict.notified().await;
            if self.slots.confirm_eviction(self.id) {
                return;
            }
            self.slots.changed.notify_one();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.open.lock().connections.remove(&self.id);
        self.slots.changed.notify_one();
    }
}
