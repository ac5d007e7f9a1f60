//! Audit lines of the served store, with a limit of lines about refusals.
//!
//! # Failure modes
//! - A client sends refused requests without end and fills the log. Each key and address has
//!   [`LINES_PER_SOURCE`] lines a minute, and all together have [`LINES`]. A summary line reports the
//!   number of suppressed ones.
//! - Many addresses or key ids fill the memory. The table has at most [`SOURCES`] entries and is
//!   emptied each minute; the remaining sources share one counter.
//! - A client forges a log line. Texts of a request are escaped and cut ([`printable`]).

use std::collections::HashMap;
use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

use twinkey_core::telemetry::AUDIT;

/// Lines a minute about the refusals of one key and address.
const LINES_PER_SOURCE: u32 = 60;
/// Lines a minute about all refusals.
const LINES: u32 = 600;
/// Keys and addresses with counters of their own.
const SOURCES: usize = 1024;
const WINDOW: TimeDelta = TimeDelta::minutes(1);
/// Characters of a text of a request in a line; longer than any ARN.
const MAX_TEXT: usize = 640;

/// A source of refused requests: the id of a known key, or an empty text, and the address.
type RefusalSource = (String, IpAddr);

#[derive(Default)]
struct Counter {
    lines: u32,
    suppressed: u64,
}

#[derive(Default)]
struct Window {
    began: DateTime<Utc>,
    lines: u32,
    sources: HashMap<RefusalSource, Counter>,
    /// Suppressed lines of sources without a counter.
    others: u64,
}

/// The limit of audit lines about refusals.
#[derive(Default)]
pub(super) struct RefusalLimit(Mutex<Window>);

impl RefusalLimit {
    /// Whether a refusal gets a line now. A suppressed one is counted.
    pub(super) fn permits(&self, key: &str, address: IpAddr, now: DateTime<Utc>) -> bool {
        self.report_due(now);
        let mut window = self.0.lock();
        let source = (key.to_owned(), address);
        let full = window.sources.len() >= SOURCES;
        if full && !window.sources.contains_key(&source) {
            window.others += 1;
            return false;
        }
        let all_used = window.lines >= LINES;
        let counter = window.sources.entry(source).or_default();
        if all_used || counter.lines >= LINES_PER_SOURCE {
            counter.suppressed += 1;
            return false;
        }
        counter.lines += 1;
        window.lines += 1;
        true
    }

    /// Logs the suppressed lines once their minute is over, and begins a new minute.
    pub(super) fn report_due(&self, now: DateTime<Utc>) {
        let over = {
            let mut window = self.0.lock();
            let age = now - window.began;
            // A negative age means that the clock was set back.
            if age < WINDOW && age >= TimeDelta::zero() {
                return;
            }
            let next = Window {
                began: now,
                ..Window::default()
            };
            std::mem::replace(&mut *window, next)
        };
        over.report();
    }

    /// Logs the suppressed lines of the current minute.
    pub(super) fn report_now(&self) {
        std::mem::take(&mut *self.0.lock()).report();
    }
}

impl Window {
    fn report(self) {
        let mut others = self.others;
        let suppressed = self.sources.into_iter().filter(|(_, c)| c.suppressed > 0);
        for (n, ((key, address), counter)) in suppressed.enumerate() {
            if n < LINES_PER_SOURCE as usize {
                tracing::info!(target: AUDIT, key, %address, suppressed = counter.suppressed, "refused requests to the served store not logged");
            } else {
                others += counter.suppressed;
            }
        }
        if others > 0 {
            tracing::info!(target: AUDIT, suppressed = others, "refused requests of other keys and addresses to the served store not logged");
        }
    }
}

/// A text of a request for a log line: cut and escaped.
pub(super) fn printable(text: &str) -> String {
    twinkey_core::printable::printable(text, MAX_TEXT)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_000_000 + second, 0).unwrap()
    }

    fn address(n: u32) -> IpAddr {
        Ipv4Addr::from(n).into()
    }

    #[test]
    fn a_source_has_sixty_lines_a_minute() {
        let limit = RefusalLimit::default();
        let permitted = |n: usize, key: &str, from: IpAddr, second: i64| {
            (0..n)
                .filter(|_| limit.permits(key, from, at(second)))
                .count()
        };
        assert_eq!(permitted(100, "a", address(1), 0), 60);
        assert_eq!(permitted(100, "b", address(1), 0), 60);
        assert_eq!(permitted(100, "a", address(2), 59), 60);
        assert_eq!(permitted(100, "a", address(1), 59), 0);
        assert_eq!(permitted(100, "a", address(1), 60), 60);
        // The clock is set back.
        assert_eq!(permitted(100, "a", address(1), 0), 60);
    }

    #[test]
    fn many_addresses_share_one_limit_and_a_bounded_table() {
        let limit = RefusalLimit::default();
        let permitted = (0..5000)
            .filter(|n| limit.permits("", address(*n), at(0)))
            .count();
        assert_eq!(permitted, LINES as usize);
        let window = limit.0.lock();
        assert_eq!(window.sources.len(), SOURCES);
        let counted: u64 = window.sources.values().map(|c| c.suppressed).sum();
        assert_eq!(counted + window.others, 5000 - u64::from(LINES));
    }

    #[test]
    fn texts_of_a_request_are_escaped_and_cut() {
        let text = "a\n\u{1b}[31m\u{202e}b\u{2028}ä\"";
        assert_eq!(printable(text), "a\\u{a}\\u{1b}[31m\\u{202e}b\\u{2028}ä\"");
        assert_eq!(printable(&"x".repeat(9999)).chars().count(), MAX_TEXT + 1);
    }
}
