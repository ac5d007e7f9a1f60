//! What a worker finds when it starts: pure. Windows that went by while no worker ran, windows that
//! are open, and runs that a worker now gone had begun.

use chrono::{DateTime, Utc};

use crate::config::settings::{Missed, Rotation};
use crate::journal::{RotationMemory, RunState};
use crate::schedule::Window;
use crate::worker::views::anchor;

/// How many openings are gone through in search of the last one that was missed. A worker that was
/// down for longer than that reports the last of these.
const MOST_OPENINGS: usize = 10_000;

/// What to do about one rotation when the worker starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing was missed and nothing is open.
    Nothing,
    /// A run of the window that is open was begun: it goes on.
    Begun(Window),
    /// A window is open, no run of it was begun, and `missed = "run"`.
    Open(Window),
    /// The last window that went by without a run (it may still be open, under `missed = "skip"`).
    Missed(Window),
}

/// What a worker that starts `now` finds.
#[must_use]
pub fn find(rotation: &Rotation, memory: &RotationMemory, now: DateTime<Utc>) -> Found {
    let Some(windows) = &rotation.windows else {
        return Found::Nothing;
    };
    let Some(first_seen) = memory.first_seen else {
        return Found::Nothing;
    };
    let anchor = anchor(memory, now);
    let last = memory.last_run.as_ref();
    if let Some(open) = windows.open_window(now, anchor) {
        match last.filter(|run| run.window == Some(open)) {
            Some(run) if matches!(run.state, RunState::Running | RunState::Deferred) => {
                return Found::Begun(open);
            }
            Some(_) => return Found::Nothing,
            None if memory.paused || open.opens < first_seen => return Found::Nothing,
            None if rotation.missed == Missed::Run => return Found::Open(open),
            None => return Found::Missed(open),
        }
    }
    if memory.paused {
        return Found::Nothing;
    }
    // What began before the last known run's window is not missed; nor is what nobody had asked for yet.
    let mut after = last
        .and_then(|run| run.window)
        .map_or(first_seen, |w| w.opens.max(first_seen));
    let mut missed = None;
    for _ in 0..MOST_OPENINGS {
        match windows.next_window(after, anchor) {
            Some(window) if window.closes <= now => {
                after = window.opens;
                missed = Some(window);
            }
            _ => break,
        }
    }
    missed.map_or(Found::Nothing, Found::Missed)
}
