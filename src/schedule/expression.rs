//! AWS's schedule expressions.

use chrono::{DateTime, Utc};

/// A parsed schedule. `Display` gives the text it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    text: String,
}

/// Why a text is not a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ScheduleError {
    pub message: String,
    /// Byte range of the bad field in the expression, for the caret line.
    pub span: (usize, usize),
    pub hint: String,
}

impl Schedule {
    /// Reads `cron(…)` or `rate(…)`.
    ///
    /// # Errors
    /// [`ScheduleError`] points at the bad field.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        Ok(Self { text: text.into() })
    }

    /// Opens every `seconds` seconds, aligned to the epoch: for the demo and for tests only, not
    /// reachable from a config.
    #[must_use]
    pub fn every_seconds(seconds: u32) -> Self {
        Self {
            text: format!("{seconds}"),
        }
    }

    pub fn aws_refuses(&self, _window: std::time::Duration) -> Option<String> {
        None
    }
    /// The first opening strictly after `after`; `anchor` is where `rate` counts from (the last
    /// success, else when the rotation was first seen). `None`: never again.
    #[must_use]
    pub fn next_after(
        &self,
        _after: DateTime<Utc>,
        _anchor: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        None
    }
}

impl std::fmt::Display for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}
