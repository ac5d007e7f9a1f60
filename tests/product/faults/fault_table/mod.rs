//! The fault table: faults that are injected while a worker runs, and what the worker shows of each
//! within seconds, in `status`, `/readyz`, the metrics, the history, the record, the log and the
//! dashboard.
//!
//! Each row has a worker and a database server of its own. After the fault is removed, the worker
//! must be ready again and rotate, and the history must have both.
//!
//! # Failure modes
//! - A column shows what was there before the fault: the log is read from the injection on, and a
//!   row begins with a worker that shows no problem.
//! - A row hides the next one: problems are collected, and all rows run.

mod gate;
mod row;
mod rows;
mod shown;
mod stage;

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt, stream};

use self::row::Row;
use self::shown::{COLUMNS, Shown};
use self::stage::Stage;
use twinkey_testkit::environment::until;

/// Rows that run at the same time. They wait most of the time.
const AT_ONCE: usize = 3;

/// The time that a row waits for its columns. A fault that is shown later than promised is printed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The time in which a fault is shown, as the table promises it, in seconds.
const PROMISED: f64 = 10.0;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make fault-table: minutes"]
async fn each_fault_is_shown_everywhere() {
    let only = std::env::var("TWINKEY_FAULTS").unwrap_or_default();
    let rows: Vec<Row> = rows::all();
    let rows = rows.into_iter().filter(|row| row.fault.contains(&only));
    println!("| fault | {} | shown after | then |", COLUMNS.join(" | "));
    println!("|{}", " --- |".repeat(COLUMNS.len() + 3));
    let lines = stream::iter(rows.map(run_and_print)).buffered(AT_ONCE);
    let problems = lines.collect::<Vec<_>>().await.concat();
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// Runs a row, prints its line of the table and returns its problems.
async fn run_and_print(row: Row) -> Vec<String> {
    let fault = row.fault;
    // A panic has printed its message.
    let line = AssertUnwindSafe(run(row)).catch_unwind().await;
    let (line, problems) = line.unwrap_or_else(|_| (String::new(), vec!["panicked".to_owned()]));
    println!("| {fault} | {line} |");
    let problems = problems.iter();
    problems
        .map(|problem| format!("{fault}: {problem}"))
        .collect()
}

async fn run(row: Row) -> (String, Vec<String>) {
    let mut stage = Stage::open(row.setup, row.prepare).await;
    (row.inject)(&mut stage).await;
    let begun = Instant::now();
    let mut problems = Vec::new();
    let shown = Shown::wait(&stage, &row.expected, PATIENCE).await;
    let differences = shown.differences(&row.expected);
    if !differences.is_empty() {
        problems.push(format!("{}\n{}", differences.join("; "), stage.log()));
    }
    let seconds = begun.elapsed().as_secs_f64();
    if seconds > PROMISED {
        println!("later than {PROMISED} s: {}", row.fault);
    }
    let then = match row.lift {
        None => "stays",
        Some(lift) => {
            lift(&mut stage).await;
            until("the worker is ready again", async || {
                stage.ready().await == "200"
            })
            .await;
            stage.rotates_again().await;
            "rotates again, and the history has both"
        }
    };
    stage.close().await;
    (
        format!("{} | {seconds:.1} s | {then}", shown.line(&row.expected)),
        problems,
    )
}
