mod mistakes;
mod properties;
mod windows;

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::*;

fn at(text: &str) -> DateTime<Utc> {
    format!("{}:00Z", text.replace(' ', "T")).parse().unwrap()
}

fn cron(text: &str) -> Schedule {
    Schedule::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// The openings after `after`, as many as are expected.
fn assert_openings(expression: &str, after: &str, expected: &[&str]) {
    let schedule = cron(expression);
    let mut last = at(after);
    for want in expected {
        last = schedule.next_after(last, last).unwrap();
        assert_eq!(last, at(want), "{expression} after {after}");
    }
}

#[test]
fn the_documented_examples_of_aws_open_as_documented() {
    // 2026-11-23 is a Monday.
    for (expression, expected) in [
        (
            "cron(0 /8 * * ? *)",
            ["2026-11-23 16:00", "2026-11-24 00:00", "2026-11-24 08:00"],
        ),
        (
            "cron(0 8/8 * * ? *)",
            ["2026-11-23 16:00", "2026-11-24 08:00", "2026-11-24 16:00"],
        ),
        (
            "cron(0 2/10 * * ? *)",
            ["2026-11-23 12:00", "2026-11-23 22:00", "2026-11-24 02:00"],
        ),
        (
            "cron(0 10 * * ? *)",
            ["2026-11-24 10:00", "2026-11-25 10:00", "2026-11-26 10:00"],
        ),
        (
            "cron(0 18 ? * SAT *)",
            ["2026-11-28 18:00", "2026-12-05 18:00", "2026-12-12 18:00"],
        ),
        (
            "cron(0 8 1 * ? *)",
            ["2026-12-01 08:00", "2027-01-01 08:00", "2027-02-01 08:00"],
        ),
        (
            "cron(0 1 ? 1/3 SUN#1 *)",
            ["2027-01-03 01:00", "2027-04-04 01:00", "2027-07-04 01:00"],
        ),
        (
            "cron(0 17 L * ? *)",
            ["2026-11-30 17:00", "2026-12-31 17:00", "2027-01-31 17:00"],
        ),
        (
            "cron(0 8 ? * MON-FRI *)",
            ["2026-11-24 08:00", "2026-11-25 08:00", "2026-11-26 08:00"],
        ),
        (
            "cron(0 16 1,15 * ? *)",
            ["2026-12-01 16:00", "2026-12-15 16:00", "2027-01-01 16:00"],
        ),
        (
            "cron(0 0 ? * SUN#1 *)",
            ["2026-12-06 00:00", "2027-01-03 00:00", "2027-02-07 00:00"],
        ),
        (
            "cron(0 4/12 * * ? *)",
            ["2026-11-23 16:00", "2026-11-24 04:00", "2026-11-24 16:00"],
        ),
    ] {
        assert_openings(expression, "2026-11-23 10:00", &expected);
    }
}

#[test]
fn leap_days_and_ends_of_months_and_years_are_correct() {
    for (expression, after, expected) in [
        (
            "cron(0 0 29 2 ? *)",
            "2024-02-29 00:00",
            vec!["2028-02-29 00:00", "2032-02-29 00:00"],
        ),
        // 2100 is not a leap year.
        (
            "cron(0 0 29 2 ? *)",
            "2096-02-29 00:00",
            vec!["2104-02-29 00:00"],
        ),
        (
            "cron(59 23 31 12 ? *)",
            "2026-12-31 23:58",
            vec!["2026-12-31 23:59", "2027-12-31 23:59"],
        ),
        (
            "cron(0 0 1 1 ? 2028)",
            "2026-01-01 00:00",
            vec!["2028-01-01 00:00"],
        ),
        (
            "cron(0 0 31 * ? *)",
            "2026-01-31 00:00",
            vec!["2026-03-31 00:00", "2026-05-31 00:00"],
        ),
        (
            "cron(0 0 L * ? *)",
            "2028-02-01 00:00",
            vec!["2028-02-29 00:00", "2028-03-31 00:00"],
        ),
        // Saturday 31 January 2026; Saturday 28 February 2026.
        (
            "cron(0 0 LW * ? *)",
            "2026-01-01 00:00",
            vec!["2026-01-30 00:00", "2026-02-27 00:00"],
        ),
        // Sunday 15 February 2026 moves forward, Saturday 15 August 2026 moves back.
        (
            "cron(0 0 15W 2,8 ? *)",
            "2026-01-01 00:00",
            vec!["2026-02-16 00:00", "2026-08-14 00:00"],
        ),
        // Saturday 1 August 2026 must not become 31 July; Sunday 31 May 2026 must not become 1 June.
        (
            "cron(0 0 1W 8 ? *)",
            "2026-07-01 00:00",
            vec!["2026-08-03 00:00"],
        ),
        (
            "cron(0 0 31W 5,6 ? *)",
            "2026-05-01 00:00",
            vec!["2026-05-29 00:00", "2027-05-31 00:00"],
        ),
        (
            "cron(0 0 ? * SUN#5 *)",
            "2026-11-23 00:00",
            vec!["2026-11-29 00:00", "2027-01-31 00:00", "2027-05-30 00:00"],
        ),
        (
            "cron(0 0 ? * 6L *)",
            "2026-11-23 00:00",
            vec!["2026-11-27 00:00", "2026-12-25 00:00"],
        ),
        (
            "cron(0 0 SUNL * ? *)",
            "2026-11-23 00:00",
            vec!["2026-11-29 00:00", "2026-12-27 00:00"],
        ),
        (
            "cron(0 0 ? * L *)",
            "2026-11-23 00:00",
            vec!["2026-11-28 00:00", "2026-12-05 00:00"],
        ),
        (
            "cron(0 0 ? * fri-Mon *)",
            "2026-11-23 00:00",
            vec![
                "2026-11-27 00:00",
                "2026-11-28 00:00",
                "2026-11-29 00:00",
                "2026-11-30 00:00",
                "2026-12-04 00:00",
            ],
        ),
        (
            "cron(0 22-2/2 * * ? *)",
            "2026-11-23 00:00",
            vec!["2026-11-23 02:00", "2026-11-23 22:00", "2026-11-24 00:00"],
        ),
    ] {
        assert_openings(expression, after, &expected);
    }
}

#[test]
fn the_next_opening_is_strictly_later_until_the_last_year() {
    let schedule = cron("cron(0 7 * * ? *)");
    let seven = at("2026-11-23 07:00");
    assert_eq!(
        schedule.next_after(seven, seven),
        Some(at("2026-11-24 07:00"))
    );
    let before = seven - chrono::TimeDelta::nanoseconds(1);
    assert_eq!(schedule.next_after(before, seven), Some(seven));
    assert_eq!(schedule.next_after(at("2199-12-31 07:00"), seven), None);
    assert_eq!(schedule.next_after(DateTime::<Utc>::MAX_UTC, seven), None);
    assert_eq!(
        schedule.next_after(DateTime::<Utc>::MIN_UTC, seven),
        Some(at("1970-01-01 07:00"))
    );
    assert_eq!(cron("cron(0 0 1 1 ? 2020)").next_after(seven, seven), None);
}

#[test]
fn a_rate_counts_whole_periods_from_its_anchor() {
    let schedule = cron("rate(30 days)");
    let anchor = at("2026-11-01 09:30") + chrono::TimeDelta::milliseconds(250);
    let first = at("2026-12-01 09:30");
    for (after, want) in [
        (at("2020-01-01 00:00"), first),
        (anchor, first),
        (first - chrono::TimeDelta::nanoseconds(1), first),
        (first, at("2026-12-31 09:30")),
        (at("2027-01-29 00:00"), at("2027-01-30 09:30")),
    ] {
        assert_eq!(schedule.next_after(after, anchor), Some(want));
    }
    assert_eq!(
        cron("rate(1 hours)").next_after(first, first),
        Some(at("2026-12-01 10:30"))
    );
    assert_eq!(schedule.next_after(DateTime::<Utc>::MAX_UTC, anchor), None);
}

#[test]
fn limits_of_aws_are_reported_except_for_its_own_examples() {
    let hours = |n: u64| Duration::from_secs(n * 3600);
    for (text, window, part) in [
        ("cron(30 7 * * ? *)", hours(1), "minutes to be 0"),
        ("cron(0 7 * * ? 2027)", hours(1), "year to be *"),
        ("cron(0 7 15W * ? *)", hours(1), "not support W"),
        ("cron(0 7 ? * SUN#1,SUN#3 *)", hours(1), "# only alone"),
        (
            "cron(0 0/3 * * ? *)",
            hours(1),
            "4 hours between rotations, and one opens at 00:00 and the next at 03:00",
        ),
        (
            "cron(0 1,22 * * ? *)",
            hours(1),
            "22:00 and the next at 01:00 of the following day",
        ),
        ("cron(0 7 * * ? *)", Duration::from_secs(900), "whole hours"),
        ("cron(0 23 * * ? *)", hours(2), "end of its UTC day"),
        ("rate(90 minutes)", hours(1), "a rate of minutes"),
        ("rate(3 hours)", hours(1), "4 hours between"),
        ("rate(1 days)", hours(1), "rate(1 day)"),
        ("rate(30 days)", Duration::from_secs(900), "whole hours"),
    ] {
        let reason = cron(text).aws_refuses(window).unwrap_or_default();
        assert!(reason.contains(part), "{text}: {reason:?}");
    }
    for text in [
        "cron(0 /8 * * ? *)",
        "cron(0 18 ? * SAT *)",
        "cron(0 1 ? 1/3 SUN#1 *)",
        "cron(0 17 L * ? *)",
        "cron(0 1,22 ? * SUN *)",
        "cron(0 16 1,15 * ? *)",
        "rate(4 hours)",
        "rate(1 day)",
    ] {
        assert_eq!(cron(text).aws_refuses(hours(1)), None, "{text}");
    }
}
