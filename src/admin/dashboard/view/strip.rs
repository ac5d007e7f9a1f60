//! The next 24 hours: every window as a block.
//!
//! What can go wrong, and what prevents it: blocks cover each other or cannot be told apart. Each has a
//! free place in a lane; where there are not lanes enough, the picture is how many are open in each quarter
//! of an hour. Beside it is a list, for those to whom a picture tells nothing.

use chrono::{DateTime, DurationRound, TimeDelta, Timelike, Utc};
use maud::{Markup, html};

use super::count;
use super::lanes::{COLUMNS, Label, label, lanes, percent, quarters, span};
use super::time::{instant, when};
use crate::worker::outlook::{AHEAD, Block};

/// The height of a lane, in pixels.
const LANE: usize = 24;
/// The height of the columns, in pixels.
const COLUMN: usize = 96;
/// How many lines the list has at the most.
const LISTED: usize = 50;
/// What is drawn.
pub(in crate::admin::dashboard) struct Strip<'a> {
    /// By their opening.
    blocks: Vec<(&'a str, Block)>,
    /// The lane of each block; `None`: there are not lanes enough.
    lanes: Option<Vec<usize>>,
}

impl<'a> Strip<'a> {
    /// Blocks with the names of their rotations.
    pub(in crate::admin::dashboard) fn new(
        mut blocks: Vec<(&'a str, Block)>,
        now: DateTime<Utc>,
    ) -> Self {
        blocks.sort_by_key(|(name, block)| (block.opens, *name));
        let lanes = lanes(&blocks, now);
        Self { blocks, lanes }
    }
}

/// The picture and the list.
pub(in crate::admin::dashboard) fn picture(strip: &Strip, now: DateTime<Utc>) -> Markup {
    let blocks = &strip.blocks;
    if blocks.is_empty() {
        return html! { p.empty { "No window opens within 24 hours." } };
    }
    let windows = blocks.iter().map(|(_, block)| block.windows as usize).sum();
    let rotations: std::collections::HashSet<&str> = blocks.iter().map(|(name, _)| *name).collect();
    let title = format!(
        "{} of {} until {}",
        count(windows, "window", "windows"),
        count(rotations.len(), "rotation", "rotations"),
        (now + AHEAD).format("%-d %b %H:%M UTC")
    );
    let height = match &strip.lanes {
        Some(lanes) => (lanes.iter().max().unwrap_or(&0) + 1) * LANE,
        None => COLUMN,
    };
    html! {
        svg.strip role="img" aria-label=(title) width="100%" height=(height + 22) {
            (hours(now, height))
            @match &strip.lanes {
                Some(lanes) => (drawn(blocks, lanes, now)),
                None => (columns(blocks, now)),
            }
        }
        details #windows .windows {
            summary { (title) }
            (list(blocks, now))
        }
    }
}

/// The hours, every third one with its name.
fn hours(now: DateTime<Utc>, height: usize) -> Markup {
    let first = now.duration_trunc(TimeDelta::hours(1)).unwrap_or(now);
    html! {
        @for hour in 1..=24 {
            @let at = first + TimeDelta::hours(hour);
            @let x = percent(at, now);
            @if at.hour().is_multiple_of(3) && x < 100.0 {
                line.tick x1={ (x) "%" } x2={ (x) "%" } y1="0" y2=(height) {}
                // The names at the ends would be cut off.
                @if (5.0..95.0).contains(&x) {
                    text.hour .minor[!at.hour().is_multiple_of(6)] x={ (x) "%" } y=(height + 16) text-anchor="middle" {
                        @if at.hour() == 0 { (at.format("%a %-d")) } @else { (at.format("%H:%M")) }
                    }
                }
            }
        }
        line.now x1="0" x2="0" y1="0" y2=(height) {}
    }
}

fn drawn(blocks: &[(&str, Block)], lanes: &[usize], now: DateTime<Utc>) -> Markup {
    html! {
        @for ((name, block), lane) in blocks.iter().zip(lanes) {
            @let span = span(block, now);
            @let y = lane * LANE;
            @let (x, anchor, shift) = match label(span, name).0 {
                Label::After => (span.from + span.length, "start", 6),
                Label::Before => (span.from, "end", -6),
                Label::Inside => (span.from, "start", 6),
            };
            @let inside = label(span, name).0 == Label::Inside;
            g.block .open[block.opens <= now] {
                title { (told(name, block)) }
                rect x={ (round(span.from)) "%" } y=(y + 3) width={ (round(span.length)) "%" } height=(LANE - 6) rx="4" {}
                text .inside[inside] x={ (round(x)) "%" } y=(y + 16) dx=(shift) text-anchor=(anchor) { (name) }
            }
        }
    }
}

