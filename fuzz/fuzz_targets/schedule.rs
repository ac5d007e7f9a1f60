//! A text as a schedule: an error has a range inside the text, and a schedule has ordered windows.
#![no_main]

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use libfuzzer_sys::fuzz_target;
use twinkey::schedule::{Schedule, ScheduleError, WindowPlan};

fuzz_target!(|text: &str| {
    match Schedule::parse(text) {
        Ok(schedule) => fires_in_order(&schedule, text),
        Err(error) => points_inside(&error, text),
    }
});

fn points_inside(error: &ScheduleError, text: &str) {
    let (from, to) = error.span;
    let part = text
        .get(from..to)
        .expect("a range of the text, between characters");
    assert!(!error.message.is_empty() && !error.hint.is_empty());
    // The range covers a whole word: in `rate(11 1)` the second 1 is wrong, not the first.
    let single = !part.is_empty() && !part.contains(char::is_whitespace);
    if single && text.trim_start().starts_with("rate(") {
        let after = text[to..].chars().next();
        assert!(
            after.is_none_or(|c| c == ')' || c.is_whitespace()),
            "{error:?}"
        );
    }
}

fn fires_in_order(schedule: &Schedule, text: &str) {
    assert_eq!(schedule.to_string(), text.trim());
    assert_eq!(
        Schedule::parse(&schedule.to_string()).as_ref(),
        Ok(schedule)
    );
    let (after, anchor) = (moment(text, 1), moment(text, 2));
    if let Some(next) = schedule.next_after(after, anchor) {
        assert!(next > after, "strictly after");
        let just_before = next - TimeDelta::seconds(1);
        if just_before >= after {
            assert_eq!(
                schedule.next_after(just_before, anchor),
                Some(next),
                "no window is between"
            );
        }
    }
    for minutes in [5, 60, 24 * 60] {
        let length = Duration::from_secs(minutes * 60);
        let refused = schedule.aws_refuses(length);
        assert!(refused.is_none_or(|why| !why.is_empty()));
        if let Ok(plan) = WindowPlan::new(schedule.clone(), length, Duration::ZERO) {
            do_not_overlap(&plan, after, anchor);
        }
    }
}

fn do_not_overlap(plan: &WindowPlan, after: DateTime<Utc>, anchor: DateTime<Utc>) {
    let mut at = after;
    let mut before = None;
    for _ in 0..4 {
        let Some(window) = plan.next_window(at, anchor) else {
            return;
        };
        assert!(
            before.is_none_or(|closes| closes <= window.opens),
            "windows overlap"
        );
        assert_eq!(plan.open_window(window.opens, anchor), Some(window));
        let last = window.closes - TimeDelta::seconds(1);
        assert_eq!(plan.open_window(last, anchor), Some(window));
        before = Some(window.closes);
        at = window.opens;
    }
}

/// A second from 1970 to 2199, derived from the text.
fn moment(text: &str, salt: u64) -> DateTime<Utc> {
    const SPAN: u64 = 230 * 365 * 86_400;
    let hash = text.bytes().fold(salt, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    DateTime::from_timestamp((hash % SPAN) as i64, 0).expect("in range")
}
