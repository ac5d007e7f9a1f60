//! What happens, as it happens: one enum, sent once; the log, the command line, and later the metrics,
//! notifications and event stream subscribe. Nothing calls back up.

use serde::Serialize;
use tokio::sync::broadcast;
use uuid::Uuid;

use crate::code::Problem;
use crate::journal::{Run, Step};
use crate::schedule::Window;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    RunStarted {
        run: Box<Run>,
    },
    Step {
        run: Uuid,
        rotation: String,
        step: Step,
    },
    RunFinished {
        run: Box<Run>,
    },
    /// A window went by without a run.
    WindowMissed {
        rotation: String,
        window: Window,
        problem: Problem,
    },
    /// The user of AWSPREVIOUS was locked (`retire_after`).
    Retired {
        rotation: String,
        user: String,
    },
    RolledBack {
        rotation: String,
        from_user: String,
        to_user: String,
        reason: Option<String>,
    },
}

/// Where events are sent. A slow subscriber loses events; it never slows a run.
#[derive(Debug, Clone)]
pub struct Events(broadcast::Sender<Event>);

impl Default for Events {
    fn default() -> Self {
        Self(broadcast::Sender::new(1024))
    }
}

impl Events {
    /// Tells all subscribers, if there are any.
    pub fn send(&self, event: Event) {
        // No subscriber is no error.
        let _ = self.0.send(event);
    }

    /// From now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.0.subscribe()
    }
}
