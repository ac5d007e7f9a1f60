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

use std::ops::{Range, RangeInclusive};

use super::ScheduleError;
use super::cron::{Bits, Cron, Days, YEARS};

const MONTHS: &[&str] = &[
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEK: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const ORDER: &str = "minutes hours day-of-month month day-of-week year";

/// What a field is called and which values it has.
struct Field {
    name: &'static str,
    values: RangeInclusive<u16>,
    /// Names of the values, from the least on.
    names: &'static [&'static str],
    hint: &'static str,
}

const MINUTES: Field = Field {
    name: "minutes",
    values: 0..=59,
    names: &[],
    hint: "minutes are 0-59, with `,` `-` `*` `/`, such as 0 or 0/15",
};
const HOURS: Field = Field {
    name: "hours",
    values: 0..=23,
    names: &[],
    hint: "hours are 0-23 (UTC), with `,` `-` `*` `/`, such as 7 or 2/10",
};
const DAY_OF_MONTH: Field = Field {
    name: "day-of-month",
    values: 1..=31,
    names: &[],
    hint: "days of the month are 1-31, with `,` `-` `*` `/`, or ?, L, LW, 15W, SUNL",
};
const MONTH: Field = Field {
    name: "month",
    values: 1..=12,
    names: MONTHS,
    hint: "months are 1-12 or JAN-DEC, with `,` `-` `*` `/`",
};
const DAY_OF_WEEK: Field = Field {
    name: "day-of-week",
    values: 1..=7,
    names: WEEK,
    hint: "days of the week are 1-7 or SUN-SAT (1 is Sunday), with `,` `-` `*` `/`, or ?, L, FRIL, SUN#1",
};
const YEAR: Field = Field {
    name: "year",
    values: YEARS,
    names: &[],
    hint: "years are 1970-2199, with `,` `-` `*` `/`; mostly *",
};

/// A piece of the expression and where it stands.
#[derive(Clone)]
struct Piece<'a> {
    text: &'a str,
    start: usize,
}

impl<'a> Piece<'a> {
    fn span(&self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }

    /// The pieces between separators, empty ones too.
    fn split(&self, separator: char) -> Vec<Piece<'a>> {
        let mut start = self.start;
        self.text
            .split(separator)
            .map(|text| {
                let piece = Piece { text, start };
                start += text.len() + separator.len_utf8();
                piece
            })
            .collect()
    }
}

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

/// An error at a piece of a field.
fn bad(field: &Field, piece: &Piece<'_>, what: impl AsRef<str>) -> ScheduleError {
    ScheduleError::new(
        piece.span(),
        format!("{}: {}", field.name, what.as_ref()),
        field.hint,
    )
}

/// One number or name of a field.
fn value(field: &Field, piece: &Piece<'_>) -> Result<u16, ScheduleError> {
    let upper = piece.text.to_ascii_uppercase();
    if let Some((name, _)) = field
        .values
        .clone()
        .zip(field.names)
        .find(|(_, n)| **n == upper)
    {
        return Ok(name);
    }
    let digits = !upper.is_empty() && upper.bytes().all(|b| b.is_ascii_digit());
    match (digits, upper.parse::<u16>()) {
        (true, Ok(n)) if field.values.contains(&n) => Ok(n),
        (true, _) => Err(bad(
            field,
            piece,
            format!(
                "{} is not in {}-{}",
                piece.text,
                field.values.start(),
                field.values.end()
            ),
        )),
        (false, _) if upper.is_empty() => Err(bad(field, piece, "a value is missing")),
        (false, _) if upper == "?" => Err(bad(
            field,
            piece,
            "? stands alone, as the day-of-month or as the day-of-week",
        )),
        (false, _) => Err(bad(
            field,
            piece,
            format!("{:?} is not understood", piece.text),
        )),
    }
}

/// The values of one item: `*`, `7`, `1-5`, each with a step or without.
fn values(field: &Field, item: &Piece<'_>) -> Result<Vec<u16>, ScheduleError> {
    let (least, most) = (*field.values.start(), *field.values.end());
    let count = most - least + 1;
    let parts = item.split('/');
    let (range, step) = match &parts[..] {
        [range] => (range, None),
        [range, step] => (range, Some(step)),
        _ => {
            return Err(bad(
                field,
                item,
                format!("{:?} has more than one step", item.text),
            ));
        }
    };
    let (from, to) = match &range.split('-')[..] {
        [all] if all.text == "*" || all.text.is_empty() && step.is_some() => (least, most),
        [one] => {
            let from = value(field, one)?;
            (from, if step.is_some() { most } else { from })
        }
        [from, to] => (value(field, from)?, value(field, to)?),
        _ => {
            return Err(bad(
                field,
                range,
                format!("{:?} is not a range", range.text),
            ));
        }
    };
    if from > to && field.name == YEAR.name {
        return Err(bad(
            field,
            range,
            format!("{:?} runs backwards", range.text),
        ));
    }
    let step = match step {
        None => 1,
        Some(step) => match step.text.parse::<u16>() {
            Ok(n) if (1..=count).contains(&n) && !step.text.starts_with('+') => n,
            _ => {
                return Err(ScheduleError::new(
                    step.span(),
                    format!(
                        "{}: the step {:?} is not in 1-{count}",
                        field.name, step.text
                    ),
                    "steps begin anew in every hour, day, month or year; for a longer period use rate(…)",
                ));
            }
        },
    };
    // A range that wraps goes on from the least value.
    let length = (to + count - from) % count;
    Ok((0..=length)
        .step_by(usize::from(step))
        .map(|i| least + (from - least + i) % count)
        .collect())
}

fn bits(values: &[u16]) -> Bits {
    values.iter().fold(0, |set, n| set | 1 << n)
}

/// A whole field of plain items.
fn set(field: &Field, piece: &Piece<'_>) -> Result<Bits, ScheduleError> {
    let mut all = 0;
    for item in piece.split(',') {
        all |= bits(&values(field, &item)?);
    }
    Ok(all)
}

fn years(piece: &Piece<'_>) -> Result<Vec<u16>, ScheduleError> {
    let mut all = Vec::new();
    for item in piece.split(',') {
        all.extend(values(&YEAR, &item)?);
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

/// The text before a suffix, whatever its case.
fn before<'a>(item: &Piece<'a>, suffix: &str) -> Option<Piece<'a>> {
    let cut = item.text.len().checked_sub(suffix.len())?;
    let (text, end) = item.text.split_at_checked(cut)?;
    (!text.is_empty() && end.eq_ignore_ascii_case(suffix)).then_some(Piece {
        text,
        start: item.start,
    })
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
