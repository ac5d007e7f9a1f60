//! Events of rotations, for the log, metrics, notifications, hooks and the event stream.
//!
//! # Failure modes
//! - A subscriber is slow or stuck. The sender does not wait; all subscribers read one log of the
//!   last [`EVENT_CAPACITY`] events.
//! - A subscriber is so slow that it misses events. It receives their number ([`Received::Gap`]).
//! - A reader reconnects. It continues after its last event ([`Events::subscribe_after`]), or
//!   receives a gap if that event is too old or from another process.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::watch;
use uuid::Uuid;

use crate::journal::{Actor, Run, Step};
use crate::schedule::Window;
use twinkey_core::code::Problem;
use twinkey_engines::Session;

/// Capacity of the event log.
pub const EVENT_CAPACITY: usize = 4096;

/// Event of a rotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
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
    /// The run ended, or is deferred to another attempt.
    RunFinished {
        run: Box<Run>,
    },
    /// A window passed without a run.
    WindowMissed {
        rotation: String,
        window: Window,
        problem: Problem,
        actor: Actor,
    },
    /// The user of AWSPREVIOUS was locked (`retire_after`).
    Retired {
        rotation: String,
        user: String,
        actor: Actor,
    },
    RolledBack {
        rotation: String,
        from_user: String,
        to_user: String,
        reason: Option<String>,
        actor: Actor,
    },
    /// A run or a check read the sessions of the standby; there may be none.
    StandbySessions {
        rotation: String,
        sessions: Vec<Session>,
    },
    /// A rotation's schedule was paused or resumed.
    Paused {
        rotation: String,
        paused: bool,
        actor: Actor,
    },
    /// A heartbeat with AWSCURRENT was refused.
    CurrentRefused {
        rotation: String,
        problem: Problem,
    },
    /// A heartbeat with AWSCURRENT was accepted again.
    CurrentAccepted {
        rotation: String,
    },
}

impl Event {
    /// The name in JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RunStarted { .. } => "run_started",
            Self::Step { .. } => "step",
            Self::RunFinished { .. } => "run_finished",
            Self::WindowMissed { .. } => "window_missed",
            Self::Retired { .. } => "retired",
            Self::RolledBack { .. } => "rolled_back",
            Self::StandbySessions { .. } => "standby_sessions",
            Self::Paused { .. } => "paused",
            Self::CurrentRefused { .. } => "current_refused",
            Self::CurrentAccepted { .. } => "current_accepted",
        }
    }

    /// The rotation of the event.
    #[must_use]
    pub fn rotation(&self) -> &str {
        match self {
            Self::RunStarted { run } | Self::RunFinished { run } => &run.rotation,
            Self::Step { rotation, .. }
            | Self::WindowMissed { rotation, .. }
            | Self::Retired { rotation, .. }
            | Self::RolledBack { rotation, .. }
            | Self::StandbySessions { rotation, .. }
            | Self::Paused { rotation, .. }
            | Self::CurrentRefused { rotation, .. }
            | Self::CurrentAccepted { rotation } => rotation,
        }
    }
}

/// Id of an event: its process and its number there, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventId {
    process: Uuid,
    number: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.process.simple(), self.number)
    }
}

/// Error for a text that is no event id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an event id")]
pub struct InvalidEventId;

impl FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(text: &str) -> Result<Self, InvalidEventId> {
        let (process, number) = text.split_once('-').ok_or(InvalidEventId)?;
        Ok(Self {
            process: Uuid::try_parse(process).map_err(|_| InvalidEventId)?,
            number: number.parse().map_err(|_| InvalidEventId)?,
        })
    }
}

/// An event with its id and time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedEvent {
    pub id: EventId,
    pub at: DateTime<Utc>,
    pub event: Event,
    json: OnceLock<String>,
}

