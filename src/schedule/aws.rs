//! Limits of AWS's own schedules, which twinkey does not have.
//!
//! `check` reports them, so that a return to AWS's rotation holds no surprise. The parser does not use them.

use std::time::Duration;

use super::cron::Cron;
use super::fields;
use super::rate::{Rate, Unit};

/// The shortest period of AWS's rotations.
const MIN_GAP: Duration = Duration::from_secs(4 * 3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn refuses_window(window: Duration) -> Option<String> {
    let whole_hours = window.as_secs().is_multiple_of(3600) && window.subsec_nanos() == 0;
    (!whole_hours || window.is_zero() || window > DAY)
        .then(|| "AWS requires a window of whole hours, 1h to 24h".into())
}

/// See `Schedule::aws_refuses`.
pub(super) fn refuses_cron(text: &str, cron: &Cron, window: Duration) -> Option<String> {
    let [minutes, hours, day_of_month, _, day_of_week, year] = fields::texts(text)?;
    if minutes != "0" {
        return Some(format!("AWS requires the minutes to be 0, not {minutes}"));
    }
    if year != "*" {
        return Some(format!("AWS requires the year to be *, not {year}"));
    }
    if day_of_month.to_ascii_uppercase().contains('W') {
        return Some(format!(
            "AWS does not support W in the day of the month ({day_of_month})"
        ));
    }
    if day_of_week.contains('#') && day_of_week.contains(',') {
        return Some(format!(
            "AWS supports # only alone, not in a list ({day_of_week})"
        ));
    }
    if let Some(close) = cron.closer_than(MIN_GAP) {
        return Some(format!(
            "AWS requires at least 4 hours between rotations, and {close}"
        ));
    }
    if let Some(reason) = refuses_window(window) {
        return Some(reason);
    }
    let last_hour = cron.last_hour()?;
    (u64::from(last_hour) * 3600 + window.as_secs() > DAY.as_secs()).then(|| {
        format!("AWS requires a window to close by the end of its UTC day, and one opens at hour {last_hour} ({hours})")
    })
}

/// See `Schedule::aws_refuses`.
pub(super) fn refuses_rate(rate: &Rate, window: Duration) -> Option<String> {
    if rate.unit == Unit::Minute {
        return Some("AWS does not support a rate of minutes, only of hours or days".into());
    }
    if rate.period() < MIN_GAP {
        return Some("AWS requires at least 4 hours between rotations".into());
    }
    if rate.plural == (rate.number == 1) {
        let s = if rate.number == 1 { "" } else { "s" };
        return Some(format!(
            "AWS requires the form rate({} {}{s})",
            rate.number,
            rate.unit.name()
        ));
    }
    refuses_window(window)
}
