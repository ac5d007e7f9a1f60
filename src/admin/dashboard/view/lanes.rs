//! Where the blocks of the next 24 hours stand: arithmetic.

use chrono::{DateTime, Utc};

use crate::worker::outlook::{AHEAD, Block};

/// How many lanes the picture has at the most.
const LANES: usize = 12;
/// A quarter of an hour each.
pub(super) const COLUMNS: u8 = 96;
/// The room of a letter in a lane, in percent of its length: generous on a wide screen. A narrow one shows no names.
const LETTER: f64 = 0.9;

/// A span in the picture, in percent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Span {
    pub from: f64,
    pub length: f64,
}

/// Where an instant is in the picture, in percent; what is outside is at its edge.
pub(super) fn percent(at: DateTime<Utc>, now: DateTime<Utc>) -> f64 {
    let share = (at - now).as_seconds_f64() / AHEAD.as_seconds_f64();
    (share * 100.0).clamp(0.0, 100.0)
}

/// Where a block is.
pub(super) fn span(block: &Block, now: DateTime<Utc>) -> Span {
    // What is too short to be seen is drawn a little longer.
    const LEAST: f64 = 0.4;
    let from = percent(block.opens, now).min(100.0 - LEAST);
    let length = (percent(block.closes, now) - from).max(LEAST);
    Span { from, length }
}

/// Where the name of a block stands: after it, before it, or in it where it fills the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    After,
    Before,
    Inside,
}

/// Where its name stands, and the room that takes.
pub(super) fn label(span: Span, name: &str) -> (Label, f64) {
    let room = name.chars().count() as f64 * LETTER + 1.0;
    let label = if span.length >= room {
        Label::Inside
    } else if span.from + span.length + room <= 100.0 {
        Label::After
    } else if span.from >= room {
        Label::Before
    } else {
        Label::Inside
    };
    (label, room)
}

/// The first free lane of each block, with its name.
pub(super) fn lanes(blocks: &[(&str, Block)], now: DateTime<Utc>) -> Option<Vec<usize>> {
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

/// How many windows are open in each quarter of an hour.
pub(super) fn quarters(blocks: &[(&str, Block)], now: DateTime<Utc>) -> [usize; COLUMNS as usize] {
    const QUARTER: i64 = 15 * 60;
    let seconds = |at: DateTime<Utc>| (at - now).num_seconds().clamp(0, AHEAD.num_seconds());
    let mut open = [0; COLUMNS as usize];
    for (_, block) in blocks {
        let from = seconds(block.opens) / QUARTER;
        let to = (seconds(block.closes) + QUARTER - 1) / QUARTER;
        for (place, quarter) in (0..).zip(&mut open) {
            if place >= from && place < to.max(from + 1) {
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

    /// From so many minutes from now on, for so many.
    pub(in super::super) fn block(from: i64, length: i64) -> Block {
        let opens = now() + TimeDelta::minutes(from);
        Block {
            opens,
            closes: opens + TimeDelta::minutes(length),
            starts: opens,
            windows: 1,
        }
    }

    #[test]
    fn blocks_and_their_names_never_cover_each_other() {
        let names: Vec<String> = (0..40).map(|n| "n".repeat(n % 17 + 1)).collect();
        let at = |n: usize| block((n * 431 % 1440) as i64 - 20, (n * 37 % 90) as i64 + 5);
        let blocks = names
            .iter()
            .enumerate()
            .map(|(n, name)| (name.as_str(), at(n)));
        let blocks: Vec<(&str, Block)> = blocks.collect();
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
    fn a_block_that_ends_after_the_picture_or_began_before_it_is_cut_at_its_edge() {
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
