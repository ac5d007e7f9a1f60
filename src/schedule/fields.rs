//! Parser of the six fields of `cron(…)`.
//!
//! AWS's documentation defines the grammar. Where it is silent, Quartz decides, from which AWS's grammar
//! derives:
//! - Exactly one of day-of-month and day-of-week is `?` (AWS).
//! - `/8` is `*/8`, from the smallest value on (AWS, for hours).
//! - A range can wrap: `FRI-MON`, `22-2`, `NOV-FEB` (Quartz: "overflowing ranges"), except for years.
//! - `L` alone as day of the week is Saturday; `6L` or `FRIL` is the last Friday of the month.
//! - `SUNL` is also a day of the month (AWS's guide lists it there), but a number with L is not.
//! - `15W` never leaves its month; a month without that day has no opening.
//! - A list is the union of its items, including `#`, `L` and `W`.
//!
//! # Failure modes
//! - A lenient parser accepts a field with another meaning than in AWS: each field lists its values, and
//!   everything else is an error at the item.

use std::ops::Range;

use super::ScheduleError;
use super::cron::{Cron, Days};
use super::items::{
    DAY_OF_MONTH, DAY_OF_WEEK, HOURS, MINUTES, MONTH, Piece, bad, before, bits, set, value, values,
    years,
};

const ORDER: &str = "minutes hours day-of-month month day-of-week year";

/// The texts of the six fields of a well-formed `cron(…)`.
pub(super) fn texts(expression: &str) -> Option<[&str; 6]> {
    let inner = expression.strip_prefix("cron(")?.strip_suffix(')')?;
    inner.split_whitespace().collect::<Vec<_>>().try_into().ok()
}

/// Parses the six fields at `body` in `text`.
pub(super) fn parse(text: &str, body: Range<usize>) -> Result<Cron, ScheduleError> {
    let inside = Piece {
        text: &text[body.clone()],
        start: body.start,
    };
    let pieces: Vec<Piece<'_>> = inside
        .split(' ')
        .into_iter()
        .filter(|piece| !piece.text.is_empty())
        .collect();
    let [minutes, hours, dom, month, dow, year] = &pieces[..] else {
        return Err(wrong_count(&pieces, body));
    };
    let days = match (dom.text, dow.text) {
        ("?", "?") => {
            return Err(ScheduleError::new(
                dow.span(),
                "day-of-month and day-of-week are both ?",
                "give one of them, for example * as day-of-month for every day",
            ));
        }
        (_, "?") => days_of_month(dom)?,
        ("?", _) => days_of_week(dow)?,
        (_, "*") => {
            return Err(ScheduleError::new(
                dow.span(),
                "day-of-month and day-of-week are both given: one of them must be ?",
                "replace the day-of-week by ?",
            ));
        }
        _ => {
            return Err(ScheduleError::new(
                dom.span(),
                "day-of-month and day-of-week are both given: one of them must be ?",
                "replace one of them by ?",
            ));
        }
    };
    let cron = Cron {
        minutes: set(&MINUTES, minutes)?,
        hours: set(&HOURS, hours)?,
        days,
        months: set(&MONTH, month)?,
        years: years(year)?,
    };
    if !cron.ever_fires() {
        return Err(ScheduleError::new(
            body,
            "this schedule never fires: no day from 1970 to 2199 matches",
            "check the day together with month and year: 30 FEB does not exist",
        ));
    }
    Ok(cron)
}

fn wrong_count(pieces: &[Piece<'_>], body: Range<usize>) -> ScheduleError {
    let hint = match pieces.len() {
        5 => format!(
            "add the year as the sixth field, usually *, and make one of the days ?: {ORDER}"
        ),
        7 => format!("remove the seconds; the fields are {ORDER}"),
        _ => format!("write the fields {ORDER}, such as cron(0 7 * * ? *)"),
    };
    let s = if pieces.len() == 1 { "" } else { "s" };
    ScheduleError::new(
        body,
        format!("cron has {} field{s} here, and requires 6", pieces.len()),
        hint,
    )
}

fn days_of_month(piece: &Piece<'_>) -> Result<Days, ScheduleError> {
    let mut days = Days::default();
    for item in piece.split(',') {
        if item.text.eq_ignore_ascii_case("L") {
            days.last = true;
        } else if item.text.eq_ignore_ascii_case("LW") {
            days.last_working = true;
        } else if let Some(day) = before(&item, "W") {
            days.nearest_working |= 1 << value(&DAY_OF_MONTH, &day)?;
        } else if let Some(name) = before(&item, "L") {
            if !name.text.bytes().all(|b| b.is_ascii_alphabetic()) {
                return Err(bad(
                    &DAY_OF_MONTH,
                    &item,
                    format!("{:?} is not valid", item.text),
                ));
            }
            days.last_of_week |= 1 << value(&DAY_OF_WEEK, &name)?;
        } else {
            days.of_month |= bits(&values(&DAY_OF_MONTH, &item)?);
        }
    }
    Ok(days)
}

fn days_of_week(piece: &Piece<'_>) -> Result<Days, ScheduleError> {
    let mut days = Days::default();
    for item in piece.split(',') {
        if item.text.eq_ignore_ascii_case("L") {
            days.of_week |= 1 << DAY_OF_WEEK.values.end();
        } else if let [day, nth] = &item.split('#')[..] {
            let day = value(&DAY_OF_WEEK, day)?;
            let nth = match nth.text {
                "1" | "2" | "3" | "4" | "5" => u32::from(nth.text.as_bytes()[0] - b'0'),
                _ => {
                    return Err(bad(
                        &DAY_OF_WEEK,
                        nth,
                        format!("#{} is not #1 to #5", nth.text),
                    ));
                }
            };
            days.nth_of_week.push((u32::from(day), nth));
        } else if let Some(day) = before(&item, "L") {
            days.last_of_week |= 1 << value(&DAY_OF_WEEK, &day)?;
        } else {
            days.of_week |= bits(&values(&DAY_OF_WEEK, &item)?);
        }
    }
    Ok(days)
}
