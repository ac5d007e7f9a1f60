//! Durations in the config: one whole number and one unit.
//!
//! # Failure modes
//! - `15` is ambiguous between minutes and seconds: the unit is mandatory, and compounds and fractions are
//!   refused.

use std::time::Duration;

/// The longest duration, small enough for all date calculations.
const MAX: Duration = Duration::from_secs(1000 * 86_400);

/// The description of a duration in messages.
pub(super) const FORM: &str =
    "a duration: a whole number and a unit, such as \"90s\", \"15m\", \"1h\" or \"30d\"";

/// Reads `90s`, `15m`, `1h` or `30d`, at most 1000 days.
///
/// # Errors
/// A sentence that says why the text is not valid.
pub fn parse(text: &str) -> Result<Duration, String> {
    let invalid = || format!("{text:?} is not {FORM}");
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(invalid()),
    };
    if number.is_empty() {
        return Err(invalid());
    }
    number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(unit))
        .map(Duration::from_secs)
        .filter(|length| *length <= MAX)
        .ok_or_else(|| format!("{text:?} is longer than 1000 days"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_one_whole_number_and_one_unit() {
        for (text, seconds) in [
            ("90s", 90),
            ("15m", 900),
            ("1h", 3600),
            ("30d", 2_592_000),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)));
        }
        for text in [
            "",
            "15",
            "m",
            "1.5h",
            "-1h",
            " 1h",
            "1 h",
            "1H",
            "1h30m",
            "1w",
            "1001d",
            "99999999999999999999s",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
