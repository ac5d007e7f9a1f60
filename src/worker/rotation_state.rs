//! State of a rotation, derived from the journal, the heartbeat and the clock. Pure.
//!
//! Everything that shows a state uses [`derive()`]: the commands, the API, the metrics and the
//! dashboard.
//!
//! # Failure modes
//! - A rotation is shown as fine although AWSCURRENT does not sign in. The heartbeat's refusal comes
//!   before every other state, also before a pause.
//! - A rotation whose heartbeat was removed from the config stays locked out. A refusal counts only
//!   while the rotation has a heartbeat.
//! - A worker exits in an open window, and no other worker records the end of its run. Some time
//!   after the window, such a run counts as missed.
//! - A rotation that never ran is shown as fine. It is new.
//! - A rotation that the config pauses is resumed in the journal, and seems to run. The config's pause is
//!   shown with its place, and lasts.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::config::settings::Rotation;
use crate::journal::{Pause, RotationRecord, Run, RunState};
use twinkey_core::code::Problem;

/// Time that the worker of a run has to record the end of its window.
const RECORDED_WITHIN: TimeDelta = TimeDelta::seconds(60);

/// State of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RotationState {
    /// It has never run.
    New,
    /// Its last run succeeded.
    Idle,
    Running,
    /// Its window is open, and the run is tried again.
    Waiting,
    Failed,
    /// Its last window closed without a rotation.
    Missed,
    Paused,
    /// AWSCURRENT did not sign in at the last heartbeat.
    LockedOut,
}

impl RotationState {
    /// All states.
    pub const ALL: [Self; 8] = [
        Self::New,
        Self::Idle,
        Self::Running,
        Self::Waiting,
        Self::Failed,
        Self::Missed,
        Self::Paused,
        Self::LockedOut,
    ];

    /// Whether its last window or AWSCURRENT is not as it must be.
    #[must_use]
    pub const fn is_problem(self) -> bool {
        matches!(
            self,
            Self::Waiting | Self::Failed | Self::Missed | Self::LockedOut
        )
    }

    /// The name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Idle => "idle",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
            Self::Missed => "missed",
            Self::Paused => "paused",
            Self::LockedOut => "locked_out",
        }
    }
}

/// A state, with its beginning and its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DerivedState {
    pub state: RotationState,
    /// When the state began; `None` if the journal has no time of it.
    pub since: Option<DateTime<Utc>>,
    pub problem: Option<Problem>,
}

/// The pause of a rotation's schedule at `now`. The config's has no end, whatever the journal has.
#[must_use]
pub fn pause(rotation: &Rotation, record: &RotationRecord, now: DateTime<Utc>) -> Option<Pause> {
    if !rotation.paused {
        return record.pause(now).cloned();
    }
    let place = match &rotation.discovered {
        None => "`paused` of its [[rotation]]",
        Some(_) => "`paused` of its [[discover]] or its tag twinkey:paused",
    };
    Some(Pause {
        by: Some(Pause::BY_CONFIG.into()),
        reason: Some(place.into()),
        ..Pause::default()
    })
}

/// The state of a rotation at `now`.
#[must_use]
pub fn derive(rotation: &Rotation, record: &RotationRecord, now: DateTime<Utc>) -> DerivedState {
    let refusal = record
        .refused
        .as_ref()
        .filter(|_| rotation.heartbeat.is_some());
    if let Some(refusal) = refusal {
        return DerivedState {
            state: RotationState::LockedOut,
            since: Some(refusal.since),
            problem: Some(refusal.problem.clone()),
        };
    }
    let last = record.last_run.as_ref();
    let by_run = last.map(|run| of_run(run, now));
    match (by_run, pause(rotation, record, now)) {
        (Some(running), _) if running.state == RotationState::Running => running,
        (_, Some(pause)) => DerivedState {
            state: RotationState::Paused,
            since: pause.at,
            problem: None,
        },
        (Some(by_run), None) => by_run,
        // A rotation that was renamed keeps its last success, and its runs have the former name.
        (None, None) if record.last_success.is_some() => DerivedState {
            state: RotationState::Idle,
            since: record.last_success,
            problem: None,
        },
        (None, None) => DerivedState {
            state: RotationState::New,
            since: record.first_seen,
            problem: None,
        },
    }
}

