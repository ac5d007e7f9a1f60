//! Parsed `cron(…)` as sets of minutes, hours, days, months and years.
//!
//! # Failure modes
//! - A search of every minute is too slow for `29 FEB`: the matching days of a month are computed as a bit
//!   set, and the search visits only years, months and set bits, at most 2,760 months.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Datelike, Days as ChronoDays, NaiveDate, NaiveTime, Timelike, Utc};

use super::window::Overlap;

/// The years of AWS's grammar.
pub(super) const YEARS: RangeInclusive<u16> = 1970..=2199;

/// A set of small numbers.
pub(super) type Bits = u64;

/// An expression as sets. Days of the week are 1 (Sunday) to 7 (Saturday), as AWS counts them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Cron {
    pub minutes: Bits,
    pub hours: Bits,
    pub days: Days,
    pub months: Bits,
    /// Sorted and distinct.
    pub years: Arc<[u16]>,
}

/// The days of a month: the union of all fields.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Days {
    /// `15`.
    pub of_month: Bits,
    /// `L`.
    pub last: bool,
    /// `LW`: the last Monday to Friday.
    pub last_working: bool,
    /// `15W`: the Monday to Friday nearest to the 15th, in the same month; none in a month without that day.
    pub nearest_working: Bits,
    /// `SUN`.
    pub of_week: Bits,
    /// `SUNL`, `1L`: the last one of the month.
    pub last_of_week: Bits,
    /// `SUN#2`: (day of the week, which one of the month).
    pub nth_of_week: Vec<(u32, u32)>,
}

const fn has(set: Bits, n: u32) -> bool {
    set >> n & 1 == 1
}

fn each(set: Bits) -> impl Iterator<Item = u32> {
    (0..Bits::BITS).filter(move |n| has(set, *n))
}

fn days_in_month(year: i32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if NaiveDate::from_ymd_opt(year, 2, 29).is_some() => 29,
        2 => 28,
        _ => 31,
    }
}

impl Days {
    /// The days of one month, as bits 1 to 31.
    fn in_month(&self, year: i32, month: u32) -> Bits {
        let Some(first) = NaiveDate::from_ymd_opt(year, month, 1) else {
            return 0;
        };
        let count = days_in_month(year, month);
        let before = first.weekday().num_days_from_sunday();
        // 1 is Sunday.
        let weekday = |day: u32| (before + day - 1) % 7 + 1;
        let working = |day: u32| (2..=6).contains(&weekday(day));
        let nearest = |day: u32| match weekday(day) {
            1 if day == count => day - 2,
            1 => day + 1,
            7 if day == 1 => day + 2,
            7 => day - 1,
            _ => day,
        };
        let mut set = 0;
        for day in 1..=count {
            let week = weekday(day);
            let open = has(self.of_month, day)
                || has(self.of_week, week)
                || self.last && day == count
                || has(self.last_of_week, week) && day + 7 > count
                || self.nth_of_week.contains(&(week, day.div_ceil(7)));
            set |= Bits::from(open) << day;
            if has(self.nearest_working, day) {
                set |= 1 << nearest(day);
            }
        }
        if self.last_working
            && let Some(day) = (1..=count).rev().find(|day| working(*day))
        {
            set |= 1 << day;
        }
        set
    }
}

impl Cron {
    /// The matching days from `from` on.
    fn days_from(&self, from: NaiveDate) -> impl Iterator<Item = NaiveDate> {
        let months = self
            .years
            .iter()
            .map(|year| i32::from(*year))
            .filter(move |year| *year >= from.year())
            .flat_map(|year| each(self.months).map(move |month| (year, month)))
            .filter(move |month| *month >= (from.year(), from.month()));
        months
            .flat_map(|(year, month)| {
                each(self.days.in_month(year, month))
                    .filter_map(move |day| NaiveDate::from_ymd_opt(year, month, day))
            })
            .filter(move |day| *day >= from)
    }

    /// The openings of a day, in order.
    fn times(&self) -> impl Iterator<Item = NaiveTime> {
        each(self.hours).flat_map(|hour| {
            each(self.minutes).filter_map(move |minute| NaiveTime::from_hms_opt(hour, minute, 0))
        })
    }

    /// The hour of a day's last opening.
    pub(super) fn last_hour(&self) -> Option<u32> {
        each(self.hours).last()
    }

    /// Whether there is an opening.
    pub(super) fn ever_fires(&self) -> bool {
        self.times().next().is_some() && self.days_from(NaiveDate::MIN).next().is_some()
    }

    /// The first opening strictly after `after`.
    pub(super) fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let after = after.naive_utc();
        self.days_from(after.date()).find_map(|day| {
            let mut times = self.times();
            let time = if day == after.date() {
                times.find(|time| *time > after.time())
            } else {
                times.next()
            };
            time.map(|time| day.and_time(time).and_utc())
        })
    }

    /// Two consecutive openings less than `length` apart.
    ///
    /// `length` is at most 24 hours, so that they are on one day or on two consecutive days. The result is
    /// exact, because both cases are checked on every day.
    pub(super) fn closer_than(&self, length: Duration) -> Option<Overlap> {
        let seconds = |time: &NaiveTime| u64::from(time.num_seconds_from_midnight());
        let times: Vec<NaiveTime> = self.times().collect();
        let same_day = times
            .windows(2)
            .find(|pair| seconds(&pair[1]) - seconds(&pair[0]) < length.as_secs());
        if let Some(pair) = same_day {
            return Some(Overlap::SameDay(pair[0], pair[1]));
        }
        let (first, last) = (*times.first()?, *times.last()?);
        if 86_400 + seconds(&first) - seconds(&last) >= length.as_secs() {
            return None;
        }
        let days = self.days_from(NaiveDate::MIN);
        days.zip(self.days_from(NaiveDate::MIN).skip(1))
            .any(|(day, next)| day.checked_add_days(ChronoDays::new(1)) == Some(next))
            .then_some(Overlap::NextDay(last, first))
    }
}
