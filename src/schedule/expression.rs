//! Schedule expressions of AWS: `cron(…)` and `rate(…)`.

use std::ops::Range;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::cron::Cron;
use super::rate::{self, Rate};
use super::window::Overlap;
use super::{aws, fields};
use twinkey_core::code::{Code, Diagnostic};

/// AWS's limit on the length of an expression, in characters (`RotationRulesType`, Secrets Manager API).
const MAX_LENGTH: usize = 256;

/// A parsed schedule; `Display` prints the original text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    text: String,
    kind: ScheduleKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum ScheduleKind {
    Cron(Box<Cron>),
    Rate(Rate),
    /// A period in seconds, at least 1, aligned to the epoch.
    Every(i64),
}

/// An invalid schedule expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ScheduleError {
    pub message: String,
    /// The byte range of the invalid field, to mark it.
    pub span: (usize, usize),
    pub hint: String,
}

impl ScheduleError {
    pub(super) fn new(
        span: Range<usize>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            message: message.into(),
            span: (span.start, span.end),
            hint: hint.into(),
        }
    }
}

impl Diagnostic for ScheduleError {
    fn code(&self) -> Code {
        Code::ConfigInvalid
    }

    fn hint(&self) -> String {
        self.hint.clone()
    }
}

/// The hint of errors about the whole expression.
const FORMAT_HINT: &str = "write cron(minutes hours day-of-month month day-of-week year), such as \
    cron(0 7 * * ? *), or rate(30 days); all times are UTC";

impl Schedule {
    /// Parses `cron(…)` or `rate(…)`; surrounding white space is ignored.
    ///
    /// # Errors
    /// [`ScheduleError`] with the position of the invalid field.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        let start = text.len() - text.trim_start().len();
        let trimmed = text.trim();
        let whole = start..start + trimmed.len();
        if trimmed.is_empty() {
            return Err(ScheduleError::new(
                0..text.len(),
                "the schedule is empty",
                FORMAT_HINT,
            ));
        }
        if trimmed.chars().count() > MAX_LENGTH {
            return Err(ScheduleError::new(
                whole,
                format!("the schedule is longer than {MAX_LENGTH} characters"),
                "split it into ranges and steps, such as MON-FRI or 0/6",
            ));
        }
        let kind = if let Some(body) = body(trimmed, "cron(", start)? {
            ScheduleKind::Cron(Box::new(fields::parse(text, body)?))
        } else if let Some(body) = body(trimmed, "rate(", start)? {
            ScheduleKind::Rate(rate::parse(text, body)?)
        } else {
            return Err(ScheduleError::new(
                whole,
                "a schedule is cron(…) or rate(…), in lower case",
                FORMAT_HINT,
            ));
        };
        Ok(Self {
            text: trimmed.into(),
            kind,
        })
    }

    /// A schedule that opens every `seconds` seconds (0 counts as 1), aligned to the epoch; for the demo and
    /// tests only, not for configs.
    #[must_use]
    pub fn every_seconds(seconds: u32) -> Self {
        let seconds = seconds.max(1);
        Self {
            text: format!("every {seconds} s"),
            kind: ScheduleKind::Every(i64::from(seconds)),
        }
    }

    /// The first opening strictly after `after`; `None` if there is none.
    ///
    /// `rate` counts from `anchor`, the last success or else the first start of the rotation, in whole seconds.
    #[must_use]
    pub fn next_after(&self, after: DateTime<Utc>, anchor: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match &self.kind {
            ScheduleKind::Cron(cron) => cron.next_after(after),
            ScheduleKind::Rate(rate) => rate.next_after(after, anchor),
            ScheduleKind::Every(seconds) => DateTime::from_timestamp(
                after.timestamp().div_euclid(*seconds).checked_add(1)? * seconds,
                0,
            ),
        }
    }

    /// The reason why AWS Secrets Manager would refuse this schedule with windows of this length, in one
    /// sentence. Sources: the API's `RotationRulesType`, and "Schedule expressions in Secrets Manager
    /// rotation" in the user guide.
    #[must_use]
    pub fn aws_refuses(&self, window: Duration) -> Option<String> {
        match &self.kind {
            ScheduleKind::Cron(cron) => aws::refuses_cron(&self.text, cron, window),
            ScheduleKind::Rate(rate) => aws::refuses_rate(rate, window),
            ScheduleKind::Every(_) => Some("AWS does not support schedules in seconds".into()),
        }
    }

    /// Two consecutive openings less than `length` apart, if there are any.
    pub(super) fn closer_than(&self, length: Duration) -> Option<Overlap> {
        match &self.kind {
            ScheduleKind::Cron(cron) => cron.closer_than(length),
            ScheduleKind::Rate(rate) => {
                (rate.period() < length).then(|| Overlap::Every(rate.period()))
            }
            ScheduleKind::Every(seconds) => {
                let period = Duration::from_secs(seconds.unsigned_abs());
                (period < length).then_some(Overlap::Every(period))
            }
        }
    }
}

/// The range between `opening` and the closing parenthesis; `None` if the text does not begin with it.
fn body(trimmed: &str, opening: &str, start: usize) -> Result<Option<Range<usize>>, ScheduleError> {
    let Some(rest) = trimmed.strip_prefix(opening) else {
        return Ok(None);
    };
    let from = start + opening.len();
    match rest.find(')') {
        Some(end) if end + 1 == rest.len() => Ok(Some(from..from + end)),
        Some(end) => Err(ScheduleError::new(
            from + end + 1..start + trimmed.len(),
            "text follows the closing parenthesis",
            "remove it: a rotation has one expression",
        )),
        None => Err(ScheduleError::new(
            start..start + trimmed.len(),
            "the closing parenthesis is missing",
            format!("end it with `)`: {opening}…)"),
        )),
    }
}

impl std::fmt::Display for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}