fn round(percent: f64) -> f64 {
    (percent * 100.0).round() / 100.0
}

/// A block in words.
fn told(name: &str, block: &Block) -> String {
    let (opens, closes) = (
        block.opens.format("%-d %b %H:%M"),
        block.closes.format("%H:%M"),
    );
    match block.windows {
        1 => format!("{name}: {opens} to {closes} UTC"),
        n => format!(
            "{name}: {} from {opens} to {closes} UTC",
            count(n as usize, "window", "windows")
        ),
    }
}

fn columns(blocks: &[(&str, Block)], now: DateTime<Utc>) -> Markup {
    let open = quarters(blocks, now);
    let most = open.iter().max().copied().unwrap_or_default().max(1);
    let width = 100.0 / f64::from(COLUMNS);
    html! {
        @for (place, n) in (0..COLUMNS).zip(open).filter(|(_, n)| *n > 0) {
            @let begins = now + TimeDelta::minutes(15) * i32::from(place);
            @let height = (n * (COLUMN - 16)).div_ceil(most);
            g.block {
                title {
                    (begins.format("%-d %b %H:%M")) " to " ((begins + TimeDelta::minutes(15)).format("%H:%M UTC"))
                    ": " (count(n, "window", "windows")) " open"
                }
                rect x={ (round(width * f64::from(place))) "%" } y=(COLUMN - height)
                    width={ (round(width * 0.86)) "%" } height=(height) {}
            }
        }
        text.most x="0" dx="6" y="11" { "at most " (count(most, "window", "windows")) " open at once" }
    }
}

fn list(blocks: &[(&str, Block)], now: DateTime<Utc>) -> Markup {
    html! {
        table {
            thead {
                tr {
                    th scope="col" { "Rotation" } th scope="col" { "Opens" }
                    th scope="col" { "The run starts" } th scope="col" { "Closes" }
                }
            }
            tbody {
                @for (name, block) in blocks.iter().take(LISTED) {
                    tr {
                        td { a href={ "/rotations/" (name) } { (name) }
                            @if block.windows > 1 { " " span.far { (count(block.windows as usize, "window", "windows")) } } }
                        td { (when(block.opens, now)) }
                        td { (instant(block.starts, now)) }
                        td { (instant(block.closes, now)) }
                    }
                }
            }
        }
        @if blocks.len() > LISTED {
            p.faint { "These are the first " (LISTED) " of " (blocks.len()) ": filter the rotations below to see others." }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lanes::tests::{block, now};
    use super::*;

    #[test]
    fn every_window_is_a_block_of_its_own_place_with_its_name_and_times() {
        let blocks = vec![
            ("b", block(0, 60)),
            ("a", block(0, 60)),
            ("c", block(600, 60)),
            ("d", block(1380, 60)),
        ];
        let strip = Strip::new(blocks, now());
        assert_eq!(strip.lanes, Some(vec![0, 1, 0, 0]));
        let picture = picture(&strip, now()).into_string();
        assert_eq!(picture.matches("<rect").count(), 4);
        for part in [
            "4 windows of 4 rotations until 26 Nov 10:07 UTC",
            "<title>a: 25 Nov 10:07 to 11:07 UTC</title>",
            "x=\"41.67%\"",
            "<details",
            "href=\"/rotations/d\"",
            ">Thu 26<",
        ] {
            assert!(picture.contains(part), "{part}: {picture}");
        }
    }

    #[test]
    fn more_windows_than_there_are_lanes_are_columns_that_count_them() {
        let names: Vec<String> = (0..300).map(|n| format!("r{n}")).collect();
        let blocks = names.iter().map(|name| (name.as_str(), block(15, 30)));
        let strip = Strip::new(blocks.collect(), now());
        assert_eq!(strip.lanes, None);
        let open = quarters(&strip.blocks, now());
        assert_eq!(open[..4], [0, 300, 300, 0]);
        let picture = picture(&strip, now()).into_string();
        assert_eq!(picture.matches("<rect").count(), 2);
        assert!(picture.contains("25 Nov 10:22 to 10:37 UTC: 300 windows open"));
        assert!(picture.contains("the first 50 of 300"));
    }
}
