//! The windows of the next hours, for a picture of them: pure.
//!
//! What can go wrong, and what prevents it:
//! - the window that is open now is left out, because its opening is past: it comes first;
//! - a schedule of seconds (the demo's) has tens of thousands of windows in a day: those that follow one
//!   another too closely to be told apart in a picture are one [`Block`].

use chrono::{DateTime, TimeDelta, Utc};

use crate::config::settings::Rotation;
use crate::journal::RotationMemory;
use crate::schedule::WindowPlan;
use crate::worker::views::anchor;

/// How far ahead the picture reaches.
pub const AHEAD: TimeDelta = TimeDelta::hours(24);
/// Windows that are closer together than this are drawn as one.
const TELLABLE: TimeDelta = TimeDelta::minutes(2);

/// One window, or several in close succession.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    pub opens: DateTime<Utc>,
    pub closes: DateTime<Utc>,
    /// When the run of the first window starts: its opening, and the rotation's `spread` after it.
    pub starts: DateTime<Utc>,
    pub windows: u32,
}

/// The windows of a rotation that are open at `now` or open in the time that the picture shows, in order. None
/// while it is paused. Those of `rate` after the next one are as if every run succeeded at its opening.
#[must_use]
pub fn outlook(rotation: &Rotation, memory: &RotationMemory, now: DateTime<Utc>) -> Vec<Block> {
    match &rotation.windows {
        Some(plan) if !memory.paused => blocks(plan, anchor(memory, now), now, now + AHEAD),
        _ => Vec::new(),
    }
}

fn blocks(
    plan: &WindowPlan,
    anchor: DateTime<Utc>,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let open = plan.open_window(from, anchor);
    let mut next = open.or_else(|| plan.next_window(from, anchor));
    while let Some(window) = next.filter(|window| window.opens < until) {
        match blocks.last_mut() {
            Some(last) if window.opens - last.closes < TELLABLE => {
                last.closes = window.closes;
                last.windows += 1;
            }
            _ => blocks.push(Block {
                opens: window.opens,
                closes: window.closes,
                starts: plan.starts(&window),
                windows: 1,
            }),
        }
        next = plan.next_window(window.opens, anchor);
    }
    blocks
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
        blocks(&plan, at("25T00:30"), from, from + AHEAD)
            .iter()
            .map(|block| {
                assert_eq!(block.starts, block.opens + minutes(spread));
                (text(block.opens), text(block.closes), block.windows)
            })
            .collect()
    }

    fn one(opens: &str, closes: &str) -> (String, String, u32) {
        (opens.into(), closes.into(), 1)
    }

    #[test]
    fn every_window_of_the_next_day_is_there_and_no_other() {
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
    fn a_window_that_is_open_now_comes_first_and_one_that_opens_a_day_from_now_not_at_all() {
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
    fn windows_that_follow_closely_on_one_another_are_one_block() {
        assert_eq!(
            shown("cron(0/5 7 * * ? *)", 5, 0, "25T10:00"),
            [("26T07:00".into(), "26T08:00".into(), 12)]
        );
        let every = WindowPlan::for_demo(Schedule::every_seconds(4), Duration::from_secs(3));
        let now = at("25T10:00");
        let all = blocks(&every.unwrap(), now, now, now + AHEAD);
        assert_eq!((all.len(), all[0].windows), (1, 24 * 3600 / 4));
    }
}
