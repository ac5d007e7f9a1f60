//! State of a rotation's windows when a worker starts or reloads. Pure.
//!
//! # Failure modes
//! - A secret loses its tag and has it again while a window is open, and rotates at once. Windows that
//!   opened before a discovered rotation was armed are not its own.
//! - With `spread`, a window is open before its run is due, and is taken for a missed one. Such a
//!   window is armed.

use chrono::{DateTime, Utc};

use crate::config::settings::{Missed, Rotation};
use crate::journal::{RotationRecord, RunState};
use crate::schedule::Window;
use crate::worker::rotation_state::pause;
use crate::worker::views::anchor;

/// Openings to search for the last missed one. After a longer downtime the last of these counts.
const MAX_OPENINGS: usize = 10_000;

/// State of a rotation's windows, and what the worker does about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowState {
    /// No window is open or missed.
    Nothing,
    /// A run of the open window had begun: continue it.
    Begun(Window),
    /// A window is open, it has no run, and `missed = "run"`: start one.
    Open(Window),
    /// The last window without a run. Under `missed = "skip"` it may still be open.
    Missed(Window),
}

/// When a worker first had the rotation; for a discovered one, when it was last armed.
fn known_since(rotation: &Rotation, memory: &RotationRecord) -> Option<DateTime<Utc>> {
    let armed = rotation.discovered.as_ref().map(|found| found.since);
    memory
        .first_seen
        .map(|seen| armed.map_or(seen, |armed| armed.max(seen)))
}

/// The state of a rotation's windows at `now`.
#[must_use]
pub fn window_state(
    rotation: &Rotation,
    memory: &RotationRecord,
    now: DateTime<Utc>,
) -> WindowState {
    let Some(windows) = &rotation.windows else {
        return WindowState::Nothing;
    };
    let Some(first_seen) = known_since(rotation, memory) else {
        return WindowState::Nothing;
    };
    let is_paused = pause(rotation, memory, now).is_some();
    let anchor = anchor(memory, now);
    let last = memory.last_in_window.as_ref();
    if let Some(open) = windows.open_window(now, anchor) {
        match last.filter(|run| run.window == Some(open)) {
            Some(run) if matches!(run.state, RunState::Running | RunState::Deferred) => {
                return WindowState::Begun(open);
            }
            Some(_) => return WindowState::Nothing,
            None if is_paused || open.opens < first_seen => {
                return WindowState::Nothing;
            }
            None if now < windows.starts(&open) => return WindowState::Nothing,
            None if rotation.missed == Missed::Run => return WindowState::Open(open),
            None => return WindowState::Missed(open),
        }
    }
    if is_paused {
        return WindowState::Nothing;
    }
    // Windows before the last run and before the rotation was first configured are not missed.
    let mut after = last
        .and_then(|run| run.window)
        .map_or(first_seen, |w| w.opens.max(first_seen));
    let mut missed = None;
    for _ in 0..MAX_OPENINGS {
        match windows.next_window(after, anchor) {
            Some(window) if window.closes <= now => {
                after = window.opens;
                missed = Some(window);
            }
            _ => break,
        }
    }
    missed.map_or(WindowState::Nothing, WindowState::Missed)
}

/// The window to arm, with the due time of its run.
///
/// This is the open window if its run is not due yet and the rotation was configured when it
/// opened; else the next one.
#[must_use]
pub fn next_due(
    rotation: &Rotation,
    memory: &RotationRecord,
    now: DateTime<Utc>,
) -> Option<(DateTime<Utc>, Window)> {
    let windows = rotation.windows.as_ref()?;
    let anchor = anchor(memory, now);
    let known_at =
        |at: DateTime<Utc>| known_since(rotation, memory).is_some_and(|since| since <= at);
    let window = windows
        .open_window(now, anchor)
        .filter(|open| now < windows.starts(open) && known_at(open.opens))
        .or_else(|| windows.next_window(now, anchor))?;
    Some((windows.starts(&window), window))
}

