//! Hook payloads, and the events that trigger a hook.

use crate::config::settings::Hook;
use crate::journal::RunState;
use crate::rotation::context::flip_hooks::FlipFacts;
use crate::rotation::event::{Event, RecordedEvent};

/// The data of a hook about an AWSCURRENT that has moved, or will move. It holds no password, because an event holds none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookPayload {
    /// `before_flip`, `succeeded` or `rolled_back`.
    pub event: &'static str,
    pub rotation: String,
    /// The secret's name or ARN, as in the config; `None` if the rotation was removed from it.
    pub secret: Option<String>,
    /// The ids of the run and the version; a rollback has neither.
    pub run: Option<String>,
    pub version_id: Option<String>,
    pub from_user: Option<String>,
    pub to_user: Option<String>,
    /// RFC 3339, UTC.
    pub at: String,
    /// Only before a flip.
    pub endpoints: Option<Endpoints>,
}

/// The places at which AWSCURRENT has to work, as `HOST:PORT`, with a space between two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    pub host: String,
    pub readers: String,
    pub poolers: String,
}

impl HookPayload {
    /// The payload of an event that triggers this hook. `secret` returns the secret of a rotation.
    pub fn from_event(
        recorded: &RecordedEvent,
        hook: &Hook,
        secret: impl Fn(&str) -> Option<String>,
    ) -> Option<Self> {
        let rotation = recorded.event.rotation();
        if !super::applies_to(hook, rotation) {
            return None;
        }
        let mut payload = Self {
            event: "succeeded",
            rotation: rotation.to_owned(),
            secret: secret(rotation),
            run: None,
            version_id: None,
            from_user: None,
            to_user: None,
            at: recorded.at.to_rfc3339(),
            endpoints: None,
        };
        match &recorded.event {
            Event::RunFinished { run } if run.state == RunState::Succeeded => {
                payload.run = Some(run.id.to_string());
                payload.version_id = Some(run.version_id.0.clone());
                payload.from_user.clone_from(&run.from_user);
                payload.to_user.clone_from(&run.to_user);
            }
            Event::RolledBack {
                from_user, to_user, ..
            } => {
                payload.event = "rolled_back";
                payload.from_user = Some(from_user.clone());
                payload.to_user = Some(to_user.clone());
            }
            _ => return None,
        }
        Some(payload)
    }

    /// The payload of a hook before a flip.
    #[must_use]
    pub fn before_flip(facts: &FlipFacts) -> Self {
        Self {
            event: "before_flip",
            rotation: facts.rotation.clone(),
            secret: Some(facts.secret.clone()),
            run: facts.run.map(|run| run.to_string()),
            version_id: Some(facts.version_id.clone()),
            from_user: Some(facts.from_user.clone()),
            to_user: Some(facts.to_user.clone()),
            at: facts.at.to_rfc3339(),
            endpoints: Some(Endpoints {
                host: facts.host.clone(),
                readers: facts.readers.join(" "),
                poolers: facts.poolers.join(" "),
            }),
        }
    }

    /// The environment variables of a program.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, &str)> {
        let endpoints = self.endpoints.as_ref();
        let variables = [
            ("TWINKEY_EVENT", Some(self.event)),
            ("TWINKEY_ROTATION", Some(self.rotation.as_str())),
            ("TWINKEY_SECRET", self.secret.as_deref()),
            ("TWINKEY_RUN", self.run.as_deref()),
            ("TWINKEY_VERSION_ID", self.version_id.as_deref()),
            ("TWINKEY_FROM_USER", self.from_user.as_deref()),
            ("TWINKEY_TO_USER", self.to_user.as_deref()),
            ("TWINKEY_AT", Some(self.at.as_str())),
            ("TWINKEY_HOST", endpoints.map(|all| all.host.as_str())),
            ("TWINKEY_READERS", endpoints.map(|all| all.readers.as_str())),
            ("TWINKEY_POOLERS", endpoints.map(|all| all.poolers.as_str())),
        ];
        variables
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::config::settings::{HookActionSettings, HookTime};
    use crate::journal::{Run, Trigger};
    use crate::rotation::event::{Events, Received};
    use twinkey_stores::VersionId;

    fn hook(rotations: Option<&[&str]>) -> Hook {
        Hook {
            when: HookTime::AfterFlip,
            rotations: rotations.map(|names| names.iter().map(|n| (*n).to_owned()).collect()),
            timeout: Duration::from_secs(1),
            concurrency: 1,
            action: HookActionSettings::Exec {
                program: PathBuf::from("/bin/true"),
                arguments: Vec::new(),
                aws: false,
            },
        }
    }

    fn finished(state: RunState) -> Event {
        let at = "2026-11-24T07:00:00Z".parse().unwrap();
        Event::RunFinished {
            run: Box::new(Run {
                id: Uuid::nil(),
                rotation: "orders".into(),
                trigger: Trigger::Schedule,
                actor: None,
                reason: None,
                window: None,
                state,
                worker: "w".into(),
                version_id: VersionId("v".into()),
                from_user: Some("app".into()),
                to_user: Some("app_clone".into()),
                started: at,
                finished: Some(at),
                attempt: 1,
                steps: Vec::new(),
                error: None,
            }),
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

    fn payload(event: Event, hook: &Hook) -> Option<HookPayload> {
        HookPayload::from_event(&recorded(event), hook, |name| Some(format!("prod/{name}")))
    }

    #[test]
    fn a_hook_runs_only_when_current_has_moved() {
        let all = hook(None);
        let rolled_back = Event::RolledBack {
            rotation: "orders".into(),
            from_user: "a".into(),
            to_user: "b".into(),
            reason: None,
            actor: crate::journal::Actor::worker("w"),
        };
        let names = |event| payload(event, &all).map(|payload| payload.event);
        assert_eq!(names(finished(RunState::Succeeded)), Some("succeeded"));
        assert_eq!(names(rolled_back), Some("rolled_back"));
        for state in [RunState::Failed, RunState::Deferred, RunState::Missed] {
            assert_eq!(names(finished(state)), None);
        }
        let retired = Event::Retired {
            rotation: "orders".into(),
            user: "a".into(),
            actor: crate::journal::Actor::worker("w"),
        };
        assert_eq!(names(retired), None);
    }

    #[test]
    fn a_hook_runs_for_its_rotations_only() {
        let success = || finished(RunState::Succeeded);
        assert!(payload(success(), &hook(Some(&["billing", "orders"]))).is_some());
        assert_eq!(payload(success(), &hook(Some(&["billing"]))), None);
    }

    #[test]
    fn variables_describe_the_flip_and_omit_absent_values() {
        let success = payload(finished(RunState::Succeeded), &hook(None)).unwrap();
        let variables: Vec<String> = success
            .variables()
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            variables,
            [
                "TWINKEY_EVENT=succeeded",
                "TWINKEY_ROTATION=orders",
                "TWINKEY_SECRET=prod/orders",
                "TWINKEY_RUN=00000000-0000-0000-0000-000000000000",
                "TWINKEY_VERSION_ID=v",
                "TWINKEY_FROM_USER=app",
                "TWINKEY_TO_USER=app_clone",
                "TWINKEY_AT=2026-11-24T07:00:01+00:00",
            ]
        );
    }
}
