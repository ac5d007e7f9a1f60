//! What AWS Secrets Manager would not take. We are not bound to it; `check` tells, so that nobody is
//! surprised on the way back.
//!
//! What can go wrong: a list of AWS's limits that is scattered over the parser. It is here only.

use std::time::Duration;

use super::cron::Cron;
use super::fields;
use super::rate::{Rate, Unit};

/// AWS rotates at most once in four hours.
const LEAST_GAP: Duration = Duration::from_secs(4 * 3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn refuses_window(window: Duration) -> Option<String> {
    let whole_hours = window.as_secs().is_multiple_of(3600) && window.subsec_nanos() == 0;
    (!whole_hours || window.is_zero() || window > DAY)
        .then(|| "AWS wants a window of whole hours, 1h to 24h".into())
}

/// As `Schedule::aws_refuses`.
pub(super) fn refuses_cron(text: &str, cron: &Cron, window: Duration) -> Option<String> {
    let [minutes, hours, day_of_month, _, day_of_week, year] = fields::texts(text)?;
    if minutes != "0" {
        return Some(format!("AWS wants the minutes to be 0, not {minutes}"));
    }
    if year != "*" {
        return Some(format!("AWS wants the year to be *, not {year}"));
    }
    if day_of_month.to_ascii_uppercase().contains('W') {
        return Some(format!(
            "AWS has no W in the day of the month ({day_of_month})"
        ));
    }
    if day_of_week.contains('#') && day_of_week.contains(',') {
        return Some(format!(
            "AWS takes # only by itself, not in a list ({day_of_week})"
        ));
    }
    if let Some(close) = cron.closer_than(LEAST_GAP) {
        return Some(format!(
            "AWS wants rotations at least 4 hours apart, and {close}"
        ));
    }
    if let Some(reason) = refuses_window(window) {
        return Some(reason);
    }
    let last_hour = cron.last_hour()?;
    (u64::from(last_hour) * 3600 + window.as_secs() > DAY.as_secs()).then(|| {
        format!("AWS wants a window to close by the end of its UTC day, and one opens at hour {last_hour} ({hours})")
    })
}

/// As `Schedule::aws_refuses`.
pub(super) fn refuses_rate(rate: &Rate, window: Duration) -> Option<String> {
    if rate.unit == Unit::Minute {
        return Some("AWS has no rate of minutes: hours or days".into());
    }
    if rate.period() < LEAST_GAP {
        return Some("AWS wants rotations at least 4 hours apart".into());
    }
    if rate.plural == (rate.number == 1) {
        let s = if rate.number == 1 { "" } else { "s" };
        return Some(format!(
            "AWS writes it rate({} {}{s})",
            rate.number,
            rate.unit.name()
        ));
    }
    refuses_window(window)
}
