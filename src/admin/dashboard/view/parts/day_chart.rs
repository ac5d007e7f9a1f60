//! Chart of the windows of the next 24 hours.
//!
//! # Failure modes
//! - Blocks overlap: each gets a free lane; with too few lanes, columns count the open windows of each
//!   quarter of an hour.
//! - A screen reader cannot read the chart: a list below has the same content.

use chrono::{DateTime, DurationRound, TimeDelta, Timelike, Utc};
use maud::{Markup, html};

use super::chart_layout::{COLUMNS, Label, label, lanes, percent, quarters, span};
use super::notice::count;
use super::time::{instant, when};
use crate::worker::upcoming::{AHEAD, WindowGroup};

/// The height of a lane, in pixels.
const LANE_HEIGHT: usize = 24;
/// The height of the columns, in pixels.
const COLUMN_HEIGHT: usize = 96;
/// The largest number of lines of the list.
const LIST_LIMIT: usize = 50;

/// The windows of the chart and their lanes.
pub(in crate::admin::dashboard) struct DayChart<'a> {
    /// Ordered by opening.
    blocks: Vec<(&'a str, WindowGroup)>,
    /// The lane of each block; `None` if there are too few lanes.
    lanes: Option<Vec<usize>>,
}

impl<'a> DayChart<'a> {
    /// A chart of window groups with the names of their rotations.
    pub(in crate::admin::dashboard) fn new(
        mut blocks: Vec<(&'a str, WindowGroup)>,
        now: DateTime<Utc>,
    ) -> Self {
        blocks.sort_by_key(|(name, block)| (block.opens, *name));
        let lanes = lanes(&blocks, now);
        Self { blocks, lanes }
    }
}

/// The chart and its list.
pub(in crate::admin::dashboard) fn picture(chart: &DayChart, now: DateTime<Utc>) -> Markup {
    let blocks = &chart.blocks;
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
    let height = match &chart.lanes {
        Some(lanes) => (lanes.iter().max().unwrap_or(&0) + 1) * LANE_HEIGHT,
        None => COLUMN_HEIGHT,
    };
    html! {
        svg.strip role="img" aria-label=(title) width="100%" height=(height + 22) {
            (hours(now, height))
            @match &chart.lanes {
                Some(lanes) => (block_lanes(blocks, lanes, now)),
                None => (columns(blocks, now)),
            }
        }
        details #windows .windows {
            summary { (title) }
            (list(blocks, now))
        }
    }
}

/// The hours, every third one labelled.
fn hours(now: DateTime<Utc>, height: usize) -> Markup {
    let first = now.duration_trunc(TimeDelta::hours(1)).unwrap_or(now);
    html! {
        @for hour in 1..=24 {
            @let at = first + TimeDelta::hours(hour);
            @let x = percent(at, now);
            @if at.hour().is_multiple_of(3) && x < 100.0 {
                line.tick x1={ (x) "%" } x2={ (x) "%" } y1="0" y2=(height) {}
                // Labels at the ends would be cut off.
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

fn block_lanes(blocks: &[(&str, WindowGroup)], lanes: &[usize], now: DateTime<Utc>) -> Markup {
    html! {
        @for ((name, block), lane) in blocks.iter().zip(lanes) {
            @let span = span(block, now);
            @let y = lane * LANE_HEIGHT;
            @let (x, anchor, shift) = match label(span, name).0 {
                Label::After => (span.from + span.length, "start", 6),
                Label::Before => (span.from, "end", -6),
                Label::Inside => (span.from, "start", 6),
            };
            @let inside = label(span, name).0 == Label::Inside;
            g.block .open[block.opens <= now] {
                title { (describe(name, block)) }
                rect x={ (round(span.from)) "%" } y=(y + 3) width={ (round(span.length)) "%" } height=(LANE_HEIGHT - 6) rx="4" {}
                text .inside[inside] x={ (round(x)) "%" } y=(y + 16) dx=(shift) text-anchor=(anchor) { (name) }
            }
        }
    }
}

fn round(percent: f64) -> f64 {
    (percent * 100.0).round() / 100.0
}

/// A block as text.
fn describe(name: &str, block: &WindowGroup) -> String {
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

fn columns(blocks: &[(&str, WindowGroup)], now: DateTime<Utc>) -> Markup {
    let open = quarters(blocks, now);
    let most = open.iter().max().copied().unwrap_or_default().max(1);
    let width = 100.0 / f64::from(COLUMNS);
    html! {
        @for (column, n) in (0..COLUMNS).zip(open).filter(|(_, n)| *n > 0) {
            @let begins = now + TimeDelta::minutes(15) * i32::from(column);
            @let height = (n * (COLUMN_HEIGHT - 16)).div_ceil(most);
            g.block {
                title {
                    (begins.format("%-d %b %H:%M")) " to " ((begins + TimeDelta::minutes(15)).format("%H:%M UTC"))
                    ": " (count(n, "window", "windows")) " open"
                }
                rect x={ (round(width * f64::from(column))) "%" } y=(COLUMN_HEIGHT - height)
                    width={ (round(width * 0.86)) "%" } height=(height) {}
            }
        }
        text.most x="0" dx="6" y="11" { "at most " (count(most, "window", "windows")) " open at once" }
    }
}

fn list(blocks: &[(&str, WindowGroup)], now: DateTime<Utc>) -> Markup {
    html! {
        table {
            thead {
                tr {
                    th scope="col" { "Rotation" } th scope="col" { "Opens" }
                    th scope="col" { "The run starts" } th scope="col" { "Closes" }
                }
            }
            tbody {
                @for (name, block) in blocks.iter().take(LIST_LIMIT) {
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
        @if blocks.len() > LIST_LIMIT {
            p.faint { "These are the first " (LIST_LIMIT) " of " (blocks.len()) ". Filter the rotations below to see others." }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::chart_layout::tests::{block, now};
    use super::*;

    #[test]
    fn every_window_is_a_block_with_its_name_and_times() {
        let blocks = vec![
            ("b", block(0, 60)),
            ("a", block(0, 60)),
            ("c", block(600, 60)),
            ("d", block(1380, 60)),
        ];
        let chart = DayChart::new(blocks, now());
        assert_eq!(chart.lanes, Some(vec![0, 1, 0, 0]));
        let picture = picture(&chart, now()).into_string();
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
    fn too_many_windows_are_counted_in_columns() {
        let names: Vec<String> = (0..300).map(|n| format!("r{n}")).collect();
        let blocks = names.iter().map(|name| (name.as_str(), block(15, 30)));
        let chart = DayChart::new(blocks.collect(), now());
        assert_eq!(chart.lanes, None);
        let open = quarters(&chart.blocks, now());
        assert_eq!(open[..4], [0, 300, 300, 0]);
        let picture = picture(&chart, now()).into_string();
        assert_eq!(picture.matches("<rect").count(), 2);
        assert!(picture.contains("25 Nov 10:22 to 10:37 UTC: 300 windows open"));
        assert!(picture.contains("the first 50 of 300"));
    }
}
