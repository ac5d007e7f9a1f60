//! When AWS opens and closes a rotation's windows, in twinkey's words: pure.
//!
//! The rules are those of `RotationRulesType` in the Secrets Manager API reference, and of "Schedule expressions in
//! Secrets Manager rotation" in the user guide:
//! - `AutomaticallyAfterDays` counts days, as `rate(N days)` does;
//! - without a `Duration`, a window of a schedule in hours closes after an hour, and one of a schedule in days at
//!   the end of its UTC day;
//! - windows of `rate` open at midnight, UTC.

use std::time::Duration;

use super::Rules;
use crate::schedule::{Schedule, WindowPlan};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// A schedule and a window that mean what AWS's rules mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Windows {
    pub plan: WindowPlan,
    /// AWS opens at midnight, twinkey when the last success is so long ago.
    pub drifts: bool,
}

/// Reads AWS's rules.
///
/// # Errors
/// Why there is nothing that means the same, in one sentence.
pub fn windows(rules: &Rules) -> Result<Windows, String> {
    let expression = match (&rules.expression, rules.days) {
        (Some(expression), _) => expression.clone(),
        (None, Some(1)) => "rate(1 day)".into(),
        (None, Some(days)) => format!("rate({days} days)"),
        (None, None) => return Err("AWS tells no schedule for it".into()),
    };
    let schedule = Schedule::parse(&expression)
        .map_err(|error| format!("its schedule {expression} is not understood: {error}"))?;
    let length = match &rules.duration {
        Some(text) => hours(text)?,
        None => default(&expression),
    };
    let plan = WindowPlan::new(schedule, Duration::from_secs(length), Duration::ZERO)
        .map_err(|error| format!("its windows are none here: {error}"))?;
    Ok(Windows {
        plan,
        drifts: expression.trim_start().starts_with("rate("),
    })
}

/// `3h`, in seconds.
fn hours(text: &str) -> Result<u64, String> {
    let number = text.strip_suffix('h').and_then(|hours| hours.parse().ok());
    let number = number.filter(|hours| (1..=24).contains(hours));
    number
        .map(|hours: u64| hours * HOUR)
        .ok_or_else(|| format!("its Duration {text} is not 1h to 24h"))
}

/// How long a window is without a `Duration`, in seconds.
fn default(expression: &str) -> u64 {
    let body = expression.trim().trim_end_matches(')');
    if let Some(rate) = body.strip_prefix("rate(") {
        return if rate.contains("hour") { HOUR } else { DAY };
    }
    let hour = body
        .strip_prefix("cron(")
        .and_then(|body| body.split_whitespace().nth(1));
    // One hour of the day is a schedule in days; steps, lists and ranges of hours are one in hours.
    match hour.and_then(|hour| hour.parse::<u64>().ok()) {
        Some(hour) => DAY.saturating_sub(hour * HOUR),
        None => HOUR,
    }
}
