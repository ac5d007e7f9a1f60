use std::time::Duration;

use super::super::{Schedule, WindowPlan, spread_offset};
use super::{at, cron};

#[test]
fn a_window_includes_its_opening_and_not_its_closing() {
    let plan = WindowPlan::new(
        cron("cron(0 7,8 * * ? *)"),
        Duration::from_secs(3600),
        Duration::from_secs(600),
    )
    .unwrap();
    let seven = at("2026-11-23 07:00");
    let window = plan.open_window(seven, seven).unwrap();
    assert_eq!(
        (window.opens, window.closes),
        (seven, at("2026-11-23 08:00"))
    );
    assert!(window.contains(seven) && !window.contains(window.closes));
    assert_eq!(
        plan.open_window(window.closes, seven).unwrap().opens,
        window.closes
    );
    assert_eq!(plan.open_window(at("2026-11-23 09:00"), seven), None);
    assert_eq!(plan.starts(&window), at("2026-11-23 07:10"));
}

#[test]
fn a_plan_with_a_bad_length_offset_or_overlap_is_refused() {
    let m = |n: u64| Duration::from_secs(n * 60);
    let new = |text, length, offset| {
        WindowPlan::new(cron(text), length, offset).map_err(|e| e.to_string())
    };
    for length in [m(4), m(1441), Duration::from_millis(600_500)] {
        assert_eq!(
            new("rate(30 days)", length, m(0)).unwrap_err(),
            "a window is 5m to 24h long, in whole seconds"
        );
    }
    assert_eq!(
        new("rate(30 days)", m(60), m(60)).unwrap_err(),
        "the run would start 1h after the opening of a window of 1h"
    );
    assert_eq!(
        new("cron(0 8,10 * * ? *)", m(180), m(0)).unwrap_err(),
        "a window of 3h is still open when the next one opens: one opens at 08:00 and the next at 10:00"
    );
    assert_eq!(
        new("cron(0 1,23 31,1 * ? *)", m(150), m(0)).unwrap_err(),
        "a window of 150m is still open when the next one opens: one opens at 23:00 and the next at 01:00 of the following day"
    );
    assert_eq!(
        new("rate(10 minutes)", m(15), m(0)).unwrap_err(),
        "a window of 15m is still open when the next one opens: one opens every 10m"
    );
    assert!(new("cron(0 1,23 ? * SUN *)", m(150), m(0)).is_ok());
    assert!(new("rate(15 minutes)", m(15), m(0)).is_ok());
    assert!(new("cron(0 0 * * ? *)", m(1440), m(0)).is_ok());
}

#[test]
fn windows_of_the_demo_follow_without_a_gap() {
    let seconds = Duration::from_secs;
    let plan = WindowPlan::for_demo(Schedule::every_seconds(5), seconds(5)).unwrap();
    let now = at("2026-11-23 07:00") + chrono::TimeDelta::milliseconds(7300);
    let open = plan.open_window(now, now).unwrap();
    let next = plan.next_window(now, now).unwrap();
    assert_eq!(
        open.opens,
        at("2026-11-23 07:00") + chrono::TimeDelta::seconds(5)
    );
    assert_eq!(open.closes, next.opens);
    assert!(WindowPlan::for_demo(Schedule::every_seconds(5), seconds(6)).is_err());
    assert!(WindowPlan::for_demo(Schedule::every_seconds(5), seconds(0)).is_err());
}

#[test]
fn the_offset_of_a_name_is_constant_and_evenly_distributed() {
    let spread = Duration::from_secs(600);
    // The first eight bytes of SHA-256("orders"), by sha256sum, modulo 600.
    assert_eq!(spread_offset("orders", spread), Duration::from_secs(388));
    assert_eq!(spread_offset("orders", Duration::ZERO), Duration::ZERO);
    let all: std::collections::HashSet<Duration> = (0..1000)
        .map(|n| spread_offset(&format!("r{n}"), spread))
        .collect();
    assert!(all.iter().all(|offset| *offset < spread));
    assert!(all.len() > 400, "{}", all.len());
}
