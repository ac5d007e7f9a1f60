//! View of a rotation for `status` and `GET /v1/rotations`.
//!
//! It uses the config and the journal only, so it is fast for thousands of rotations.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::config::settings::Rotation;
use crate::journal::{Pause, RotationRecord, Run, RunState};
use crate::rotation::context::endpoint_states::{EndpointStates, EndpointStatus};
use crate::schedule::Window;
use crate::worker::next_tries::NextTries;
pub use crate::worker::rotation_state::RotationState;
use crate::worker::rotation_state::{derive, pause};
use crate::worker::standby_sessions::StandbySessions;
use twinkey_core::code::Problem;
use twinkey_engines::Session;

/// State of a rotation, with its users, last run and next window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RotationView {
    pub name: String,
    pub secret: String,
    /// The `[[store]]` of the secret. `null`: `[secrets]`.
    #[serde(default)]
    pub store: Option<String>,
    /// The `[[discover]]` of the config that found it, from 1. `null`: it is a `[[rotation]]`.
    #[serde(default)]
    pub discovered_by: Option<usize>,
    pub engine: Option<String>,
    pub host: Option<String>,
    pub active_user: Option<String>,
    pub standby_user: Option<String>,
    pub state: RotationState,
    /// When the state began, if the journal has that.
    pub since: Option<DateTime<Utc>>,
    /// Why it is waiting, failed, missed or locked out.
    pub problem: Option<Problem>,
    /// As the config names it. `null`: the secret names it (`masterarn`), or the rotation has none.
    #[serde(default)]
    pub master_secret: Option<String>,
    /// While it lasts, no scheduled run starts, whatever the state is.
    pub paused: Option<Pause>,
    /// The secret's host, the readers and the poolers, with their answers to the last sign-in of a run, a
    /// check or a heartbeat.
    #[serde(default)]
    pub endpoints: Vec<EndpointStatus>,
    /// Seconds since a run moved AWSCURRENT to its password. `null`: not known, because no run did, or
    /// AWSCURRENT was moved later outside a run.
    #[serde(default)]
    pub password_age: Option<u64>,
    /// The window that is open now. While the rotation is `paused`, no run starts in it.
    #[serde(default)]
    pub open_window: Option<Window>,
    /// When the waiting run is tried again. `null`: no run waits, or it waits in another process.
    #[serde(default)]
    pub next_try: Option<DateTime<Utc>>,
    pub last_success: Option<DateTime<Utc>>,
    pub last_run: Option<Run>,
    pub next_window: Option<Window>,
    /// Of the standby, as a run or a check of this worker last read them. `null`: not known, because
    /// none read them since AWSCURRENT moved, or the server does not list them.
    pub standby_sessions: Option<Vec<Session>>,
}

/// The time from which `rate` counts. Times after `now` are ignored: a wrong clock recorded them,
/// and no window would be due before them.
#[must_use]
pub fn anchor(memory: &RotationRecord, now: DateTime<Utc>) -> DateTime<Utc> {
    [memory.last_success, memory.first_seen]
        .into_iter()
        .flatten()
        .find(|at| *at <= now)
        .unwrap_or(now)
}

/// What only a running worker knows of the rotations; empty in a command.
#[derive(Debug, Clone, Default)]
pub struct LiveStates {
    pub endpoints: EndpointStates,
    pub next_tries: NextTries,
    pub standby_sessions: StandbySessions,
}

/// The window that is open at `now`: that of a run which has not ended, else that of the schedule.
fn open_window(rotation: &Rotation, memory: &RotationRecord, now: DateTime<Utc>) -> Option<Window> {
    let is_open = |window: &Window| window.contains(now);
    let last = memory.last_in_window.as_ref();
    let last = last.filter(|run| matches!(run.state, RunState::Running | RunState::Deferred));
    let of_run = last.and_then(|run| run.window).filter(is_open);
    of_run.or_else(|| {
        let plan = rotation.windows.as_ref()?;
        plan.open_window(now, anchor(memory, now))
    })
}

/// The age of a password that a run made, unless AWSCURRENT was moved later.
fn password_age(memory: &RotationRecord, now: DateTime<Utc>) -> Option<u64> {
    let made = memory.last_success?;
    if memory.last_flip != Some(made) || memory.changed.is_some() {
        return None;
    }
    u64::try_from((now - made).num_seconds()).ok()
}

