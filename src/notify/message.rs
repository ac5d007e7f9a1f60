//! What is told: an event in the words of the config, as plain data.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::Undelivered;
use crate::config::settings::NotifyEvent;
use crate::journal::{Run, RunState};
use crate::rotation::event::{Event, Happened};
use crate::schedule::Window;
use twinkey_core::code::{Code, Problem};

/// One notification. Its JSON is the same for every receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// The same at every try.
    pub id: String,
    pub event: NotifyEvent,
    pub at: DateTime<Utc>,
    pub rotation: String,
    /// The secret's name or ARN, as in the config; absent where the rotation is gone from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Why, and what to do now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// Where AWSCURRENT was moved from and to by a rollback, or whose user was locked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Message {
    /// What every receiver gets.
    pub(super) fn json(&self) -> Result<String, Undelivered> {
        serde_json::to_string(self).map_err(Undelivered::of_us)
    }
}

/// Makes messages for one receiver.
#[derive(Debug)]
pub struct Teller {
    wanted: Vec<NotifyEvent>,
    /// Runs that wait for their standby and were told of; few, as runs end.
    waiting: Vec<Uuid>,
}

impl Teller {
    #[must_use]
    pub const fn new(wanted: Vec<NotifyEvent>) -> Self {
        Self {
            wanted,
            waiting: Vec::new(),
        }
    }

    /// What this receiver is to be told of an event, if anything. `secret`: a rotation's, by its name.
    pub fn message(
        &mut self,
        happened: &Happened,
        secret: impl Fn(&str) -> Option<String>,
    ) -> Option<Message> {
        let event = self.event(&happened.event)?;
        let rotation = happened.event.rotation().to_owned();
        let mut message = Message {
            id: happened.id.to_string(),
            event,
            at: happened.at,
            secret: secret(&rotation),
            rotation,
            run: None,
            window: None,
            problem: None,
            from_user: None,
            to_user: None,
            user: None,
            reason: None,
        };
        match &happened.event {
            Event::RunStarted { run } | Event::RunFinished { run } => {
                message.problem.clone_from(&run.error);
                message.run = Some((**run).clone());
            }
            Event::WindowMissed {
                window, problem, ..
            } => {
                message.window = Some(*window);
                message.problem = Some(problem.clone());
            }
            Event::RolledBack {
                from_user,
                to_user,
                reason,
                ..
            } => {
                message.from_user = Some(from_user.clone());
                message.to_user = Some(to_user.clone());
                message.reason.clone_from(reason);
            }
            Event::Retired { user, .. } => message.user = Some(user.clone()),
            Event::CurrentRefused { problem, .. } => message.problem = Some(problem.clone()),
            _ => {}
        }
        Some(message)
    }

    /// The first of the wanted events that this one is.
    fn event(&mut self, event: &Event) -> Option<NotifyEvent> {
        let is: &[NotifyEvent] = match event {
            Event::RunStarted { run } if run.attempt == 1 => &[NotifyEvent::Started],
            Event::RunFinished { run } => self.ended(run),
            Event::WindowMissed { .. } => &[NotifyEvent::Missed],
            Event::RolledBack { .. } => &[NotifyEvent::RolledBack],
            Event::Retired { .. } => &[NotifyEvent::Retired],
            Event::CurrentRefused { .. } => &[NotifyEvent::CurrentRefused],
            _ => &[],
        };
        is.iter().find(|event| self.wanted.contains(event)).copied()
    }

