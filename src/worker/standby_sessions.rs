//! Sessions of the standbys, as a run or a check of this worker last read them.
//!
//! # Failure modes
//! - AWSCURRENT moves, also by another worker, and the sessions of the user that is active now pass as
//!   those of the standby. Sessions that were read before the move are not known any more.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use parking_lot::RwLock;

use crate::journal::RotationRecord;
use twinkey_engines::Session;

/// Sessions by the rotations' names. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct StandbySessions(Arc<RwLock<HashMap<String, SessionsRead>>>);

/// The sessions of a standby at one time.
#[derive(Debug, Clone)]
struct SessionsRead {
    at: DateTime<Utc>,
    sessions: Vec<Session>,
}

impl StandbySessions {
    /// The sessions of a rotation's standby. `None`: not read since AWSCURRENT moved.
    #[must_use]
    pub fn get(&self, rotation: &str, memory: &RotationRecord) -> Option<Vec<Session>> {
        let all = self.0.read();
        let moved = memory.last_flip.max(memory.changed);
        let read = all.get(rotation)?;
        moved
            .is_none_or(|moved| moved < read.at)
            .then(|| read.sessions.clone())
    }

    pub(super) fn set(&self, rotation: &str, at: DateTime<Utc>, sessions: Vec<Session>) {
        let read = SessionsRead { at, sessions };
        self.0.write().insert(rotation.to_owned(), read);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_of_awscurrent_makes_the_sessions_unknown() {
        let at = |minute: u32| format!("2026-11-23T07:{minute:02}:00Z").parse().ok();
        let all = StandbySessions::default();
        let mut memory = RotationRecord::default();
        assert_eq!(all.get("orders", &memory), None);
        all.set("orders", at(5).unwrap(), Vec::new());
        assert_eq!(all.get("orders", &memory), Some(Vec::new()));
        memory.last_flip = at(4);
        assert_eq!(all.get("orders", &memory), Some(Vec::new()));
        memory.changed = at(6);
        assert_eq!(all.get("orders", &memory), None, "another party moved it");
        memory.changed = None;
        memory.last_flip = at(6);
        assert_eq!(all.get("orders", &memory), None);
        all.set("orders", at(7).unwrap(), Vec::new());
        assert_eq!(all.get("orders", &memory), Some(Vec::new()));
    }
}
