//! `twinkey schedule`: the next windows of a schedule, or an error that marks the invalid field.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::schedule::{Schedule, ScheduleError, Window, WindowPlan};
use twinkey_core::telemetry::Clock;

use crate::cli::failure::Failure;
use crate::cli::output::{self, BAD, Cell, DIM, time};
use twinkey_core::code::Diagnostic;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Schedule, for example 'cron(0 7 * * ? *)' or 'rate(30 days)', in UTC
    #[arg(value_name = "EXPR")]
    expression: String,
    /// Length of each window
    #[arg(long, default_value = "1h", value_parser = crate::config::duration::parse)]
    window: Duration,
    /// Show windows that open after this time (RFC 3339), which `rate` counts from; now by default
    #[arg(long, value_name = "TIME")]
    from: Option<DateTime<Utc>>,
    /// Number of windows
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    count: u16,
    /// Print the windows as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct ScheduleOutput {
    schedule: String,
    windows: Vec<Window>,
    /// The reason why AWS's own rotation would refuse it.
    aws_refuses: Option<String>,
}

pub(in crate::cli) fn run(args: &Args) -> Result<(), Failure> {
    let schedule =
        Schedule::parse(&args.expression).map_err(|e| mark_error(&args.expression, &e))?;
    let aws_refuses = schedule.aws_refuses(args.window);
    let plan = WindowPlan::new(schedule, args.window, Duration::ZERO)
        .map_err(|error| Failure::usage(error.to_string(), error.hint()))?;
    let from = args.from.unwrap_or_else(|| Clock::system().now());
    let windows: Vec<Window> = std::iter::successors(plan.next_window(from, from), |last| {
        plan.next_window(last.opens, from)
    })
    .take(usize::from(args.count))
    .collect();
    if args.json {
        return output::json(&ScheduleOutput {
            schedule: plan.schedule.to_string(),
            windows,
            aws_refuses,
        });
    }
    let rows: Vec<Vec<Cell>> = windows
        .iter()
        .map(|w| {
            vec![
                Cell::plain(w.opens.format("%a").to_string()),
                Cell::plain(time(Some(w.opens))),
                Cell::plain(time(Some(w.closes))),
            ]
        })
        .collect();
    output::table(&["DAY", "OPENS", "CLOSES"], &rows);
    if let Some(why) = aws_refuses {
        anstream::println!("{DIM}note: AWS's own rotation would refuse this: {why}{DIM:#}");
    }
    Ok(())
}

/// Prints the expression with the invalid field underlined; returns the error.
fn mark_error(expression: &str, error: &ScheduleError) -> Failure {
    let (from, to) = error.span;
    let before = expression.get(..from).unwrap_or_default().chars().count();
    let under = expression.get(from..to).unwrap_or_default().chars().count();
    anstream::eprintln!(
        "  {expression}\n  {}{BAD}{}{BAD:#}",
        " ".repeat(before),
        "^".repeat(under.max(1))
    );
    Failure::usage(error.message.clone(), error.hint.clone())
}
