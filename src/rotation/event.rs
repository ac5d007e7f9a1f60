//! What happens, as it happens: one enum, sent once; the log, the command line, the metrics, the
//! notifications and the event stream subscribe. Nothing calls back up.
//!
//! What can go wrong, and what prevents it:
//! - a subscriber is slow, or stuck: nothing waits for it, and it holds nothing but its place; all of them
//!   read one memory of the last [`KEPT`] events;
//! - a subscriber is so slow that it lost some: it is told how many ([`Heard::Gap`]), never silently;
//! - a reader comes back after it was cut off: it goes on after the id that it saw last
//!   ([`Events::subscribe_after`]), and is told of a gap where that is too long ago or of another process.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::sync::watch;
use uuid::Uuid;

use crate::journal::{Run, Step};
use crate::schedule::Window;
use twinkey_core::code::Problem;
use twinkey_engines::Session;

/// How many events are remembered.
pub const KEPT: usize = 4096;

/// One thing that happened.
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
    /// The run has ended, or waits for another try (`deferred`).
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
    /// A run or a check has looked who is signed in as the standby; that may be nobody.
    StandbySessions {
        rotation: String,
        sessions: Vec<Session>,
    },
    /// A rotation's schedule was paused or resumed.
    Paused {
        rotation: String,
        paused: bool,
    },
    /// Between two windows, the credentials in AWSCURRENT did not sign in.
    CurrentRefused {
        rotation: String,
        problem: Problem,
    },
    /// They do again.
    CurrentAccepted {
        rotation: String,
    },
}

impl Event {
    /// Its name, as in its JSON.
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

    /// The rotation that it is about.
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

/// An event's place: of which process, and the how-manieth there, from 1.
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

/// The text is no event id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no id of an event")]
pub struct NoEventId;

impl FromStr for EventId {
    type Err = NoEventId;

    fn from_str(text: &str) -> Result<Self, NoEventId> {
        let (process, number) = text.split_once('-').ok_or(NoEventId)?;
        Ok(Self {
            process: Uuid::try_parse(process).map_err(|_| NoEventId)?,
            number: number.parse().map_err(|_| NoEventId)?,
        })
    }
}

/// An event with its place and time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    pub id: EventId,
    pub at: DateTime<Utc>,
    pub event: Event,
    json: OnceLock<String>,
}

impl Happened {
    /// The event as JSON, with its time as `at`: written once, however many read it.
    ///
    /// # Errors
    /// [`serde_json::Error`], which no event should give.
    pub fn json(&self) -> Result<&str, serde_json::Error> {
        #[derive(Serialize)]
        struct Told<'a> {
            at: DateTime<Utc>,
            #[serde(flatten)]
            event: &'a Event,
        }
        if let Some(json) = self.json.get() {
            return Ok(json);
        }
        let (at, event) = (self.at, &self.event);
        let json = serde_json::to_string(&Told { at, event })?;
        Ok(self.json.get_or_init(|| json))
    }
}

/// Where events are sent, and the last of them remembered. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Events(Arc<Memory>);

#[derive(Debug)]
struct Memory {
    process: Uuid,
    kept: Mutex<VecDeque<Arc<Happened>>>,
    /// The number of the newest event.
    newest: watch::Sender<u64>,
}

impl Default for Events {
    fn default() -> Self {
        Self(Arc::new(Memory {
            process: Uuid::new_v4(),
            kept: Mutex::default(),
            newest: watch::Sender::new(0),
        }))
    }
}

impl Events {
    /// Tells all subscribers, if there are any. `at` is when it happened.
    pub fn send(&self, at: DateTime<Utc>, event: Event) {
        let memory = &*self.0;
        let mut kept = memory.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let number = *memory.newest.borrow() + 1;
        let id = EventId {
            process: memory.process,
            number,
        };
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(Arc::new(Happened {
            id,
            at,
            event,
            json: OnceLock::new(),
        }));
        memory.newest.send_replace(number);
    }

    /// From now on.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        let mut newest = self.0.newest.subscribe();
        let next = *newest.borrow_and_update() + 1;
        Subscription {
            memory: Arc::clone(&self.0),
            newest,
            next,
            lost: None,
        }
    }

    /// From the event after `last` on. One of another process is answered with a gap, then with all that
    /// is remembered.
    #[must_use]
    pub fn subscribe_after(&self, last: EventId) -> Subscription {
        let mut subscription = self.subscribe();
        let known = last.process == self.0.process && last.number < subscription.next;
        subscription.next = if known { last.number + 1 } else { 1 };
        subscription.lost = (!known).then_some(None);
        subscription
    }
}

