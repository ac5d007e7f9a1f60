//! What a worker finds when it starts or reloads, and what it arms: pure. Windows that went by while
//! no worker ran, windows that are open, and runs that a worker now gone had begun.
//!
//! What can go wrong: with `spread`, a window is open before its run is due. Such a window is neither
//! missed nor passed over: it is armed.

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
    let last = memory.last_in_window.as_ref();
    if let Some(open) = windows.open_window(now, anchor) {
        match last.filter(|run| run.window == Some(open)) {
            Some(run) if matches!(run.state, RunState::Running | RunState::Deferred) => {
                return Found::Begun(open);
            }
            Some(_) => return Found::Nothing,
            None if memory.paused || open.opens < first_seen => return Found::Nothing,
            None if now < windows.starts(&open) => return Found::Nothing,
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

/// The window to arm, with the time at which its run is due: one that is open already and whose run is
/// still to come, if the rotation was known when it opened; else the next one.
#[must_use]
pub fn next_due(
    rotation: &Rotation,
    memory: &RotationMemory,
    now: DateTime<Utc>,
) -> Option<(DateTime<Utc>, Window)> {
    let windows = rotation.windows.as_ref()?;
    let anchor = anchor(memory, now);
    let known_at = |at: DateTime<Utc>| memory.first_seen.is_some_and(|seen| seen <= at);
    let window = windows
        .open_window(now, anchor)
        .filter(|open| now < windows.starts(open) && known_at(open.opens))
        .or_else(|| windows.next_window(now, anchor))?;
    Some((windows.starts(&window), window))
}

/// Whether a window that was armed still is one `now`: a success since then has moved where `rate` counts
/// from.
#[must_use]
pub fn still_due(
    rotation: &Rotation,
    memory: &RotationMemory,
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
    use crate::journal::{Run, Trigger};
    use twinkey_stores::VersionId;

    const DAILY: &str = "schedule = \"cron(0 7 * * ? *)\"\nwindow = \"1h\"";

    fn rotation(more: &str) -> Rotation {
        let text = format!(
            "[secrets]\nbackend = \"local\"\n[[rotation]]\nname = \"orders\"\nsecret = \"orders\"\n{more}\n"
        );
        let file = std::path::Path::new("twinkey.toml");
        let mut settings = crate::config::parse(file, &text, &Default::default()).unwrap();
        settings.rotations.remove(0)
    }

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-11-{text}Z").parse().unwrap()
    }

    fn window(day: u32) -> Window {
        Window {
            opens: at(&format!("{day}T07:00:00")),
            closes: at(&format!("{day}T08:00:00")),
        }
    }

    fn seen_since(first_seen: &str) -> RotationMemory {
        RotationMemory {
            first_seen: Some(at(first_seen)),
            ..RotationMemory::default()
        }
    }

    fn run(day: u32, state: RunState) -> Option<Run> {
        Some(Run {
            id: uuid::Uuid::nil(),
            rotation: "orders".into(),
            trigger: Trigger::Schedule,
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
    fn a_rotation_on_demand_or_never_seen_before_has_missed_nothing() {
        let now = at("23T07:30:00");
        assert_eq!(
            find(&rotation(""), &seen_since("01T00:00:00"), now),
            Found::Nothing
        );
        let daily = rotation(&format!("{DAILY}\nmissed = \"run\""));
        assert_eq!(
            find(&daily, &RotationMemory::default(), now),
            Found::Nothing
        );
        assert_eq!(
            find(&daily, &seen_since("23T07:10:00"), now),
            Found::Nothing,
            "the window was open before anybody asked for it"
        );
    }

    #[test]
    fn an_open_window_is_taken_up_where_a_run_was_begun_or_missed_says_run() {
        let now = at("23T07:30:00");
        let (skip, run_it) = (
            rotation(DAILY),
            rotation(&format!("{DAILY}\nmissed = \"run\"")),
        );
        let mut memory = seen_since("01T00:00:00");
        memory.last_in_window = run(22, RunState::Succeeded);
        assert_eq!(find(&run_it, &memory, now), Found::Open(window(23)));
        assert_eq!(find(&skip, &memory, now), Found::Missed(window(23)));
        for state in [RunState::Running, RunState::Deferred] {
            memory.last_in_window = run(23, state);
            assert_eq!(find(&skip, &memory, now), Found::Begun(window(23)));
        }
        for state in [RunState::Succeeded, RunState::Failed, RunState::Missed] {
            memory.last_in_window = run(23, state);
            assert_eq!(find(&run_it, &memory, now), Found::Nothing);
        }
    }

    #[test]
    fn of_the_windows_that_went_by_the_last_is_reported_once() {
        let daily = rotation(DAILY);
        let mut memory = seen_since("01T00:00:00");
        let now = at("23T09:00:00");
        assert_eq!(find(&daily, &memory, now), Found::Missed(window(23)));
        memory.last_in_window = run(22, RunState::Succeeded);
        assert_eq!(find(&daily, &memory, now), Found::Missed(window(23)));
        memory.last_in_window = run(23, RunState::Missed);
        assert_eq!(find(&daily, &memory, now), Found::Nothing);
        assert_eq!(
            find(&daily, &seen_since("23T07:10:00"), now),
            Found::Nothing
        );
    }

    #[test]
    fn a_window_whose_run_is_not_due_yet_is_armed_and_not_missed() {
        // The name puts the start some minutes into the window.
        let spread = rotation(&format!("{DAILY}\nspread = \"40m\""));
        let plan = spread.windows.as_ref().unwrap();
        let starts = plan.starts(&window(23));
        assert!(starts > window(23).opens, "this name has an offset");
        let memory = seen_since("01T00:00:00");
        let just_before = starts - chrono::TimeDelta::seconds(1);
        assert_eq!(find(&spread, &memory, just_before), Found::Nothing);
        assert_eq!(
            next_due(&spread, &memory, just_before),
            Some((starts, window(23)))
        );
        assert_eq!(find(&spread, &memory, starts), Found::Missed(window(23)));
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
    fn a_success_by_hand_moves_the_window_of_a_rate_and_not_that_of_a_cron() {
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
        let memory = RotationMemory {
            paused: true,
            ..seen_since("01T00:00:00")
        };
        for now in ["23T07:30:00", "23T09:00:00"] {
            assert_eq!(find(&daily, &memory, at(now)), Found::Nothing);
        }
    }
}
