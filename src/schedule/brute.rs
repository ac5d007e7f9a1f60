//! Independent implementation of `cron(…)` for tests: it checks each minute against the expression.
//!
//! It shares no code with the parser.

use chrono::{DateTime, Datelike, NaiveDate, Timelike, Utc};

fn number(text: &str) -> i64 {
    const NAMES: [(&str, i64); 19] = [
        ("SUN", 1),
        ("MON", 2),
        ("TUE", 3),
        ("WED", 4),
        ("THU", 5),
        ("FRI", 6),
        ("SAT", 7),
        ("JAN", 1),
        ("FEB", 2),
        ("MAR", 3),
        ("APR", 4),
        ("MAY", 5),
        ("JUN", 6),
        ("JUL", 7),
        ("AUG", 8),
        ("SEP", 9),
        ("OCT", 10),
        ("NOV", 11),
        ("DEC", 12),
    ];
    NAMES
        .iter()
        .find(|(name, _)| *name == text)
        .map_or_else(|| text.parse().unwrap(), |(_, n)| *n)
}

/// Whether `x` is in an item over `min..=max`, by iteration from the first value.
fn plain(item: &str, x: i64, min: i64, max: i64) -> bool {
    let (range, step) = item.split_once('/').unwrap_or((item, "1"));
    let step: i64 = step.parse().unwrap();
    let (from, to) = match range.split_once('-') {
        Some((from, to)) => (number(from), number(to)),
        None if range == "*" || range.is_empty() => (min, max),
        None if item.contains('/') => (number(range), max),
        None => (number(range), number(range)),
    };
    let to = if to < from { to + (max - min + 1) } else { to };
    let mut at = from;
    while at <= to {
        if at == x || at - (max - min + 1) == x {
            return true;
        }
        at += step;
    }
    false
}

fn week(date: NaiveDate) -> i64 {
    i64::from(date.weekday().number_from_sunday())
}

fn is_working(date: NaiveDate) -> bool {
    (2..=6).contains(&week(date))
}

fn is_last(date: NaiveDate) -> bool {
    date.succ_opt().unwrap().month() != date.month()
}

fn last_of_month(date: NaiveDate) -> NaiveDate {
    date.iter_days().find(|d| is_last(*d)).unwrap()
}

fn day_of_month(item: &str, date: NaiveDate) -> bool {
    if item == "L" {
        return is_last(date);
    }
    if item == "LW" {
        let rest = date
            .iter_days()
            .skip(1)
            .take_while(|d| d.month() == date.month());
        return is_working(date) && !rest.into_iter().any(is_working);
    }
    if let Some(name) = item.strip_suffix('L') {
        return week(date) == number(name) && (last_of_month(date) - date).num_days() < 7;
    }
    if let Some(day) = item.strip_suffix('W') {
        let Some(target) = date.with_day(u32::try_from(number(day)).unwrap()) else {
            return false;
        };
        // The nearest working day of the month; for a Saturday, Friday comes first.
        let nearest = (1..=31)
            .filter_map(|d| date.with_day(d))
            .filter(|d| is_working(*d))
            .min_by_key(|d| (*d - target).num_days().abs())
            .unwrap();
        return date == nearest;
    }
    plain(item, i64::from(date.day()), 1, 31)
}

fn day_of_week(item: &str, date: NaiveDate) -> bool {
    if item == "L" {
        return week(date) == 7;
    }
    if let Some((day, nth)) = item.split_once('#') {
        let so_far = (1..=date.day())
            .filter(|d| week(date.with_day(*d).unwrap()) == number(day))
            .count();
        return week(date) == number(day) && so_far == nth.parse::<usize>().unwrap();
    }
    if let Some(day) = item.strip_suffix('L') {
        return week(date) == number(day) && (last_of_month(date) - date).num_days() < 7;
    }
    plain(item, week(date), 1, 7)
}

/// Whether a day matches.
pub(super) fn day_matches(expression: &str, date: NaiveDate) -> bool {
    let upper = expression.to_uppercase();
    let fields: Vec<&str> = upper[5..upper.len() - 1].split(' ').collect();
    let any = |field: &str, matches: &dyn Fn(&str) -> bool| field.split(',').any(matches);
    any(fields[5], &|i| plain(i, i64::from(date.year()), 1970, 2199))
        && any(fields[3], &|i| plain(i, i64::from(date.month()), 1, 12))
        && (fields[2] == "?" || any(fields[2], &|i| day_of_month(i, date)))
        && (fields[4] == "?" || any(fields[4], &|i| day_of_week(i, date)))
}

/// Whether a minute of a matching day matches.
fn time_matches(expression: &str, at: DateTime<Utc>) -> bool {
    let fields: Vec<&str> = expression[5..expression.len() - 1].split(' ').collect();
    fields[1]
        .split(',')
        .any(|i| plain(i, i64::from(at.hour()), 0, 23))
        && fields[0]
            .split(',')
            .any(|i| plain(i, i64::from(at.minute()), 0, 59))
}

/// The first matching minute after `after`, by a search of every minute of every matching day until `until`.
pub(super) fn next_after(
    expression: &str,
    after: DateTime<Utc>,
    until: NaiveDate,
) -> Option<DateTime<Utc>> {
    after
        .date_naive()
        .iter_days()
        .take_while(|day| *day <= until)
        .filter(|day| day_matches(expression, *day))
        .find_map(|day| {
            (0..1440)
                .map(|minute| {
                    day.and_hms_opt(minute / 60, minute % 60, 0)
                        .unwrap()
                        .and_utc()
                })
                .find(|at| *at > after && time_matches(expression, *at))
        })
}
