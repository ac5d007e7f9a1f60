//! Reads the six fields of `cron(…)` into sets.
//!
//! What can go wrong: a field is read leniently and means something else than it does in AWS. So each
//! field names what it allows, and everything else is an error at the very item. Where AWS's
//! documents are silent, Quartz, whose grammar AWS took over, decides:
//! - exactly one of day-of-month and day-of-week is `?` (AWS);
//! - `/8` is `*/8`: from the least value on (AWS, for hours);
//! - a range may wrap: `FRI-MON`, `22-2`, `NOV-FEB` (Quartz: "overflowing ranges"); not so for years;
//! - `L` alone as day of the week is Saturday, `6L` or `FRIL` the last Friday of the month;
//! - `SUNL` is taken as a day of the month too (AWS's guide lists it there), but a number with L not;
//! - `15W` never leaves its month; a month without that day has no opening;
//! - the items of a list are added up, `#`, `L` and `W` among them.

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

/// Reads the six fields; `body` is where they stand in `text`.
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
                "make the day-of-week ?",
            ));
        }
        _ => {
            return Err(ScheduleError::new(
                dom.span(),
                "day-of-month and day-of-week are both given: one of them must be ?",
                "make the one that does not matter ?",
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
            "look at the day together with month and year: 30 FEB does not exist",
        ));
    }
    Ok(cron)
}

fn wrong_count(pieces: &[Piece<'_>], body: Range<usize>) -> ScheduleError {
    let hint = match pieces.len() {
        5 => format!(
            "AWS's cron has a sixth field, the year, mostly *; and one of the days must be ?: {ORDER}"
        ),
        7 => format!("AWS's cron has no seconds: {ORDER}"),
        _ => format!("the fields are {ORDER}, such as cron(0 7 * * ? *)"),
    };
    let s = if pieces.len() == 1 { "" } else { "s" };
    ScheduleError::new(
        body,
        format!("cron has {} field{s} here, and takes 6", pieces.len()),
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
                    format!("{:?} is not understood", item.text),
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