impl RecordedEvent {
    /// The event as JSON, with its time as `at`. It is serialized once for all readers.
    ///
    /// # Errors
    /// [`serde_json::Error`], which no event causes.
    pub fn json(&self) -> Result<&str, serde_json::Error> {
        #[derive(Serialize)]
        struct TimedEvent<'a> {
            at: DateTime<Utc>,
            #[serde(flatten)]
            event: &'a Event,
        }
        if let Some(json) = self.json.get() {
            return Ok(json);
        }
        let (at, event) = (self.at, &self.event);
        let json = serde_json::to_string(&TimedEvent { at, event })?;
        Ok(self.json.get_or_init(|| json))
    }
}

/// Sender and log of events. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Events(Arc<EventLog>);

#[derive(Debug)]
struct EventLog {
    process: Uuid,
    recorded: Mutex<VecDeque<Arc<RecordedEvent>>>,
    /// The number of the newest event.
    newest: watch::Sender<u64>,
}

impl Default for Events {
    fn default() -> Self {
        Self(Arc::new(EventLog {
            process: Uuid::new_v4(),
            recorded: Mutex::default(),
            newest: watch::Sender::new(0),
        }))
    }
}

impl Events {
    /// Sends an event to all subscribers. `at` is its time.
    pub fn send(&self, at: DateTime<Utc>, event: Event) {
        let log = &*self.0;
        let mut recorded = log.recorded.lock();
        let number = *log.newest.borrow() + 1;
        let id = EventId {
            process: log.process,
            number,
        };
        if recorded.len() == EVENT_CAPACITY {
            recorded.pop_front();
        }
        recorded.push_back(Arc::new(RecordedEvent {
            id,
            at,
            event,
            json: OnceLock::new(),
        }));
        log.newest.send_replace(number);
    }

    /// A subscription to the events from now on.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        let mut newest = self.0.newest.subscribe();
        let next = *newest.borrow_and_update() + 1;
        Subscription {
            log: Arc::clone(&self.0),
            newest,
            next,
            lost: None,
        }
    }

    /// A subscription to the events after `last`. If `last` is of another process, it starts with a
    /// gap and the oldest event in the log.
    #[must_use]
    pub fn subscribe_after(&self, last: EventId) -> Subscription {
        let mut subscription = self.subscribe();
        let known = last.process == self.0.process && last.number < subscription.next;
        subscription.next = if known { last.number + 1 } else { 1 };
        subscription.lost = (!known).then_some(None);
        subscription
    }
}

/// What a subscriber receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    Event(Arc<RecordedEvent>),
    /// The log no longer has the events in between; their number, if it is known.
    Gap(Option<u64>),
}

/// A subscriber's position in the log.
#[derive(Debug)]
pub struct Subscription {
    log: Arc<EventLog>,
    newest: watch::Receiver<u64>,
    next: u64,
    /// A gap that the subscriber has not received.
    lost: Option<Option<u64>>,
}

impl Subscription {
    /// Waits for the next event. Dropping this future loses nothing.
    pub async fn recv(&mut self) -> Received {
        loop {
            if let Some(received) = self.try_recv() {
                return received;
            }
            // The log that this holds owns the sender, so the channel stays open.
            let _ = self.newest.changed().await;
        }
    }

    /// The next event, if there is one.
    pub fn try_recv(&mut self) -> Option<Received> {
        if let Some(lost) = self.lost.take() {
            return Some(Received::Gap(lost));
        }
        let recorded = self.log.recorded.lock();
        let oldest = recorded.front()?.id.number;
        if self.next < oldest {
            let lost = oldest - self.next;
            self.next = oldest;
            return Some(Received::Gap(Some(lost)));
        }
        let index = usize::try_from(self.next - oldest).ok()?;
        let happened = Arc::clone(recorded.get(index)?);
        self.next += 1;
        Some(Received::Event(happened))
    }

    /// Waits for the next event and ignores gaps.
    pub async fn next_event(&mut self) -> Arc<RecordedEvent> {
        loop {
            if let Received::Event(happened) = self.recv().await {
                return happened;
            }
        }
    }
}

#[cfg(test)]
mod tests;
