use std::time::Duration;

use chrono::{DateTime, NaiveDate};
use proptest::prelude::*;

use super::super::{Schedule, WindowPlan, brute};
use super::at;

fn item(min: u16, max: u16) -> impl Strategy<Value = String> {
    let n = min..=max;
    let step = 1..=(max - min + 1).min(12);
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
    fn the_next_opening_equals_a_search_of_every_minute(
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
    fn no_text_panics_and_spans_are_inside_the_text(text in "[ ]?(cron|rate)?[(]?[-0-9A-Za-z#?*/, äL]{0,30}[)]?") {
        if let Err(error) = Schedule::parse(&text) {
            prop_assert!(text.get(error.span.0..error.span.1).is_some(), "{:?} {:?}", text, error);
        }
    }

    #[test]
    fn exactly_the_overlapping_windows_are_refused(
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
    fn the_open_window_contains_the_time(
        text in expression(), length in 300_u64..7200, seconds in 1_740_000_000_i64..1_800_000_000,
    ) {
        let Ok(schedule) = Schedule::parse(&text) else { return Ok(()) };
        let Ok(plan) = WindowPlan::new(schedule, Duration::from_secs(length), Duration::ZERO) else { return Ok(()) };
        let now = DateTime::from_timestamp(seconds, 0).unwrap();
        let next = plan.next_window(now, now);
        for instant in [Some(now), next.map(|w| w.opens), next.map(|w| w.closes)].into_iter().flatten() {
            // A search backwards by minute for the opening whose window contains the time.
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
