//! Layout of the 24-hour chart: positions, lanes and columns.

use chrono::{DateTime, Utc};

use crate::worker::upcoming::{AHEAD, WindowGroup};

/// The largest number of lanes.
const LANES: usize = 12;
/// The number of columns, each a quarter of an hour.
pub(super) const COLUMNS: u8 = 96;
/// The width reserved per letter, in percent of a lane; narrow screens show no names.
const LETTER_WIDTH: f64 = 0.9;

/// A horizontal span, in percent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Span {
    pub from: f64,
    pub length: f64,
}

/// The position of a time, in percent, clamped to the chart.
pub(super) fn percent(at: DateTime<Utc>, now: DateTime<Utc>) -> f64 {
    let share = (at - now).as_seconds_f64() / AHEAD.as_seconds_f64();
    (share * 100.0).clamp(0.0, 100.0)
}

/// The span of a window group.
pub(super) fn span(block: &WindowGroup, now: DateTime<Utc>) -> Span {
    // A short block gets a visible width.
    const MIN_LENGTH: f64 = 0.4;
    let from = percent(block.opens, now).min(100.0 - MIN_LENGTH);
    let length = (percent(block.closes, now) - from).max(MIN_LENGTH);
    Span { from, length }
}

/// The position of a block's name: after it, before it, or inside a block that fills the chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    After,
    Before,
    Inside,
}

/// The position of a name, and its width.
pub(super) fn label(span: Span, name: &str) -> (Label, f64) {
    let width = name.chars().count() as f64 * LETTER_WIDTH + 1.0;
    let label = if span.length >= width {
        Label::Inside
    } else if span.from + span.length + width <= 100.0 {
        Label::After
    } else if span.from >= width {
        Label::Before
    } else {
        Label::Inside
    };
    (label, width)
}

/// The first free lane of each block with its name; `None` if there are too few lanes.
pub(super) fn lanes(blocks: &[(&str, WindowGroup)], now: DateTime<Utc>) -> Option<Vec<usize>> {
    let mut taken: [Vec<(f64, f64)>; LANES] = Default::default();
    let mut lanes = Vec::with_capacity(blocks.len().min(LANES * 100));
    for (name, block) in blocks {
        let span = span(block, now);
        let (from, to) = match label(span, name) {
            (Label::Inside, _) => (span.from, span.from + span.length),
            (Label::After, room) => (span.from, span.from + span.length + room),
            (Label::Before, room) => (span.from - room, span.from + span.length),
        };
        let free = |lane: &[(f64, f64)]| lane.iter().all(|(f, t)| to <= *f || from >= *t);
        let (number, lane) = taken.iter_mut().enumerate().find(|(_, lane)| free(lane))?;
        lane.push((from, to));
        lanes.push(number);
    }
    Some(lanes)
}

/// The number of open windows in each quarter of an hour.
pub(super) fn quarters(
    blocks: &[(&str, WindowGroup)],
    now: DateTime<Utc>,
) -> [usize; COLUMNS as usize] {
    const QUARTER: i64 = 15 * 60;
    let seconds = |at: DateTime<Utc>| (at - now).num_seconds().clamp(0, AHEAD.num_seconds());
    let mut open = [0; COLUMNS as usize];
    for (_, block) in blocks {
        let from = seconds(block.opens) / QUARTER;
        let to = (seconds(block.closes) + QUARTER - 1) / QUARTER;
        for (column, quarter) in (0..).zip(&mut open) {
            if column >= from && column < to.max(from + 1) {
                *quarter += 1;
            }
        }
    }
    open
}

#[cfg(test)]
pub(super) mod tests {
    use chrono::TimeDelta;

    use super::*;

    pub(in super::super) fn now() -> DateTime<Utc> {
        "2026-11-25T10:07:00Z".parse().unwrap()
    }

    /// A block that opens `from` minutes from now, for `length` minutes.
    pub(in super::super) fn block(from: i64, length: i64) -> WindowGroup {
        let opens = now() + TimeDelta::minutes(from);
        WindowGroup {
            opens,
            closes: opens + TimeDelta::minutes(length),
            starts: opens,
            windows: 1,
        }
    }

    #[test]
    fn blocks_and_their_names_do_not_overlap() {
        let names: Vec<String> = (0..40).map(|n| "n".repeat(n % 17 + 1)).collect();
        let at = |n: usize| block((n * 431 % 1440) as i64 - 20, (n * 37 % 90) as i64 + 5);
        let blocks = names
            .iter()
            .enumerate()
            .map(|(n, name)| (name.as_str(), at(n)));
        let blocks: Vec<(&str, WindowGroup)> = blocks.collect();
        let lanes = lanes(&blocks, now()).unwrap();
        let taken: Vec<(usize, f64, f64)> = blocks
            .iter()
            .zip(&lanes)
            .map(|((name, block), lane)| {
                let span = span(block, now());
                let (before, after) = match label(span, name) {
                    (Label::Inside, _) => (0.0, 0.0),
                    (Label::After, room) => (0.0, room),
                    (Label::Before, room) => (room, 0.0),
                };
                (*lane, span.from - before, span.from + span.length + after)
            })
            .collect();
        for (n, (lane, from, to)) in taken.iter().enumerate() {
            assert!(*from >= 0.0 && *lane < LANES);
            for (other, begins, ends) in &taken[n + 1..] {
                assert!(lane != other || to <= begins || from >= ends, "{taken:?}");
            }
        }
    }

    #[test]
    fn a_block_is_cut_at_the_edges_of_the_chart() {
        assert_eq!(
            span(&block(-30, 60), now()),
            Span {
                from: 0.0,
                length: percent(now() + TimeDelta::minutes(30), now())
            }
        );
        let late = span(&block(1430, 60), now());
        assert!(late.from + late.length <= 100.0 + 1e-9, "{late:?}");
    }
}
