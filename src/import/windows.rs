//! Conversion of AWS's rotation rules to windows of twinkey.
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

/// A schedule and a window with the meaning of AWS's rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvertedWindows {
    pub plan: WindowPlan,
    /// Whether the opening differs: AWS opens at midnight, twinkey an interval after the last success.
    pub drifts: bool,
}

/// Converts AWS's rules.
///
/// # Errors
/// A sentence that says why there is no equivalent.
pub fn convert_windows(rules: &Rules) -> Result<ConvertedWindows, String> {
    let expression = match (&rules.expression, rules.days) {
        (Some(expression), _) => expression.clone(),
        (None, Some(1)) => "rate(1 day)".into(),
        (None, Some(days)) => format!("rate({days} days)"),
        (None, None) => return Err("AWS has no schedule for it".into()),
    };
    let schedule = Schedule::parse(&expression)
        .map_err(|error| format!("its schedule {expression} is not valid: {error}"))?;
    let length = match &rules.duration {
        Some(text) => hours(text)?,
        None => default_length(&expression),
    };
    let plan = WindowPlan::new(schedule, Duration::from_secs(length), Duration::ZERO)
        .map_err(|error| format!("twinkey does not support its windows: {error}"))?;
    Ok(ConvertedWindows {
        plan,
        drifts: expression.trim_start().starts_with("rate("),
    })
}

/// The seconds of `3h`.
fn hours(text: &str) -> Result<u64, String> {
    let number = text.strip_suffix('h').and_then(|hours| hours.parse().ok());
    let number = number.filter(|hours| (1..=24).contains(hours));
    number
        .map(|hours: u64| hours * HOUR)
        .ok_or_else(|| format!("its Duration {text} is not 1h to 24h"))
}

/// The length of a window without a `Duration`, in seconds.
fn default_length(expression: &str) -> u64 {
    let body = expression.trim().trim_end_matches(')');
    if let Some(rate) = body.strip_prefix("rate(") {
        return if rate.contains("hour") { HOUR } else { DAY };
    }
    let hour = body
        .strip_prefix("cron(")
        .and_then(|body| body.split_whitespace().nth(1));
    // A single hour means a schedule in days; steps, lists and ranges mean one in hours.
    match hour.and_then(|hour| hour.parse::<u64>().ok()) {
        Some(hour) => DAY.saturating_sub(hour * HOUR),
        None => HOUR,
    }
}