fn of_run(run: &Run, now: DateTime<Utc>) -> DerivedState {
    let over = run
        .window
        .is_some_and(|window| window.closes + RECORDED_WITHIN < now);
    let closed = run.window.map(|window| window.closes);
    let abandoned = || run.abandoned(now).error;
    let (state, since, problem) = match run.state {
        RunState::Running if over => (RotationState::Missed, closed, abandoned()),
        RunState::Deferred if over => (RotationState::Missed, closed, abandoned()),
        RunState::Running => (RotationState::Running, Some(run.started), None),
        RunState::Deferred => (RotationState::Waiting, Some(run.started), run.error.clone()),
        RunState::Succeeded => (RotationState::Idle, run.finished, None),
        RunState::Failed => (RotationState::Failed, run.finished, run.error.clone()),
        RunState::Missed => (RotationState::Missed, run.finished, run.error.clone()),
    };
    DerivedState {
        state,
        since,
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::rotation;
    use crate::journal::{CurrentRefusal, Trigger};
    use crate::schedule::Window;
    use twinkey_core::code::Code;
    use twinkey_stores::VersionId;

    fn at(minute: u32) -> DateTime<Utc> {
        format!("2026-11-23T07:{minute:02}:00Z").parse().unwrap()
    }

    fn problem(code: Code) -> Problem {
        Problem {
            code,
            message: "why".into(),
            hint: "do".into(),
        }
    }

    /// A run of the window from 07:00 to 07:30.
    fn run(state: RunState, code: Option<Code>) -> Run {
        let ended = !matches!(state, RunState::Running | RunState::Deferred);
        Run {
            id: uuid::Uuid::nil(),
            rotation: "app".into(),
            trigger: Trigger::Schedule,
            actor: None,
            reason: None,
            window: Some(Window {
                opens: at(0),
                closes: at(30),
            }),
            state,
            worker: "w".into(),
            version_id: VersionId("v".into()),
            from_user: None,
            to_user: None,
            started: at(1),
            finished: ended.then(|| at(2)),
            attempt: 1,
            steps: Vec::new(),
            error: code.map(problem),
        }
    }

    fn record(last_run: Option<Run>) -> RotationRecord {
        RotationRecord {
            first_seen: Some(at(0)),
            last_run,
            ..RotationRecord::default()
        }
    }

    #[test]
    fn a_pause_of_the_config_lasts_whatever_the_journal_has() {
        let by_config = rotation("paused = true");
        let ended = RotationRecord {
            paused: Some(Pause {
                until: Some(at(5)),
                ..Pause::default()
            }),
            ..record(Some(run(RunState::Succeeded, None)))
        };
        for known in [record(None), ended.clone()] {
            assert_eq!(
                derive(&by_config, &known, at(10)).state,
                RotationState::Paused
            );
            let shown = pause(&by_config, &known, at(10)).unwrap();
            assert!(shown.is_by_config(), "{shown}");
            assert!(shown.to_string().contains("[[rotation]]"), "{shown}");
        }
        assert_eq!(pause(&rotation(""), &ended, at(10)), None);
        let running = record(Some(run(RunState::Running, None)));
        assert_eq!(
            derive(&by_config, &running, at(10)).state,
            RotationState::Running
        );
    }

    #[test]
    fn each_combination_has_one_state() {
        use RotationState as S;
        use RunState as R;
        let down = Some(Code::StoreDenied);
        let succeeded = || Some(run(R::Succeeded, None));
        let renamed = RotationRecord {
            last_success: Some(at(2)),
            ..record(None)
        };
        let paused = |last_run| RotationRecord {
            paused: Some(Pause::default()),
            ..record(last_run)
        };
        let refused = |inner: RotationRecord| RotationRecord {
            refused: Some(CurrentRefusal {
                since: at(5),
                problem: problem(Code::CurrentSigninFailed),
            }),
            ..inner
        };
        let lockout = Some(Code::CurrentSigninFailed);
        for (record, minute, state, since, code) in [
            (record(None), 10, S::New, Some(0), None),
            (RotationRecord::default(), 10, S::New, None, None),
            (renamed, 10, S::Idle, Some(2), None),
            (record(succeeded()), 10, S::Idle, Some(2), None),
            (
                record(Some(run(R::Running, None))),
                10,
                S::Running,
                Some(1),
                None,
            ),
            (
                record(Some(run(R::Deferred, down))),
                10,
                S::Waiting,
                Some(1),
                down,
            ),
            (
                record(Some(run(R::Failed, down))),
                10,
                S::Failed,
                Some(2),
                down,
            ),
            (
                record(Some(run(R::Missed, down))),
                10,
                S::Missed,
                Some(2),
                down,
            ),
            // The window closed, and no worker recorded it.
            (
                record(Some(run(R::Deferred, down))),
                31,
                S::Waiting,
                Some(1),
                down,
            ),
            (
                record(Some(run(R::Deferred, down))),
                40,
                S::Missed,
                Some(30),
                down,
            ),
            (
                record(Some(run(R::Running, None))),
                40,
                S::Missed,
                Some(30),
                Some(Code::WindowClosed),
            ),
            (paused(None), 10, S::Paused, None, None),
            (paused(succeeded()), 10, S::Paused, None, None),
            (
                paused(Some(run(R::Failed, down))),
                10,
                S::Paused,
                None,
                None,
            ),
            (
                paused(Some(run(R::Running, None))),
                10,
                S::Running,
                Some(1),
                None,
            ),
            (refused(record(None)), 10, S::LockedOut, Some(5), lockout),
            (
                refused(record(succeeded())),
                10,
                S::LockedOut,
                Some(5),
                lockout,
            ),
            (
                refused(paused(succeeded())),
                10,
                S::LockedOut,
                Some(5),
                lockout,
            ),
            (
                refused(record(Some(run(R::Running, None)))),
                10,
                S::LockedOut,
                Some(5),
                lockout,
            ),
        ] {
            let with_heartbeat = rotation("heartbeat = \"5m\"");
            let derived = derive(&with_heartbeat, &record, at(minute));
            let found = (
                derived.state,
                derived.since,
                derived.problem.map(|p| p.code),
            );
            assert_eq!(found, (state, since.map(at), code), "{record:?}");
            // Without a heartbeat, its former refusal does not count.
            let without = derive(&rotation(""), &record, at(minute));
            assert_ne!(without.state, S::LockedOut);
            if record.refused.is_none() {
                assert_eq!(without.state, state);
            }
        }
    }
}
