//! Windows: time spans in which a rotation can start and must end.
//!
//! # Failure modes
//! - A time belongs to two windows, and so to two runs: a [`WindowPlan`] with overlapping windows cannot be
//!   created.
//! - A run starts after its window has closed: the offset is shorter than the window.

use std::time::Duration;

use aws_lc_rs::digest;
use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::Schedule;
use twinkey_core::code::{Code, Diagnostic};

/// The shortest window of a config.
pub const SHORTEST: Duration = Duration::from_secs(5 * 60);
/// The longest window, as in AWS.
pub const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// A time span in which a rotation can start and must end; it includes `opens` and excludes `closes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Window {
    pub opens: DateTime<Utc>,
    pub closes: DateTime<Utc>,
}

impl Window {
    /// Whether the window is open at `at`.
    #[must_use]
    pub fn contains(&self, at: DateTime<Utc>) -> bool {
        self.opens <= at && at < self.closes
    }
}

/// A schedule with the length of its windows. Windows never overlap.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WindowPlan {
    pub schedule: Schedule,
    pub length: Duration,
    /// The delay from the opening to the start of the run (`spread`, derived from the rotation's name).
    pub offset: Duration,
}

/// A schedule and a length that do not form windows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WindowError {
    #[error("a window is 5m to 24h long, in whole seconds")]
    Length,
    #[error("the run would start {} after the opening of a window of {}", config_duration(.offset), config_duration(.length))]
    Offset { offset: Duration, length: Duration },
    #[error("a window of {} is still open when the next one opens: {overlap}", config_duration(.length))]
    Overlap { length: Duration, overlap: Overlap },
}

/// Two consecutive openings of one schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    SameDay(NaiveTime, NaiveTime),
    /// The last opening of a day and the first one of the next day.
    NextDay(NaiveTime, NaiveTime),
    /// The period of all openings.
    Every(Duration),
}

impl std::fmt::Display for Overlap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SameDay(first, second) => write!(
                f,
                "one opens at {} and the next at {}",
                first.format("%H:%M"),
                second.format("%H:%M")
            ),
            Self::NextDay(first, second) => write!(
                f,
                "one opens at {} and the next at {} of the following day",
                first.format("%H:%M"),
                second.format("%H:%M")
            ),
            Self::Every(period) => write!(f, "one opens every {}", config_duration(period)),
        }
    }
}

/// A duration for a message, in the units of the config.
pub(crate) fn config_duration(length: &Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        s if s > 0 && s.is_multiple_of(3600) => format!("{}h", s / 3600),
        s if s > 0 && s.is_multiple_of(60) => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

impl Diagnostic for WindowError {
    fn code(&self) -> Code {
        Code::ConfigInvalid
    }

    fn hint(&self) -> String {
        match self {
            Self::Length => "give a window such as \"1h\"",
            Self::Offset { .. } => "set a spread that is shorter than the window",
            Self::Overlap { .. } => "shorten the window, or let it open less often",
        }
        .into()
    }
}

impl WindowPlan {
    /// Windows of `length`, 5 minutes to 24 hours in whole seconds, whose runs start `offset` after the
    /// opening.
    ///
    /// # Errors
    /// [`WindowError`]: a length out of bounds, an offset that is not shorter than the length, or a
    /// window that would still be open when the next one opens.
    pub fn new(
        schedule: Schedule,
        length: Duration,
        offset: Duration,
    ) -> Result<Self, WindowError> {
        check_length(length)?;
        Self::unbounded(schedule, length, offset)
    }

    /// A plan with windows of seconds, whose runs start at the opening; for the demo and tests only, not for
    /// configs.
    ///
    /// # Errors
    /// As [`WindowPlan::new`], with a shortest length of one second.
    pub fn for_demo(schedule: Schedule, length: Duration) -> Result<Self, WindowError> {
        if length.as_secs() == 0 || length > LONGEST {
            return Err(WindowError::Length);
        }
        Self::unbounded(schedule, length, Duration::ZERO)
    }

    fn unbounded(
        schedule: Schedule,
        length: Duration,
        offset: Duration,
    ) -> Result<Self, WindowError> {
        if offset >= length {
            return Err(WindowError::Offset { offset, length });
        }
        if let Some(overlap) = schedule.closer_than(length) {
            return Err(WindowError::Overlap { length, overlap });
        }
        Ok(Self {
            schedule,
            length,
            offset,
        })
    }

    /// Two openings of a day, or of two days in a row, that are closer than `interval`.
    #[must_use]
    pub fn closer_than(&self, interval: Duration) -> Option<Overlap> {
        self.schedule.closer_than(interval)
    }

    /// The first window that opens strictly after `after`. `anchor` as in [`Schedule::next_after`].
    #[must_use]
    pub fn next_window(&self, after: DateTime<Utc>, anchor: DateTime<Utc>) -> Option<Window> {
        let opens = self.schedule.next_after(after, anchor)?;
        Some(Window {
            opens,
            closes: opens.checked_add_signed(self.delta()?)?,
        })
    }

    /// The window that is open at `at`, if there is one.
    #[must_use]
    pub fn open_window(&self, at: DateTime<Utc>, anchor: DateTime<Utc>) -> Option<Window> {
        // Windows do not overlap: only the first that closes after `at` can be open at `at`.
        self.next_window(at.checked_sub_signed(self.delta()?)?, anchor)
            .filter(|window| window.contains(at))
    }

    /// The start of a window's run: `offset` after its opening.
    #[must_use]
    pub fn starts(&self, window: &Window) -> DateTime<Utc> {
        // The offset is shorter than the window, so that the sum is between two valid times.
        TimeDelta::from_std(self.offset)
            .ok()
            .and_then(|offset| window.opens.checked_add_signed(offset))
            .unwrap_or(window.opens)
    }

    fn delta(&self) -> Option<TimeDelta> {
        TimeDelta::from_std(self.length).ok()
    }
}

/// Checks the length of a config's window.
///
/// # Errors
/// [`WindowError::Length`]
pub fn check_length(length: Duration) -> Result<(), WindowError> {
    if length < SHORTEST || length > LONGEST || length.subsec_nanos() != 0 {
        return Err(WindowError::Length);
    }
    Ok(())
}

/// The offset in `0..spread` of the rotation `name`: constant, evenly distributed over names, in whole
/// seconds.
#[must_use]
pub fn spread_offset(name: &str, spread: Duration) -> Duration {
    let hash = digest::digest(&digest::SHA256, name.as_bytes());
    let number = hash
        .as_ref()
        .iter()
        .take(8)
        .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    Duration::from_secs(number.checked_rem(spread.as_secs()).unwrap_or(0))
}