    fn ended(&mut self, run: &Run) -> &'static [NotifyEvent] {
        let in_use = (run.error.as_ref()).is_some_and(|error| error.code == Code::StandbyInUse);
        if run.state == RunState::Deferred && in_use {
            let known = self.waiting.contains(&run.id);
            if !known {
                self.waiting.push(run.id);
            }
            return if known {
                &[]
            } else {
                &[NotifyEvent::StandbyInUse]
            };
        }
        match run.state {
            RunState::Running | RunState::Deferred => &[],
            state => {
                self.waiting.retain(|id| *id != run.id);
                match state {
                    RunState::Succeeded => &[NotifyEvent::Succeeded],
                    RunState::Failed if in_use => &[NotifyEvent::Failed, NotifyEvent::StandbyInUse],
                    RunState::Failed => &[NotifyEvent::Failed],
                    // A missed window is an event of its own.
                    _ => &[],
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::journal::Trigger;
    use crate::rotation::event::{Events, Heard};
    use twinkey_stores::VersionId;

    fn run(state: RunState, code: Option<Code>, attempt: u32) -> Box<Run> {
        let at = "2026-11-24T07:00:00Z".parse().unwrap();
        Box::new(Run {
            id: Uuid::from_u128(7),
            rotation: "orders".into(),
            trigger: Trigger::Schedule,
            reason: None,
            window: None,
            state,
            worker: "w".into(),
            version_id: VersionId("v".into()),
            from_user: None,
            to_user: None,
            started: at,
            finished: None,
            attempt,
            steps: Vec::new(),
            error: code.map(problem),
        })
    }

    fn problem(code: Code) -> Problem {
        Problem {
            code,
            message: "no".into(),
            hint: "look".into(),
        }
    }

    fn happened(event: Event) -> Arc<Happened> {
        let events = Events::default();
        let mut subscription = events.subscribe();
        events.send("2026-11-24T07:00:01Z".parse().unwrap(), event);
        match subscription.try_recv() {
            Some(Heard::Event(happened)) => happened,
            other => panic!("{other:?}"),
        }
    }

    fn told(teller: &mut Teller, event: Event) -> Option<NotifyEvent> {
        let message = teller.message(&happened(event), |_| None);
        message.map(|message| message.event)
    }

    fn finished(state: RunState, code: Option<Code>) -> Event {
        Event::RunFinished {
            run: run(state, code, 1),
        }
    }

    #[test]
    fn each_event_is_told_by_its_name_to_who_wants_it_and_to_nobody_else() {
        let rotation = || "orders".to_owned();
        let window = Window {
            opens: "2026-11-24T07:00:00Z".parse().unwrap(),
            closes: "2026-11-24T08:00:00Z".parse().unwrap(),
        };
        let events = [
            (
                Event::RunStarted {
                    run: run(RunState::Running, None, 1),
                },
                NotifyEvent::Started,
            ),
            (finished(RunState::Succeeded, None), NotifyEvent::Succeeded),
            (
                finished(RunState::Failed, Some(Code::DbRefused)),
                NotifyEvent::Failed,
            ),
            (
                Event::WindowMissed {
                    rotation: rotation(),
                    window,
                    problem: problem(Code::WindowClosed),
                },
                NotifyEvent::Missed,
            ),
            (
                Event::RolledBack {
                    rotation: rotation(),
                    from_user: "a".into(),
                    to_user: "b".into(),
                    reason: None,
                },
                NotifyEvent::RolledBack,
            ),
            (
                Event::Retired {
                    rotation: rotation(),
                    user: "a".into(),
                },
                NotifyEvent::Retired,
            ),
            (
                finished(RunState::Deferred, Some(Code::StandbyInUse)),
                NotifyEvent::StandbyInUse,
            ),
            (
                Event::CurrentRefused {
                    rotation: rotation(),
                    problem: problem(Code::CurrentSigninFailed),
                },
                NotifyEvent::CurrentRefused,
            ),
        ];
        assert_eq!(events.len(), NotifyEvent::ALL.len());
        for (event, name) in events {
            assert_eq!(
                told(&mut Teller::new(vec![name]), event.clone()),
                Some(name)
            );
            let others = NotifyEvent::ALL.into_iter().filter(|other| *other != name);
            assert_eq!(
                told(&mut Teller::new(others.collect()), event),
                None,
                "{name:?}"
            );
        }
    }

    #[test]
    fn a_run_that_waits_for_its_standby_is_told_of_once_and_its_end_again() {
        let mut teller = Teller::new(NotifyEvent::ALL.to_vec());
        let waits = || finished(RunState::Deferred, Some(Code::StandbyInUse));
        assert_eq!(told(&mut teller, waits()), Some(NotifyEvent::StandbyInUse));
        assert_eq!(told(&mut teller, waits()), None);
        let retry = run(RunState::Running, None, 2);
        assert_eq!(told(&mut teller, Event::RunStarted { run: retry }), None);
        let other = finished(RunState::Deferred, Some(Code::DbUnreachable));
        assert_eq!(told(&mut teller, other), None);
        let end = finished(RunState::Failed, Some(Code::StandbyInUse));
        assert_eq!(told(&mut teller, end.clone()), Some(NotifyEvent::Failed));
        let mut only = Teller::new(vec![NotifyEvent::StandbyInUse]);
        assert_eq!(told(&mut only, end), Some(NotifyEvent::StandbyInUse));
    }

    #[test]
    fn a_message_says_what_happened_to_which_secret_and_what_to_do() {
        let mut teller = Teller::new(NotifyEvent::ALL.to_vec());
        let refused = happened(Event::CurrentRefused {
            rotation: "orders".into(),
            problem: problem(Code::CurrentSigninFailed),
        });
        let secret = |rotation: &str| Some(format!("prod/{rotation}"));
        let message = teller.message(&refused, secret).unwrap();
        let json: serde_json::Value = serde_json::from_str(&message.json().unwrap()).unwrap();
        assert_eq!(
            json,
            json!({
                "id": refused.id.to_string(),
                "event": "current_refused",
                "at": "2026-11-24T07:00:01Z",
                "rotation": "orders",
                "secret": "prod/orders",
                "problem": { "code": "current_signin_failed", "message": "no", "hint": "look" },
            })
        );
    }
}
