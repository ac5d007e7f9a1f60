//! Lengths of time in the config: one whole number and one unit.
//!
//! What can go wrong: `15` is read as minutes by one and as seconds by another. A unit is a must, and
//! there are no compounds or fractions.

use std::time::Duration;

/// The longest: far over anything sensible, and small enough for all calculations with dates.
const MAX: Duration = Duration::from_secs(1000 * 86_400);

/// What a length of time is, for messages.
pub(super) const FORM: &str =
    "a length of time: a whole number and a unit, such as \"90s\", \"15m\", \"1h\" or \"30d\"";

/// Reads `90s`, `15m`, `1h` or `30d`, at most 1000 days.
///
/// # Errors
/// What is wrong with the text, in one sentence.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not {FORM}");
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    if number.is_empty() {
        return Err(wrong());
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
    fn a_length_of_time_is_one_whole_number_and_one_unit() {
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
