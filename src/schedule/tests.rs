use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use proptest::prelude::*;

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
fn awss_documented_examples_open_when_aws_says() {
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
fn leap_days_year_ends_and_the_edges_of_months_are_where_the_calendar_has_them() {
    for (expression, after, expected) in [
        (
            "cron(0 0 29 2 ? *)",
            "2024-02-29 00:00",
            vec!["2028-02-29 00:00", "2032-02-29 00:00"],
        ),
        // 2100 is no leap year.
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
        // Sunday 15 February 2026 looks ahead, Saturday 15 August 2026 looks back.
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
fn an_opening_is_strictly_after_and_the_last_year_is_the_end() {
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
fn every_mistake_is_pointed_at() {
    for (text, part, message) in [
        ("", "", "the schedule is empty"),
        (
            "0 7 * * *",
            "0 7 * * *",
            "a schedule is cron(…) or rate(…), in lower case",
        ),
        (
            "@daily",
            "@daily",
            "a schedule is cron(…) or rate(…), in lower case",
        ),
        (
            "CRON(0 7 * * ? *)",
            "CRON(0 7 * * ? *)",
            "a schedule is cron(…) or rate(…), in lower case",
        ),
        (
            "cron(0 7 * * ? *",
            "cron(0 7 * * ? *",
            "the closing parenthesis is missing",
        ),
        (
            "cron(0 7 * * ? *) x",
            " x",
            "something follows the closing parenthesis",
        ),
        (
            "cron(0 10 * 2,5 2)",
            "0 10 * 2,5 2",
            "cron has 5 fields here, and takes 6",
        ),
        (
            "cron(0 0 7 * * ? *)",
            "0 0 7 * * ? *",
            "cron has 7 fields here, and takes 6",
        ),
        (" cron(60 7 * * ? *)", "60", "minutes: 60 is not in 0-59"),
        ("cron(0 24 * * ? *)", "24", "hours: 24 is not in 0-23"),
        ("cron(0 7,x * * ? *)", "x", "hours: \"x\" is not understood"),
        ("cron(0 7, * * ? *)", "", "hours: a value is missing"),
        (
            "cron(0 7-8-9 * * ? *)",
            "7-8-9",
            "hours: \"7-8-9\" is not a range",
        ),
        (
            "cron(0 1/2/3 * * ? *)",
            "1/2/3",
            "hours: \"1/2/3\" has more than one step",
        ),
        (
            "cron(0 /48 * * ? *)",
            "48",
            "hours: the step \"48\" is not in 1-24",
        ),
        (
            "cron(0 0/0 * * ? *)",
            "0",
            "hours: the step \"0\" is not in 1-24",
        ),
        (
            "cron(0 +7 * * ? *)",
            "+7",
            "hours: \"+7\" is not understood",
        ),
        (
            "cron(0 ? * * ? *)",
            "?",
            "hours: ? stands alone, as the day-of-month or as the day-of-week",
        ),
        (
            "cron(0 7 32 * ? *)",
            "32",
            "day-of-month: 32 is not in 1-31",
        ),
        ("cron(0 7 0W * ? *)", "0", "day-of-month: 0 is not in 1-31"),
        (
            "cron(0 7 1L * ? *)",
            "1L",
            "day-of-month: \"1L\" is not understood",
        ),
        ("cron(0 7 * 13 ? *)", "13", "month: 13 is not in 1-12"),
        (
            "cron(0 7 * JULY ? *)",
            "JULY",
            "month: \"JULY\" is not understood",
        ),
        ("cron(0 7 ? * 0 *)", "0", "day-of-week: 0 is not in 1-7"),
        (
            "cron(0 7 ? * SUN#6 *)",
            "6",
            "day-of-week: #6 is not #1 to #5",
        ),
        (
            "cron(0 7 ? * MON,ÄL *)",
            "Ä",
            "day-of-week: \"Ä\" is not understood",
        ),
        (
            "cron(0 7 * * ? 1969)",
            "1969",
            "year: 1969 is not in 1970-2199",
        ),
        (
            "cron(0 7 * * ? 2030-2026)",
            "2030-2026",
            "year: \"2030-2026\" runs backwards",
        ),
        (
            "cron(0 7 * * * *)",
            "*",
            "day-of-month and day-of-week are both given: one of them must be ?",
        ),
        (
            "cron(0 7 1 * MON *)",
            "1",
            "day-of-month and day-of-week are both given: one of them must be ?",
        ),
        (
            "cron(0 7 ? * ? *)",
            "?",
            "day-of-month and day-of-week are both ?",
        ),
        (
            "cron(0 0 30 2 ? *)",
            "0 0 30 2 ? *",
            "this schedule never fires: no day from 1970 to 2199 matches",
        ),
        (
            "cron(0 0 29 2 ? 2027)",
            "0 0 29 2 ? 2027",
            "this schedule never fires: no day from 1970 to 2199 matches",
        ),
        ("rate()", "", "rate takes a number and a unit, not \"\""),
        (
            "rate(30days)",
            "30days",
            "rate takes a number and a unit, not \"30days\"",
        ),
        (
            "rate(0 days)",
            "0",
            "the rate \"0\" is not a whole number from 1",
        ),
        (
            "rate(1.5 hours)",
            "1.5",
            "the rate \"1.5\" is not a whole number from 1",
        ),
        ("rate(2 weeks)", "weeks", "rate has no weeks"),
        (
            "rate(2 fortnights)",
            "fortnights",
            "the unit \"fortnights\" is not minutes, hours or days",
        ),
        (
            "rate(1001 days)",
            "1001",
            "the rate is longer than 1000 days",
        ),
        (
            "rate(99999999999999999 days)",
            "99999999999999999",
            "the rate is longer than 1000 days",
        ),
    ] {
        let error = Schedule::parse(text).unwrap_err();
        assert_eq!(error.message, message, "{text}");
        assert_eq!(&text[error.span.0..error.span.1], part, "{text}");
        assert!(!error.hint.is_empty());
    }
    let error = Schedule::parse("cron(0 7 * * * *)").unwrap_err();
    assert_eq!(error.span, (13, 14), "the second star is the one to change");
}

#[test]
fn what_aws_would_refuse_is_said_and_its_own_examples_are_not() {
    let hours = |n: u64| Duration::from_secs(n * 3600);
    for (text, window, part) in [
        ("cron(30 7 * * ? *)", hours(1), "minutes to be 0"),
        ("cron(0 7 * * ? 2027)", hours(1), "year to be *"),
        ("cron(0 7 15W * ? *)", hours(1), "no W"),
        ("cron(0 7 ? * SUN#1,SUN#3 *)", hours(1), "# only by itself"),
        (
            "cron(0 0/3 * * ? *)",
            hours(1),
            "4 hours apart, and one opens at 00:00 and the next at 03:00",
        ),
        (
            "cron(0 1,22 * * ? *)",
            hours(1),
            "22:00 and the next at 01:00 of the following day",
        ),
        ("cron(0 7 * * ? *)", Duration::from_secs(900), "whole hours"),
        ("cron(0 23 * * ? *)", hours(2), "end of its UTC day"),
        ("rate(90 minutes)", hours(1), "no rate of minutes"),
        ("rate(3 hours)", hours(1), "4 hours apart"),
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

fn item(least: u16, most: u16) -> impl Strategy<Value = String> {
    let n = least..=most;
    let step = 1..=(most - least + 1).min(12);
    prop_oneof![
        4 => n.clone().prop_map(|n| n.to_string()),
        2 => Just("*".to_owned()),
        2 => (n.clone(), n.clone()).prop_map(|(a, b)| format!("{a}-{b}")),
        2 => (n.clone(), step.clone()).prop_map(|(a, s)| format!("{a}/{s}")),
        1 => step.clone().prop_map(|s| format!("/{s}")),
        1 => (n.clone(), n, step).prop_map(|(a, b, s)| format!("{a}-{b}/{s}")),
    ]
}

fn list(item: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    prop::collection::vec(item, 1..3).prop_map(|items| items.join(","))
}

fn days() -> impl Strategy<Value = (String, String)> {
    let name = prop::sample::select(vec!["SUN", "mon", "TUE", "Wed", "THU", "FRI", "SAT"]);
    let month = prop_oneof![
        3 => item(1, 31),
        1 => Just("L".to_owned()),
        1 => Just("LW".to_owned()),
        2 => (1..=31).prop_map(|n| format!("{n}W")),
        1 => name.clone().prop_map(|n| format!("{n}L")),
    ];
    let week = prop_oneof![
        3 => item(1, 7),
        1 => Just("L".to_owned()),
        2 => (name.clone(), 1..=5).prop_map(|(d, n)| format!("{d}#{n}")),
        1 => (1..=7).prop_map(|n| format!("{n}L")),
        1 => (name.clone(), name).prop_map(|(a, b)| format!("{a}-{b}")),
    ];
    prop_oneof![
        list(month).prop_map(|m| (m, "?".to_owned())),
        list(week).prop_map(|w| ("?".to_owned(), w)),
    ]
}

fn expression() -> impl Strategy<Value = String> {
    let month = prop_oneof![
        item(1, 12),
        prop::sample::select(vec!["feb", "NOV-FEB", "JAN-MAR"]).prop_map(str::to_owned),
    ];
    let year = prop_oneof![
        3 => Just("*".to_owned()),
        1 => (2020_u16..2032).prop_map(|y| format!("{y}/3")),
        1 => (2024_u16..2028, 0_u16..6).prop_map(|(y, n)| format!("{y}-{}", y + n)),
    ];
    (
        list(item(0, 59)),
        list(item(0, 23)),
        days(),
        list(month),
        year,
    )
        .prop_map(|(m, h, (dom, dow), month, y)| format!("cron({m} {h} {dom} {month} {dow} {y})"))
}

proptest! {
    #[test]
    fn the_next_opening_is_the_one_that_looking_at_every_minute_finds(
        text in expression(),
        seconds in 1_740_000_000_i64..1_900_000_000,
    ) {
        let after = DateTime::from_timestamp(seconds, 0).unwrap();
        let horizon = NaiveDate::from_ymd_opt(2036, 12, 31).unwrap();
        let brute = brute::next_after(&text, after, horizon);
        match Schedule::parse(&text) {
            Ok(schedule) => {
                let next = schedule.next_after(after, after);
                prop_assert_eq!(next.filter(|n| n.date_naive() <= horizon), brute, "{}", text);
            }
            Err(error) => {
                prop_assert!(error.message.contains("never fires"), "{}: {}", text, error);
                prop_assert_eq!(brute, None, "{}", text);
            }
        }
    }

    #[test]
    fn no_text_panics_and_every_span_is_inside_it(text in "[ ]?(cron|rate)?[(]?[-0-9A-Za-z#?*/, äL]{0,30}[)]?") {
        if let Err(error) = Schedule::parse(&text) {
            prop_assert!(text.get(error.span.0..error.span.1).is_some(), "{:?} {:?}", text, error);
        }
    }

    #[test]
    fn windows_that_are_taken_never_overlap_and_those_refused_do(
        hours in list(item(0, 23)), days in days(), minutes in 5_u64..1440,
    ) {
        let text = format!("cron(0 {hours} {} * {} 2026)", days.0, days.1);
        let length = Duration::from_secs(minutes * 60);
        let Ok(schedule) = Schedule::parse(&text) else { return Ok(()) };
        let mut gaps = Vec::new();
        let mut last = schedule.next_after(at("2025-12-31 23:59"), at("2026-01-01 00:00"));
        while let Some(opening) = last {
            last = schedule.next_after(opening, opening);
            gaps.extend(last.map(|next| next - opening));
        }
        let overlaps = gaps.iter().any(|gap| gap.to_std().unwrap() < length);
        prop_assert_eq!(WindowPlan::new(schedule, length, Duration::ZERO).is_err(), overlaps, "{}", text);
    }

    #[test]
    fn the_open_window_is_the_one_that_holds_the_instant(
        text in expression(), length in 300_u64..7200, seconds in 1_740_000_000_i64..1_800_000_000,
    ) {
        let Ok(schedule) = Schedule::parse(&text) else { return Ok(()) };
        let Ok(plan) = WindowPlan::new(schedule, Duration::from_secs(length), Duration::ZERO) else { return Ok(()) };
        let now = DateTime::from_timestamp(seconds, 0).unwrap();
        let next = plan.next_window(now, now);
        for instant in [Some(now), next.map(|w| w.opens), next.map(|w| w.closes)].into_iter().flatten() {
            // Minute by minute backwards: the openings whose window holds the instant.
            let mut expected = None;
            for back in 0..=length / 60 {
                let minute = instant.timestamp().div_euclid(60) * 60 - i64::try_from(back * 60).unwrap();
                let opens = DateTime::from_timestamp(minute, 0).unwrap();
                let before = opens - chrono::TimeDelta::seconds(1);
                let open = brute::next_after(&text, before, opens.date_naive()) == Some(opens);
                if open && instant.timestamp() - minute < i64::try_from(length).unwrap() {
                    expected = Some(opens);
                }
            }
            prop_assert_eq!(plan.open_window(instant, now).map(|w| w.opens), expected, "{} {}", text, instant);
        }
    }
}

#[test]
fn a_window_holds_its_opening_and_not_its_closing() {
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
fn a_plan_with_a_bad_length_offset_or_overlap_cannot_be_made() {
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
fn the_demos_windows_may_be_seconds_long_and_follow_each_other_without_a_gap() {
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
fn a_name_always_starts_at_the_same_offset_and_names_are_spread() {
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
