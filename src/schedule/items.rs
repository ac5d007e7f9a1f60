//! Parser of the items of a `cron(…)` field: values, names, ranges, steps and lists.
//!
//! # Failure modes
//! - An error marks the wrong position: each [`Piece`] of text carries its position.

use std::ops::{Range, RangeInclusive};
use std::sync::{Arc, LazyLock};

use super::ScheduleError;
use super::cron::{Bits, YEARS};

const MONTHS: &[&str] = &[
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEK: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// A field with its name and values.
pub(super) struct Field {
    name: &'static str,
    pub(super) values: RangeInclusive<u16>,
    /// Names of the values, from the smallest on.
    names: &'static [&'static str],
    hint: &'static str,
}

pub(super) const MINUTES: Field = Field {
    name: "minutes",
    values: 0..=59,
    names: &[],
    hint: "minutes are 0-59, with `,` `-` `*` `/`, such as 0 or 0/15",
};
pub(super) const HOURS: Field = Field {
    name: "hours",
    values: 0..=23,
    names: &[],
    hint: "hours are 0-23 (UTC), with `,` `-` `*` `/`, such as 7 or 2/10",
};
pub(super) const DAY_OF_MONTH: Field = Field {
    name: "day-of-month",
    values: 1..=31,
    names: &[],
    hint: "days of the month are 1-31, with `,` `-` `*` `/`, or ?, L, LW, 15W, SUNL",
};
pub(super) const MONTH: Field = Field {
    name: "month",
    values: 1..=12,
    names: MONTHS,
    hint: "months are 1-12 or JAN-DEC, with `,` `-` `*` `/`",
};
pub(super) const DAY_OF_WEEK: Field = Field {
    name: "day-of-week",
    values: 1..=7,
    names: WEEK,
    hint: "days of the week are 1-7 or SUN-SAT (1 is Sunday), with `,` `-` `*` `/`, or ?, L, FRIL, SUN#1",
};
pub(super) const YEAR: Field = Field {
    name: "year",
    values: YEARS,
    names: &[],
    hint: "years are 1970-2199, with `,` `-` `*` `/`; mostly *",
};

/// A part of the expression with its position.
#[derive(Clone)]
pub(super) struct Piece<'a> {
    pub(super) text: &'a str,
    pub(super) start: usize,
}

impl<'a> Piece<'a> {
    pub(super) fn span(&self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }

    /// The pieces between separators, including empty ones.
    pub(super) fn split(&self, separator: char) -> Vec<Piece<'a>> {
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

/// An error at a piece of a field.
pub(super) fn bad(field: &Field, piece: &Piece<'_>, message: impl AsRef<str>) -> ScheduleError {
    ScheduleError::new(
        piece.span(),
        format!("{}: {}", field.name, message.as_ref()),
        field.hint,
    )
}

/// One number or name of a field.
pub(super) fn value(field: &Field, piece: &Piece<'_>) -> Result<u16, ScheduleError> {
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
            "? is only for the whole day-of-month or day-of-week",
        )),
        (false, _) => Err(bad(field, piece, format!("{:?} is not valid", piece.text))),
    }
}

/// The values of one item: `*`, `7`, `1-5`, each with a step or without.
pub(super) fn values(field: &Field, item: &Piece<'_>) -> Result<Vec<u16>, ScheduleError> {
    let (min, max) = (*field.values.start(), *field.values.end());
    let count = max - min + 1;
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
        [all] if all.text == "*" || all.text.is_empty() && step.is_some() => (min, max),
        [one] => {
            let from = value(field, one)?;
            (from, if step.is_some() { max } else { from })
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
                    "use rate(…) for a longer period, because steps restart in every hour, day, month or year",
                ));
            }
        },
    };
    // A range that wraps continues at the smallest value.
    let length = (to + count - from) % count;
    Ok((0..=length)
        .step_by(usize::from(step))
        .map(|i| min + (from - min + i) % count)
        .collect())
}

pub(super) fn bits(values: &[u16]) -> Bits {
    values.iter().fold(0, |set, n| set | 1 << n)
}

/// A field of plain items.
pub(super) fn set(field: &Field, piece: &Piece<'_>) -> Result<Bits, ScheduleError> {
    let mut all = 0;
    for item in piece.split(',') {
        all |= bits(&values(field, &item)?);
    }
    Ok(all)
}

/// All years, shared because most of the possibly thousands of schedules use `*`.
static EVERY_YEAR: LazyLock<Arc<[u16]>> = LazyLock::new(|| YEARS.collect());

pub(super) fn years(piece: &Piece<'_>) -> Result<Arc<[u16]>, ScheduleError> {
    let mut all = Vec::new();
    for item in piece.split(',') {
        all.extend(values(&YEAR, &item)?);
    }
    all.sort_unstable();
    all.dedup();
    if all.len() == EVERY_YEAR.len() {
        return Ok(Arc::clone(&EVERY_YEAR));
    }
    Ok(all.into())
}

/// The text before a suffix, compared without case.
pub(super) fn before<'a>(item: &Piece<'a>, suffix: &str) -> Option<Piece<'a>> {
    let cut = item.text.len().checked_sub(suffix.len())?;
    let (text, end) = item.text.split_at_checked(cut)?;
    (!text.is_empty() && end.eq_ignore_ascii_case(suffix)).then_some(Piece {
        text,
        start: item.start,
    })
}
