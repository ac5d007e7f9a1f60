//! Text output: aligned tables, colours on a terminal, short times.

use std::borrow::Cow;

use anstyle::Style;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::failure::Failure;
pub(super) use super::style::{BAD, DIM, GOOD, STRONG, WARN};
use twinkey_core::code::Code;
use twinkey_core::printable::escaped;
use twinkey_engines::{Finding, Severity};

/// Prints data as JSON.
pub(super) fn json(data: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(data).map_err(|error| {
        Failure::problem(
            Code::Internal,
            format!("the result cannot be written as JSON: {error}"),
            "report this defect of twinkey",
        )
    })?;
    anstream::println!("{text}");
    Ok(())
}

/// Prints that a selection has no rotation, with what would have happened to them.
pub(super) fn no_rotations(done: &str) {
    anstream::println!("{DIM}0 rotations {done}{DIM:#}");
}

/// A time to the second, in UTC; `-` for none.
pub(super) fn time(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(
        || "-".into(),
        |at| at.format("%Y-%m-%d %H:%M:%SZ").to_string(),
    )
}

/// A text, or `-` for none.
pub(super) fn or_dash(text: Option<&str>) -> &str {
    text.unwrap_or("-")
}

/// A cell with its style.
pub(super) struct Cell(pub String, pub Style);

impl Cell {
    /// A cell without style.
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self(text.into(), Style::new())
    }
}

/// Prints rows under headings, each column as wide as its widest cell; the last one is not padded.
pub(super) fn table(headings: &[&str], rows: &[Vec<Cell>]) {
    for line in lines(headings, rows) {
        anstream::println!("{line}");
    }
}

/// The lines of a table. Texts of a worker, a secret or a server cannot break a line.
fn lines(headings: &[&str], rows: &[Vec<Cell>]) -> Vec<String> {
    let rows: Vec<Vec<(Cow<'_, str>, Style)>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| (escaped(&cell.0), cell.1)).collect())
        .collect();
    let widths: Vec<usize> = headings
        .iter()
        .enumerate()
        .map(|(i, heading)| {
            rows.iter()
                .filter_map(|row| row.get(i))
                .map(|cell| cell.0.chars().count())
                .chain([heading.chars().count()])
                .max()
                .unwrap_or(0)
        })
        .collect();
    let last = headings.len().saturating_sub(1);
    let pad = |i: usize, text: &str| {
        let width = widths.get(i).copied().unwrap_or(0);
        let fill = width.saturating_sub(text.chars().count());
        " ".repeat(if i == last { 0 } else { fill + 2 })
    };
    let mut out = Vec::with_capacity(rows.len() + 1);
    let mut head = String::new();
    for (i, heading) in headings.iter().enumerate() {
        head.push_str(&format!("{DIM}{heading}{DIM:#}{}", pad(i, heading)));
    }
    out.push(head);
    for row in &rows {
        let mut line = String::new();
        for (i, (text, style)) in row.iter().enumerate() {
            line.push_str(&format!("{style}{text}{style:#}{}", pad(i, text)));
        }
        out.push(line.trim_end().to_owned());
    }
    out
}

/// A finding as one line, with its fix on the next line.
pub(super) fn finding_line(finding: &Finding) -> String {
    let (style, word) = match finding.severity {
        Severity::Note => (DIM, "note"),
        Severity::Warning => (WARN, "warning"),
        Severity::Error => (BAD, "error"),
    };
    let code = finding
        .code
        .map_or_else(String::new, |code| format!(" {DIM}[{code}]{DIM:#}"));
    let fix = finding.fix.as_ref().map_or_else(String::new, |fix| {
        format!("\n           {DIM}fix:{DIM:#} {}", escaped(fix))
    });
    format!(
        "{style}{word:<7}{style:#}  {}{code}{fix}",
        escaped(&finding.what)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_characters() {
        let rows = vec![
            vec![Cell::plain("ä"), Cell::plain("x")],
            vec![Cell::plain("long"), Cell::plain("y")],
        ];
        let plain: Vec<String> = lines(&["A", "B"], &rows)
            .iter()
            .map(|l| anstream::adapter::strip_str(l).to_string())
            .collect();
        assert_eq!(plain, ["A     B", "ä     x", "long  y"]);
    }
}
