//! When a hook is run, and what it is told: pure.

use crate::config::settings::Hook;
use crate::journal::RunState;
use crate::rotation::event::{Event, Happened};

/// AWSCURRENT has moved. Never a password: an event holds none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occasion {
    /// `succeeded` or `rolled_back`.
    pub event: &'static str,
    pub rotation: String,
    /// The secret's name or ARN, as in the config; absent where the rotation is gone from it.
    pub secret: Option<String>,
    /// The run's id and the version's; a rollback has neither.
    pub run: Option<String>,
    pub version_id: Option<String>,
    pub from_user: Option<String>,
    pub to_user: Option<String>,
    /// RFC 3339, UTC.
    pub at: String,
}

impl Occasion {
    /// Whether an event is one for this hook, and which. `secret`: a rotation's, by its name.
    pub fn of(
        happened: &Happened,
        hook: &Hook,
        secret: impl Fn(&str) -> Option<String>,
    ) -> Option<Self> {
        let rotation = happened.event.rotation();
        let wanted = &hook.rotations;
        if (wanted.as_ref()).is_some_and(|names| !names.iter().any(|name| name == rotation)) {
            return None;
        }
        let mut occasion = Self {
            event: "succeeded",
            rotation: rotation.to_owned(),
            secret: secret(rotation),
            run: None,
            version_id: None,
            from_user: None,
            to_user: None,
            at: happened.at.to_rfc3339(),
        };
        match &happened.event {
            Event::RunFinished { run } if run.state == RunState::Succeeded => {
                occasion.run = Some(run.id.to_string());
                occasion.version_id = Some(run.version_id.0.clone());
                occasion.from_user.clone_from(&run.from_user);
                occasion.to_user.clone_from(&run.to_user);
            }
            Event::RolledBack {
                from_user, to_user, ..
            } => {
                occasion.event = "rolled_back";
                occasion.from_user = Some(from_user.clone());
                occasion.to_user = Some(to_user.clone());
            }
            _ => return None,
        }
        Some(occasion)
    }

    /// As a program is told of it.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, &str)> {
        let some = [
            ("TWINKEY_EVENT", Some(self.event)),
            ("TWINKEY_ROTATION", Some(self.rotation.as_str())),
            ("TWINKEY_SECRET", self.secret.as_deref()),
            ("TWINKEY_RUN", self.run.as_deref()),
            ("TWINKEY_VERSION_ID", self.version_id.as_deref()),
            ("TWINKEY_FROM_USER", self.from_user.as_deref()),
            ("TWINKEY_TO_USER", self.to_user.as_deref()),
            ("TWINKEY_AT", Some(self.at.as_str())),
        ];
        some.into_iter()
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
    use crate::config::settings::HookAction;
    use crate::journal::{Run, Trigger};
    use crate::rotation::event::{Events, Heard};
    use twinkey_stores::VersionId;

    fn hook(rotations: Option<&[&str]>) -> Hook {
        Hook {
            rotations: rotations.map(|names| names.iter().map(|n| (*n).to_owned()).collect()),
            timeout: Duration::from_secs(1),
            concurrency: 1,
            action: HookAction::Exec {
                program: PathBuf::from("/bin/true"),
                arguments: Vec::new(),
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

    fn happened(event: Event) -> Arc<Happened> {
        let events = Events::default();
        let mut subscription = events.subscribe();
        events.send("2026-11-24T07:00:01Z".parse().unwrap(), event);
        match subscription.try_recv() {
            Some(Heard::Event(happened)) => happened,
            other => panic!("{other:?}"),
        }
    }

    fn occasion(event: Event, hook: &Hook) -> Option<Occasion> {
        Occasion::of(&happened(event), hook, |name| Some(format!("prod/{name}")))
    }

    #[test]
    fn a_hook_is_run_when_current_has_moved_and_at_no_other_event() {
        let all = hook(None);
        let rolled_back = Event::RolledBack {
            rotation: "orders".into(),
            from_user: "a".into(),
            to_user: "b".into(),
            reason: None,
        };
        let names = |event| occasion(event, &all).map(|occasion| occasion.event);
        assert_eq!(names(finished(RunState::Succeeded)), Some("succeeded"));
        assert_eq!(names(rolled_back), Some("rolled_back"));
        for state in [RunState::Failed, RunState::Deferred, RunState::Missed] {
            assert_eq!(names(finished(state)), None);
        }
        let retired = Event::Retired {
            rotation: "orders".into(),
            user: "a".into(),
        };
        assert_eq!(names(retired), None);
    }

    #[test]
    fn a_hook_is_for_the_rotations_that_it_names() {
        let success = || finished(RunState::Succeeded);
        assert!(occasion(success(), &hook(Some(&["billing", "orders"]))).is_some());
        assert_eq!(occasion(success(), &hook(Some(&["billing"]))), None);
    }

    #[test]
    fn a_program_is_told_what_moved_and_nothing_that_is_not_there() {
        let it = occasion(finished(RunState::Succeeded), &hook(None)).unwrap();
        let variables: Vec<String> = it
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
