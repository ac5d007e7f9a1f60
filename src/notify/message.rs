//! Notification messages, built from events.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::DeliveryFailure;
use crate::config::settings::NotifyEvent;
use crate::journal::{Actor, Run, RunState};
use crate::rotation::event::{Event, RecordedEvent};
use crate::schedule::Window;
use twinkey_core::code::{Code, Problem};

/// A notification; its JSON is the same for every receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// The same for every attempt.
    pub id: String,
    pub event: NotifyEvent,
    pub at: DateTime<Utc>,
    pub rotation: String,
    /// The secret's name or ARN, as in the config; absent if the rotation was removed from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// The problem and its hint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// The users before and after a rollback; `user` is a user that was locked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The actor of the event; absent for what a heartbeat found, and for a run without a known actor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
}

impl Message {
    /// The JSON of the message.
    pub(super) fn json(&self) -> Result<String, DeliveryFailure> {
        serde_json::to_string(self).map_err(DeliveryFailure::internal)
    }
}

/// A builder of the messages for one receiver.
#[derive(Debug)]
pub struct MessageBuilder {
    events: Vec<NotifyEvent>,
    /// Runs that wait for their standby and were reported; few, because runs end.
    waiting: Vec<Uuid>,
}

impl MessageBuilder {
    #[must_use]
    pub const fn new(events: Vec<NotifyEvent>) -> Self {
        Self {
            events,
            waiting: Vec::new(),
        }
    }

    /// The message of an event, if the receiver subscribes to it. `secret` returns the secret of a rotation.
    pub fn message(
        &mut self,
        recorded: &RecordedEvent,
        secret: impl Fn(&str) -> Option<String>,
    ) -> Option<Message> {
        let event = self.event(&recorded.event)?;
        let rotation = recorded.event.rotation().to_owned();
        let mut message = Message {
            id: recorded.id.to_string(),
            event,
            at: recorded.at,
            secret: secret(&rotation),
            rotation,
            run: None,
            window: None,
            problem: None,
            from_user: None,
            to_user: None,
            user: None,
            reason: None,
            actor: None,
        };
        match &recorded.event {
            Event::RunStarted { run } | Event::RunFinished { run } => {
                message.problem.clone_from(&run.error);
                message.actor.clone_from(&run.actor);
                message.run = Some((**run).clone());
            }
            Event::WindowMissed {
                window,
                problem,
                actor,
                ..
            } => {
                message.actor = Some(actor.clone());
                message.window = Some(*window);
                message.problem = Some(problem.clone());
            }
            Event::RolledBack {
                from_user,
                to_user,
                reason,
                actor,
                ..
            } => {
                message.from_user = Some(from_user.clone());
                message.to_user = Some(to_user.clone());
                message.reason.clone_from(reason);
                message.actor = Some(actor.clone());
            }
            Event::Retired { user, actor, .. } => {
                message.user = Some(user.clone());
                message.actor = Some(actor.clone());
            }
            Event::CurrentRefused { problem, .. } => message.problem = Some(problem.clone()),
            _ => {}
        }
        Some(message)
    }

    /// The first subscribed event that this one is.
    fn event(&mut self, event: &Event) -> Option<NotifyEvent> {
        let candidates: &[NotifyEvent] = match event {
            Event::RunStarted { run } if run.attempt == 1 => &[NotifyEvent::Started],
            Event::RunFinished { run } => self.run_finished(run),
            Event::WindowMissed { .. } => &[NotifyEvent::Missed],
            Event::RolledBack { .. } => &[NotifyEvent::RolledBack],
            Event::Retired { .. } => &[NotifyEvent::Retired],
            Event::CurrentRefused { .. } => &[NotifyEvent::CurrentRefused],
            _ => &[],
        };
        candidates
            .iter()
            .find(|event| self.events.contains(event))
            .copied()
    }

