//! Times at which the waiting runs of this worker try again.
//!
//! # Failure modes
//! - A time outlives its wait, because the wait was cancelled. A guard removes it.
//! - A new wait of a rotation begins before the guard of the former one is dropped. A guard removes its
//!   own time only.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use parking_lot::RwLock;

/// Next tries by the rotations' names. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct NextTries(Arc<RwLock<HashMap<String, DateTime<Utc>>>>);

/// A wait until the next try; dropping it removes its time.
#[must_use]
pub(super) struct Wait<'a> {
    tries: &'a NextTries,
    rotation: &'a str,
    at: DateTime<Utc>,
}

impl NextTries {
    /// The next try of a rotation's waiting run; `None` if no run waits in this worker.
    #[must_use]
    pub fn get(&self, rotation: &str) -> Option<DateTime<Utc>> {
        self.0.read().get(rotation).copied()
    }

    /// Sets the next try for the time of a wait.
    pub(super) fn wait<'a>(&'a self, rotation: &'a str, at: DateTime<Utc>) -> Wait<'a> {
        self.0.write().insert(rotation.to_owned(), at);
        Wait {
            tries: self,
            rotation,
            at,
        }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let mut tries = self.tries.0.write();
        if tries.get(self.rotation) == Some(&self.at) {
            tries.remove(self.rotation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_lasts_as_long_as_its_wait() {
        let tries = NextTries::default();
        let at = |seconds| DateTime::from_timestamp(seconds, 0);
        let first = tries.wait("app", at(1).unwrap());
        assert_eq!((tries.get("app"), tries.get("other")), (at(1), None));
        let second = tries.wait("app", at(2).unwrap());
        drop(first);
        assert_eq!(tries.get("app"), at(2), "that of the second wait");
        drop(second);
        assert_eq!(tries.get("app"), None);
    }
}
