//! Windows of the next hours, for the dashboard's chart. Pure.
//!
//! # Failure modes
//! - The open window is missing, because its opening is in the past. It is the first one.
//! - A schedule of seconds (the demo's) has tens of thousands of windows a day. Windows that are
//!   too close to draw apart form one [`WindowGroup`].

use chrono::{DateTime, TimeDelta, Utc};

use crate::config::settings::Rotation;
use crate::journal::RotationRecord;
use crate::schedule::WindowPlan;
use crate::worker::rotation_state::pause;
use crate::worker::views::anchor;

/// Time span of the chart.
pub const AHEAD: TimeDelta = TimeDelta::hours(24);
/// Gap below which two windows form one group.
const MIN_GAP: TimeDelta = TimeDelta::minutes(2);

/// One window, or several with small gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowGroup {
    pub opens: DateTime<Utc>,
    pub closes: DateTime<Utc>,
    /// Start of the first window's run: its opening plus the rotation's `spread`.
    pub starts: DateTime<Utc>,
    pub windows: u32,
}

/// The windows of a rotation that are open at `now` or open within [`AHEAD`], in order.
///
/// A paused rotation has those that open when the pause is over. For `rate` each run is assumed to
/// succeed at its opening.
#[must_use]
pub fn upcoming(
    rotation: &Rotation,
    memory: &RotationRecord,
    now: DateTime<Utc>,
) -> Vec<WindowGroup> {
    let Some(plan) = &rotation.windows else {
        return Vec::new();
    };
    let mut groups = groups(plan, anchor(memory, now), now, now + AHEAD);
    if let Some(pause) = pause(rotation, memory, now) {
        groups.retain(|group| pause.until.is_some_and(|until| until <= group.opens));
    }
    groups
}

fn groups(
    plan: &WindowPlan,
    anchor: DateTime<Utc>,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Vec<WindowGroup> {
    let mut groups: Vec<WindowGroup> = Vec::new();
    let open = plan.open_window(from, anchor);
    let mut next = open.or_else(|| plan.next_window(from, anchor));
    while let Some(window) = next.filter(|window| window.opens < until) {
        match groups.last_mut() {
            Some(last) if window.opens - last.closes < MIN_GAP => {
                last.closes = window.closes;
                last.windows += 1;
            }
            _ => groups.push(WindowGroup {
                opens: window.opens,
                closes: window.closes,
                starts: plan.starts(&window),
                windows: 1,
            }),
        }
        next = plan.next_window(window.opens, anchor);
    }
    groups
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::schedule::Schedule;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-11-{text}:00Z").parse().unwrap()
    }

    fn shown(schedule: &str, length: u64, spread: u64, from: &str) -> Vec<(String, String, u32)> {
        let minutes = |m| Duration::from_secs(m * 60);
        let schedule = Schedule::parse(schedule).unwrap();
        let plan = WindowPlan::new(schedule, minutes(length), minutes(spread)).unwrap();
        let from = at(from);
        let text = |at: DateTime<Utc>| at.format("%dT%H:%M").to_string();
        groups(&plan, at("25T00:30"), from, from + AHEAD)
            .iter()
            .map(|group| {
                assert_eq!(group.starts, group.opens + minutes(spread));
                (text(group.opens), text(group.closes), group.windows)
            })
            .collect()
    }

    fn one(opens: &str, closes: &str) -> (String, String, u32) {
        (opens.into(), closes.into(), 1)
    }

    #[test]
    fn lists_every_window_of_the_next_day() {
        assert_eq!(
            shown("cron(0 3,15 * * ? *)", 60, 10, "25T10:00"),
            [one("25T15:00", "25T16:00"), one("26T03:00", "26T04:00")]
        );
        assert_eq!(
            shown("rate(10 hours)", 30, 0, "25T10:00"),
            [
                one("25T10:30", "25T11:00"),
                one("25T20:30", "25T21:00"),
                one("26T06:30", "26T07:00")
            ]
        );
        assert_eq!(shown("cron(0 3 1 * ? *)", 60, 0, "25T10:00"), []);
    }

    #[test]
    fn the_open_window_is_first_and_one_a_day_ahead_is_excluded() {
        assert_eq!(
            shown("cron(0 10 * * ? *)", 60, 0, "25T10:59"),
            [one("25T10:00", "25T11:00"), one("26T10:00", "26T11:00")]
        );
        assert_eq!(
            shown("cron(0 10 * * ? *)", 60, 0, "25T10:00"),
            [one("25T10:00", "25T11:00")]
        );
        assert_eq!(
            shown("cron(0 10 * * ? *)", 60, 0, "25T11:00"),
            [one("26T10:00", "26T11:00")]
        );
    }

    #[test]
    fn windows_with_small_gaps_form_one_group() {
        assert_eq!(
            shown("cron(0/5 7 * * ? *)", 5, 0, "25T10:00"),
            [("26T07:00".into(), "26T08:00".into(), 12)]
        );
        let every = WindowPlan::for_demo(Schedule::every_seconds(4), Duration::from_secs(3));
        let now = at("25T10:00");
        let all = groups(&every.unwrap(), now, now, now + AHEAD);
        assert_eq!((all.len(), all[0].windows), (1, 24 * 3600 / 4));
    }
}