    fn run_finished(&mut self, run: &Run) -> &'static [NotifyEvent] {
        let in_use = (run.error.as_ref()).is_some_and(|error| error.code == Code::StandbyInUse);
        if run.state == RunState::Deferred && in_use {
            let reported = self.waiting.contains(&run.id);
            if !reported {
                self.waiting.push(run.id);
            }
            return if reported {
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
    use crate::rotation::event::{Events, Received};
    use twinkey_stores::VersionId;

    fn run(state: RunState, code: Option<Code>, attempt: u32) -> Box<Run> {
        let at = "2026-11-24T07:00:00Z".parse().unwrap();
        Box::new(Run {
            id: Uuid::from_u128(7),
            rotation: "orders".into(),
            trigger: Trigger::Schedule,
            actor: None,
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

    fn recorded(event: Event) -> Arc<RecordedEvent> {
        let events = Events::default();
        let mut subscription = events.subscribe();
        events.send("2026-11-24T07:00:01Z".parse().unwrap(), event);
        match subscription.try_recv() {
            Some(Received::Event(recorded)) => recorded,
            other => panic!("{other:?}"),
        }
    }

    fn built(messages: &mut MessageBuilder, event: Event) -> Option<NotifyEvent> {
        let message = messages.message(&recorded(event), |_| None);
        message.map(|message| message.event)
    }

    fn finished(state: RunState, code: Option<Code>) -> Event {
        Event::RunFinished {
            run: run(state, code, 1),
        }
    }

    #[test]
    fn each_event_is_sent_only_to_its_subscribers() {
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
                    actor: Actor::schedule("w"),
                },
                NotifyEvent::Missed,
            ),
            (
                Event::RolledBack {
                    rotation: rotation(),
                    from_user: "a".into(),
                    to_user: "b".into(),
                    reason: None,
                    actor: Actor::worker("w"),
                },
                NotifyEvent::RolledBack,
            ),
            (
                Event::Retired {
                    rotation: rotation(),
                    user: "a".into(),
                    actor: Actor::worker("w"),
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
                built(&mut MessageBuilder::new(vec![name]), event.clone()),
                Some(name)
            );
            let others = NotifyEvent::ALL.into_iter().filter(|other| *other != name);
            assert_eq!(
                built(&mut MessageBuilder::new(others.collect()), event),
                None,
                "{name:?}"
            );
        }
    }

    #[test]
    fn a_wait_for_the_standby_is_reported_once_and_the_end_again() {
        let mut messages = MessageBuilder::new(NotifyEvent::ALL.to_vec());
        let waits = || finished(RunState::Deferred, Some(Code::StandbyInUse));
        assert_eq!(
            built(&mut messages, waits()),
            Some(NotifyEvent::StandbyInUse)
        );
        assert_eq!(built(&mut messages, waits()), None);
        let retry = run(RunState::Running, None, 2);
        assert_eq!(built(&mut messages, Event::RunStarted { run: retry }), None);
        let other = finished(RunState::Deferred, Some(Code::DbUnreachable));
        assert_eq!(built(&mut messages, other), None);
        let end = finished(RunState::Failed, Some(Code::StandbyInUse));
        assert_eq!(built(&mut messages, end.clone()), Some(NotifyEvent::Failed));
        let mut only = MessageBuilder::new(vec![NotifyEvent::StandbyInUse]);
        assert_eq!(built(&mut only, end), Some(NotifyEvent::StandbyInUse));
    }

    #[test]
    fn a_message_has_the_actor_of_its_run() {
        let mut messages = MessageBuilder::new(NotifyEvent::ALL.to_vec());
        let mut begun = run(RunState::Running, None, 1);
        begun.actor = Some(Actor::schedule("w"));
        for event in [
            Event::RunStarted { run: begun.clone() },
            Event::RunFinished {
                run: Box::new(Run {
                    state: RunState::Failed,
                    ..*begun
                }),
            },
        ] {
            let message = messages.message(&recorded(event), |_| None).unwrap();
            assert_eq!(message.actor, Some(Actor::schedule("w")), "{message:?}");
        }
    }

    #[test]
    fn a_message_has_the_event_the_secret_and_the_hint() {
        let mut messages = MessageBuilder::new(NotifyEvent::ALL.to_vec());
        let refused = recorded(Event::CurrentRefused {
            rotation: "orders".into(),
            problem: problem(Code::CurrentSigninFailed),
        });
        let secret = |rotation: &str| Some(format!("prod/{rotation}"));
        let message = messages.message(&refused, secret).unwrap();
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
