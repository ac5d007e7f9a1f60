//! Windows: the spans in which a rotation may start and must end.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Schedule;

/// The span in which a rotation may start and must end. `opens` is in it, `closes` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    pub opens: DateTime<Utc>,
    pub closes: DateTime<Utc>,
}

/// A schedule with the length of its windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowPlan {
    pub schedule: Schedule,
    pub length: Duration,
    /// How long after the opening the run starts (`spread`, derived from the rotation's name).
    pub offset: Duration,
}

impl WindowPlan {
    /// The first window that opens strictly after `after`.
    #[must_use]
    pub fn next_window(&self, _after: DateTime<Utc>, _anchor: DateTime<Utc>) -> Option<Window> {
        None
    }

    pub fn starts(&self, w: &Window) -> DateTime<Utc> {
        w.opens
    }
    /// The window that is open at `at`, if one is.
    #[must_use]
    pub fn open_window(&self, _at: DateTime<Utc>, _anchor: DateTime<Utc>) -> Option<Window> {
        None
    }
}
