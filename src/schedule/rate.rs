//! Parser and openings of `rate(n minutes|hours|days)`.
//!
//! Singular and plural are accepted for every number. AWS requires the matching form, which
//! `Schedule::aws_refuses` reports.
//!
//! # Failure modes
//! - One opening is computed twice with different fractions of a second, after the journal rounded the anchor,
//!   and counts as two windows: openings are in whole seconds.

use std::ops::Range;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::ScheduleError;

/// The longest period in days, which is AWS's limit (`AutomaticallyAfterDays`).
const MAX_DAYS: u64 = 1000;
const HINT: &str = "write rate(30 days), rate(12 hours) or rate(90 minutes)";

/// A period, counted from an anchor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rate {
    pub number: u64,
    pub unit: Unit,
    /// Whether the unit was written in the plural.
    pub plural: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Minute,
    Hour,
    Day,
}

impl Unit {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    const fn seconds(self) -> u64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3600,
            Self::Day => 86_400,
        }
    }
}

impl Rate {
    /// The period, at most [`MAX_DAYS`].
    pub(super) const fn period(&self) -> Duration {
        Duration::from_secs(self.number * self.unit.seconds())
    }

    /// The first of `anchor + period`, `anchor + 2 * period`, … strictly after `after`.
    pub(super) fn next_after(
        &self,
        after: DateTime<Utc>,
        anchor: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let period = self.period().as_secs().cast_signed();
        let anchor = anchor.timestamp();
        let passed = (after.timestamp() - anchor).div_euclid(period);
        let k = passed.max(0) + 1;
        DateTime::from_timestamp(anchor + k * period, 0)
    }
}

/// Parses `n unit` at `body` in `text`.
pub(super) fn parse(text: &str, body: Range<usize>) -> Result<Rate, ScheduleError> {
    let inner = &text[body.clone()];
    let words: Vec<&str> = inner.split_whitespace().collect();
    let [number_text, unit_text] = words[..] else {
        return Err(ScheduleError::new(
            body,
            format!("rate requires a number and a unit, not {inner:?}"),
            HINT,
        ));
    };
    // The position of the word itself, not of its first occurrence: `rate(11 1)`.
    let span = |word: &str| {
        let at = body.start + (word.as_ptr() as usize - inner.as_ptr() as usize);
        at..at + word.len()
    };
    let number = match number_text.parse::<u64>() {
        Ok(n) if n > 0 && number_text.bytes().all(|b| b.is_ascii_digit()) => n,
        _ => {
            return Err(ScheduleError::new(
                span(number_text),
                format!("the rate {number_text:?} is not a whole number from 1"),
                HINT,
            ));
        }
    };
    let (unit, plural) = match unit_text {
        "minute" => (Unit::Minute, false),
        "minutes" => (Unit::Minute, true),
        "hour" => (Unit::Hour, false),
        "hours" => (Unit::Hour, true),
        "day" => (Unit::Day, false),
        "days" => (Unit::Day, true),
        "week" | "weeks" => {
            return Err(ScheduleError::new(
                span(unit_text),
                "rate does not support weeks",
                format!("write rate({} days)", number.saturating_mul(7)),
            ));
        }
        "month" | "months" => {
            return Err(ScheduleError::new(
                span(unit_text),
                "rate does not support months",
                "write rate(30 days), or cron(0 7 1 * ? *) for the first of every month",
            ));
        }
        _ => {
            return Err(ScheduleError::new(
                span(unit_text),
                format!("the unit {unit_text:?} is not minutes, hours or days"),
                HINT,
            ));
        }
    };
    if number.saturating_mul(unit.seconds()) > MAX_DAYS * Unit::Day.seconds() {
        return Err(ScheduleError::new(
            span(number_text),
            format!("the rate is longer than {MAX_DAYS} days"),
            format!("give at most {MAX_DAYS} days"),
        ));
    }
    Ok(Rate {
        number,
        unit,
        plural,
    })
}