/// The view of a rotation.
#[must_use]
pub fn view(
    rotation: &Rotation,
    memory: RotationRecord,
    live: &LiveStates,
    now: DateTime<Utc>,
) -> RotationView {
    let from = anchor(&memory, now);
    let seen = memory.seen.as_ref();
    let derived = derive(rotation, &memory, now);
    let pause = pause(rotation, &memory, now);
    let standby_sessions = live.standby_sessions.get(&rotation.name, &memory);
    // The windows that open during a pause are skipped.
    let pause_ends = match &pause {
        Some(pause) => pause.until,
        None => Some(now),
    };
    RotationView {
        name: rotation.name.clone(),
        secret: rotation.secret.clone(),
        store: rotation.store_name().map(str::to_owned),
        discovered_by: rotation.discovered.as_ref().map(|found| found.by),
        engine: seen
            .map(|s| s.engine.clone())
            .or_else(|| rotation.engine.map(|e| e.to_string())),
        host: seen.and_then(|s| s.host.clone()),
        active_user: seen.map(|s| s.active_user.clone()),
        standby_user: seen.map(|s| s.standby_user.clone()),
        state: derived.state,
        since: derived.since,
        problem: derived.problem,
        master_secret: rotation.master_secret.clone(),
        paused: pause,
        endpoints: live.endpoints.of(rotation, seen),
        password_age: password_age(&memory, now),
        open_window: open_window(rotation, &memory, now),
        next_try: (derived.state == RotationState::Waiting)
            .then(|| live.next_tries.get(&rotation.name))
            .flatten(),
        last_success: memory.last_success,
        last_run: memory.last_run,
        next_window: rotation
            .windows
            .as_ref()
            .and_then(|w| w.next_window(pause_ends?, from)),
        standby_sessions,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::rotation;
    use crate::journal::Trigger;
    use twinkey_stores::VersionId;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-11-23T{text}:00Z").parse().unwrap()
    }

    fn window(opens: &str, closes: &str) -> Window {
        Window {
            opens: at(opens),
            closes: at(closes),
        }
    }

    /// The view of a daily rotation whose window is from 07:00 to 08:00.
    fn shown(memory: RotationRecord, now: &str) -> RotationView {
        let keys = "schedule = \"cron(0 7 * * ? *)\"\nwindow = \"1h\"\nmaster_secret = \"m\"";
        view(&rotation(keys), memory, &LiveStates::default(), at(now))
    }

    fn run(state: RunState, window: Window) -> Run {
        Run {
            id: uuid::Uuid::nil(),
            rotation: "app".into(),
            trigger: Trigger::Schedule,
            actor: None,
            reason: None,
            window: Some(window),
            state,
            worker: "w".into(),
            version_id: VersionId("v".into()),
            from_user: None,
            to_user: None,
            started: window.opens,
            finished: None,
            attempt: 1,
            steps: Vec::new(),
            error: None,
        }
    }

    #[test]
    fn the_open_window_is_that_of_the_run_or_the_schedule() {
        let daily = window("07:00", "08:00");
        let empty = RotationRecord::default;
        for (now, open) in [("06:59", None), ("07:00", Some(daily)), ("08:00", None)] {
            assert_eq!(shown(empty(), now).open_window, open, "{now}");
        }
        // Its pause does not close it.
        let paused = RotationRecord {
            paused: Some(Pause::default()),
            ..empty()
        };
        assert_eq!(shown(paused, "07:30").open_window, Some(daily));
        // The window of a run continues after its schedule was changed.
        let former = window("09:00", "10:00");
        let last = |state| RotationRecord {
            last_in_window: Some(run(state, former)),
            ..empty()
        };
        let waiting = last(RunState::Deferred);
        assert_eq!(shown(waiting.clone(), "09:30").open_window, Some(former));
        assert_eq!(shown(waiting, "10:00").open_window, None);
        assert_eq!(shown(last(RunState::Failed), "09:30").open_window, None);
    }

    #[test]
    fn the_age_of_a_password_is_known_until_another_flip() {
        let by_run = RotationRecord {
            last_success: Some(at("07:00")),
            last_flip: Some(at("07:00")),
            ..RotationRecord::default()
        };
        assert_eq!(shown(by_run.clone(), "08:01").password_age, Some(3660));
        let rolled_back = RotationRecord {
            last_flip: Some(at("07:30")),
            ..by_run.clone()
        };
        assert_eq!(shown(rolled_back, "08:01").password_age, None);
        let changed = RotationRecord {
            changed: Some(at("07:30")),
            ..by_run.clone()
        };
        assert_eq!(shown(changed, "08:01").password_age, None);
        assert_eq!(shown(by_run, "06:00").password_age, None, "a clock ahead");
        let new = shown(RotationRecord::default(), "08:01");
        assert_eq!(new.password_age, None);
        assert_eq!(new.master_secret.as_deref(), Some("m"));
    }
}