/// What a subscriber hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    Event(Arc<Happened>),
    /// Events came between that are no longer remembered: so many, where that is known.
    Gap(Option<u64>),
}

/// A subscriber's place among the events.
#[derive(Debug)]
pub struct Subscription {
    memory: Arc<Memory>,
    newest: watch::Receiver<u64>,
    next: u64,
    /// A gap that is still to be told.
    lost: Option<Option<u64>>,
}

impl Subscription {
    /// Waits for the next event. Nothing is lost if this is dropped while it waits.
    pub async fn recv(&mut self) -> Heard {
        loop {
            if let Some(heard) = self.try_recv() {
                return heard;
            }
            // The sender is in the memory that this holds, so it is never gone.
            let _ = self.newest.changed().await;
        }
    }

    /// The next event, if it is there.
    pub fn try_recv(&mut self) -> Option<Heard> {
        if let Some(lost) = self.lost.take() {
            return Some(Heard::Gap(lost));
        }
        let kept = self.memory.kept.lock();
        let kept = kept.unwrap_or_else(PoisonError::into_inner);
        let oldest = kept.front()?.id.number;
        if self.next < oldest {
            let lost = oldest - self.next;
            self.next = oldest;
            return Some(Heard::Gap(Some(lost)));
        }
        let place = usize::try_from(self.next - oldest).ok()?;
        let happened = Arc::clone(kept.get(place)?);
        self.next += 1;
        Some(Heard::Event(happened))
    }

    /// The next event, however many were lost before it.
    pub async fn next_event(&mut self) -> Arc<Happened> {
        loop {
            if let Heard::Event(happened) = self.recv().await {
                return happened;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tell(events: &Events, rotation: &str) {
        let at = "2026-11-24T07:00:00Z".parse().unwrap();
        let rotation = rotation.to_owned();
        events.send(at, Event::CurrentAccepted { rotation });
    }

    fn heard(subscription: &mut Subscription) -> Vec<String> {
        std::iter::from_fn(|| subscription.try_recv())
            .map(|heard| match heard {
                Heard::Event(happened) => happened.event.rotation().to_owned(),
                Heard::Gap(lost) => format!("{lost:?} lost"),
            })
            .collect()
    }

    #[tokio::test]
    async fn a_subscriber_hears_what_happens_from_then_on_and_wakes_for_it() {
        let events = Events::default();
        tell(&events, "before");
        let mut subscription = events.subscribe();
        let waiting = tokio::spawn(async move { subscription.recv().await });
        tokio::task::yield_now().await;
        tell(&events, "after");
        let Heard::Event(happened) = waiting.await.unwrap() else {
            panic!("nothing was lost");
        };
        assert_eq!(happened.event.rotation(), "after");
    }

    #[test]
    fn who_comes_back_goes_on_after_what_it_saw_last() {
        let events = Events::default();
        let mut first = events.subscribe();
        for name in ["a", "b", "c"] {
            tell(&events, name);
        }
        let Some(Heard::Event(seen)) = first.try_recv() else {
            panic!("an event is there");
        };
        let id: EventId = seen.id.to_string().parse().unwrap();
        assert_eq!(id, seen.id, "an id reads back as itself");
        assert_eq!(heard(&mut events.subscribe_after(id)), ["b", "c"]);
    }

    #[test]
    fn an_id_of_another_process_or_of_the_future_is_a_gap_and_then_all_there_is() {
        let (events, others) = (Events::default(), Events::default());
        let mut other = others.subscribe();
        tell(&others, "x");
        tell(&events, "a");
        let Some(Heard::Event(seen)) = other.try_recv() else {
            panic!("an event is there");
        };
        assert_eq!(
            heard(&mut events.subscribe_after(seen.id)),
            ["None lost", "a"]
        );
        let ahead = EventId {
            process: events.0.process,
            number: 7,
        };
        assert_eq!(
            heard(&mut events.subscribe_after(ahead)),
            ["None lost", "a"]
        );
        for text in ["", "1", "x-1", "-", "0123-x"] {
            assert_eq!(text.parse::<EventId>(), Err(NoEventId), "{text:?}");
        }
    }

    #[test]
    fn who_is_too_slow_is_told_how_many_were_lost() {
        let events = Events::default();
        let mut slow = events.subscribe();
        for n in 0..KEPT + 3 {
            tell(&events, &n.to_string());
        }
        assert_eq!(slow.try_recv(), Some(Heard::Gap(Some(3))));
        let rest = heard(&mut slow);
        assert_eq!((rest.len(), rest[0].as_str()), (KEPT, "3"));
    }
}