/// Whether an armed window still exists at `now`. A success moves the windows of `rate`.
#[must_use]
pub fn still_due(
    rotation: &Rotation,
    memory: &RotationRecord,
    window: Window,
    now: DateTime<Utc>,
) -> bool {
    let anchor = anchor(memory, now);
    rotation
        .windows
        .as_ref()
        .is_some_and(|windows| windows.open_window(window.opens, anchor) == Some(window))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::rotation;
    use crate::journal::{Pause, Run, Trigger};
    use twinkey_stores::VersionId;

    const DAILY: &str = "schedule = \"cron(0 7 * * ? *)\"\nwindow = \"1h\"";

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-11-{text}Z").parse().unwrap()
    }

    fn window(day: u32) -> Window {
        Window {
            opens: at(&format!("{day}T07:00:00")),
            closes: at(&format!("{day}T08:00:00")),
        }
    }

    fn seen_since(first_seen: &str) -> RotationRecord {
        RotationRecord {
            first_seen: Some(at(first_seen)),
            ..RotationRecord::default()
        }
    }

    fn run(day: u32, state: RunState) -> Option<Run> {
        Some(Run {
            id: uuid::Uuid::nil(),
            rotation: "orders".into(),
            trigger: Trigger::Schedule,
            actor: None,
            reason: None,
            window: Some(window(day)),
            state,
            worker: "w".into(),
            version_id: VersionId("v".into()),
            from_user: None,
            to_user: None,
            started: window(day).opens,
            finished: None,
            attempt: 1,
            steps: Vec::new(),
            error: None,
        })
    }

    #[test]
    fn a_discovered_rotation_waits_for_its_first_whole_window() {
        let daily = rotation(&format!("{DAILY}\nmissed = \"run\""));
        let armed = |at_time: &str| Rotation {
            discovered: Some(crate::config::settings::Discovered {
                by: 1,
                arn: "".into(),
                since: at(at_time),
            }),
            ..daily.clone()
        };
        let memory = seen_since("01T00:00:00");
        let now = at("23T07:30:00");
        let late = armed("23T07:10:00");
        assert_eq!(window_state(&late, &memory, now), WindowState::Nothing);
        assert_eq!(
            next_due(&late, &memory, now),
            Some((at("24T07:00:00"), window(24)))
        );
        assert_eq!(
            window_state(&armed("23T06:59:00"), &memory, now),
            WindowState::Open(window(23))
        );
        // Windows before are not missed.
        let after = at("23T09:00:00");
        assert_eq!(window_state(&late, &memory, after), WindowState::Nothing);
    }

    #[test]
    fn manual_and_new_rotations_have_missed_nothing() {
        let now = at("23T07:30:00");
        assert_eq!(
            window_state(&rotation(""), &seen_since("01T00:00:00"), now),
            WindowState::Nothing
        );
        let daily = rotation(&format!("{DAILY}\nmissed = \"run\""));
        assert_eq!(
            window_state(&daily, &RotationRecord::default(), now),
            WindowState::Nothing
        );
        assert_eq!(
            window_state(&daily, &seen_since("23T07:10:00"), now),
            WindowState::Nothing,
            "the window opened before the rotation was configured"
        );
    }

    #[test]
    fn an_open_window_runs_if_begun_or_missed_is_run() {
        let now = at("23T07:30:00");
        let (skip, run_it) = (
            rotation(DAILY),
            rotation(&format!("{DAILY}\nmissed = \"run\"")),
        );
        let mut memory = seen_since("01T00:00:00");
        memory.last_in_window = run(22, RunState::Succeeded);
        assert_eq!(
            window_state(&run_it, &memory, now),
            WindowState::Open(window(23))
        );
        assert_eq!(
            window_state(&skip, &memory, now),
            WindowState::Missed(window(23))
        );
        for state in [RunState::Running, RunState::Deferred] {
            memory.last_in_window = run(23, state);
            assert_eq!(
                window_state(&skip, &memory, now),
                WindowState::Begun(window(23))
            );
        }
        for state in [RunState::Succeeded, RunState::Failed, RunState::Missed] {
            memory.last_in_window = run(23, state);
            assert_eq!(window_state(&run_it, &memory, now), WindowState::Nothing);
        }
    }

    #[test]
    fn the_last_missed_window_is_reported_once() {
        let daily = rotation(DAILY);
        let mut memory = seen_since("01T00:00:00");
        let now = at("23T09:00:00");
        assert_eq!(
            window_state(&daily, &memory, now),
            WindowState::Missed(window(23))
        );
        memory.last_in_window = run(22, RunState::Succeeded);
        assert_eq!(
            window_state(&daily, &memory, now),
            WindowState::Missed(window(23))
        );
        memory.last_in_window = run(23, RunState::Missed);
        assert_eq!(window_state(&daily, &memory, now), WindowState::Nothing);
        assert_eq!(
            window_state(&daily, &seen_since("23T07:10:00"), now),
            WindowState::Nothing
        );
    }

    #[test]
    fn a_window_whose_run_is_not_due_is_armed() {
        // The name puts the start some minutes into the window.
        let spread = rotation(&format!("{DAILY}\nspread = \"40m\""));
        let plan = spread.windows.as_ref().unwrap();
        let starts = plan.starts(&window(23));
        assert!(starts > window(23).opens, "this name has an offset");
        let memory = seen_since("01T00:00:00");
        let just_before = starts - chrono::TimeDelta::seconds(1);
        assert_eq!(
            window_state(&spread, &memory, just_before),
            WindowState::Nothing
        );
        assert_eq!(
            next_due(&spread, &memory, just_before),
            Some((starts, window(23)))
        );
        assert_eq!(
            window_state(&spread, &memory, starts),
            WindowState::Missed(window(23))
        );
        let tomorrow = plan.starts(&window(24));
        assert_eq!(
            next_due(&spread, &memory, starts),
            Some((tomorrow, window(24)))
        );
        let new = seen_since("23T07:00:01");
        assert_eq!(
            next_due(&spread, &new, just_before),
            Some((tomorrow, window(24)))
        );
    }

    #[test]
    fn a_manual_success_moves_the_windows_of_rate_only() {
        let rate = rotation("schedule = \"rate(10 days)\"\nwindow = \"1h\"");
        let mut memory = seen_since("01T00:00:00");
        let now = at("02T00:00:00");
        let (_, armed) = next_due(&rate, &memory, now).unwrap();
        assert_eq!(armed.opens, at("11T00:00:00"));
        assert!(still_due(&rate, &memory, armed, armed.opens));
        memory.last_success = Some(at("05T12:00:00"));
        assert!(!still_due(&rate, &memory, armed, armed.opens));
        let later = at("06T00:00:00");
        assert_eq!(
            next_due(&rate, &memory, later).unwrap().0,
            at("15T12:00:00")
        );
        assert!(still_due(
            &rotation(DAILY),
            &memory,
            window(23),
            window(23).opens
        ));
    }

    #[test]
    fn a_paused_rotation_has_missed_nothing() {
        let daily = rotation(&format!("{DAILY}\nmissed = \"run\""));
        let memory = RotationRecord {
            paused: Some(Pause::default()),
            ..seen_since("01T00:00:00")
        };
        for now in ["23T07:30:00", "23T09:00:00"] {
            assert_eq!(window_state(&daily, &memory, at(now)), WindowState::Nothing);
        }
    }
}
