//! Runs the rows of an engine and prints the table.
//!
//! # Failure modes
//! - A defect hides the next one: a row collects its problems, and all rows run.
//! - A row changes what another row reports: a row has users, a database, secrets, a config and a
//!   journal of its own. A fault of the whole server runs alone.

use std::panic::AssertUnwindSafe;
use std::path::Path;

use futures_util::{FutureExt, StreamExt, stream};
use serde_json::Value as Json;
use twinkey_stores::stage;

use super::MatrixEngine;
use super::cell::{Cell, Printed};
use super::row::{self, Report, Row};

/// Rows that run at the same time. They wait for the server most of the time.
const AT_ONCE: usize = 4;

/// The codes of `check` and `rotate`, the fix, and the problems of a row.
struct Line {
    columns: [String; 3],
    problems: Vec<String>,
}

/// Runs all rows, prints the table and fails with all problems.
pub async fn run_rows<E: MatrixEngine>(engine: &E) {
    let only = std::env::var("TWINKEY_MATRIX").unwrap_or_default();
    let rows: Vec<Row> = (row::all().into_iter())
        .filter(|row| row.engines.iter().any(|name| name == engine.name()))
        .filter(|row| row.fault.contains(&only))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let run = |(number, row)| run_and_print(engine, folder.path(), number, row);
    let together = rows.iter().enumerate().filter(|(_, row)| !row.alone);
    let together: Vec<_> = together.map(run).collect();
    let together = stream::iter(together).buffered(AT_ONCE);
    let mut problems = together.collect::<Vec<_>>().await.concat();
    for row in rows.iter().enumerate().filter(|(_, row)| row.alone) {
        problems.extend(run(row).await);
    }
    let number = problems.len();
    assert!(
        problems.is_empty(),
        "{number} problems:\n{}",
        problems.join("\n")
    );
}

/// Runs a row, prints its line of the table and returns its problems.
async fn run_and_print<E: MatrixEngine>(
    engine: &E,
    folder: &Path,
    number: usize,
    row: &Row,
) -> Vec<String> {
    let line = AssertUnwindSafe(run_row(engine, folder, number, row));
    // A panic has printed its message.
    let line = line.catch_unwind().await.unwrap_or_else(|_| Line {
        columns: [String::new(), String::new(), String::new()],
        problems: vec!["panicked".to_owned()],
    });
    let [check, rotate, fix] = &line.columns;
    let (engine, fault) = (engine.name(), &row.fault);
    println!("{engine:<10} {fault:<60} {check:<22} {rotate:<22} {fix}");
    let problems = line.problems.iter();
    problems
        .map(|problem| format!("{engine} / {fault}: {problem}"))
        .collect()
}

async fn run_row<E: MatrixEngine>(engine: &E, folder: &Path, number: usize, row: &Row) -> Line {
    let mut problems = Vec::new();
    let mut cell = Cell::create(engine, folder, number, row).await;
    for step in &row.setup {
        cell.step(step).await;
    }
    let before = cell.state().await;
    let current = cell.read(&cell.secret(), stage::CURRENT).await;
    let check = cell.twinkey(&["check", "shop", "--json"]).await;
    let plan = cell.twinkey(&["plan", "shop"]).await;
    if cell.state().await != before {
        problems.push("check or plan changed the pair or the secret".to_owned());
    }
    let rotate = cell.twinkey(&["rotate", "shop"]).await;
    let (found, fix) = first_finding(&check, row.report);
    let mut fixed = String::new();
    if let Some(code) = row.code {
        let code = code.as_str();
        expect(
            &mut problems,
            "rotate",
            rotate.code.as_deref(),
            Some(code),
            &rotate,
        );
        let failed = rotate.status.is_some_and(|status| status != 0);
        if !failed {
            problems.push(format!("rotate exits with {:?}", rotate.status));
        }
        if row.report == Report::Nothing {
            let ok = check.status == Some(0);
            let unexpected = (!ok).then(|| format!("check: {}{}", check.message, check.stdout));
            problems.extend(unexpected);
        } else {
            expect(
                &mut problems,
                "plan",
                plan.code.as_deref(),
                Some(code),
                &plan,
            );
            expect(&mut problems, "check", found.as_deref(), Some(code), &check);
            let is_error = row.report != Report::Warns;
            if (check.status != Some(0)) != is_error {
                problems.push(format!("check exits with {:?}", check.status));
            }
            if cell.state().await != before {
                problems.push("the refused run changed the pair or the secret".to_owned());
            }
            if fix.is_empty() || !rotate.hint.contains(&fix) {
                problems.push(format!(
                    "check's fix is {fix:?}, the run's {:?}",
                    rotate.hint
                ));
            }
        }
        let now = cell.read(&cell.secret(), stage::CURRENT).await;
        if now.map(|(_, id)| id) != current.map(|(_, id)| id) {
            problems.push("the failed run moved AWSCURRENT".to_owned());
        }
        match cell.mend(row, &rotate.hint).await {
            Ok(how) => fixed = how,
            Err(problem) => problems.push(problem),
        }
        let again = cell.twinkey(&["rotate", "shop"]).await;
        if again.status != Some(0) {
            problems.push(format!("rotate after {fixed:?}: {}", again.message));
        }
    } else {
        for (what, printed) in [("check", &check), ("plan", &plan), ("rotate", &rotate)] {
            if printed.status != Some(0) {
                problems.push(format!("{what}: {}{}", printed.message, printed.stdout));
            }
        }
    }
    if let Err(error) = cell.current_signs_in().await {
        problems.push(format!("AWSCURRENT does not sign in: {error}"));
    }
    let shown = |code: Option<String>| code.unwrap_or_else(|| "ok".to_owned());
    Line {
        columns: [shown(found), shown(rotate.code), fixed],
        problems,
    }
}

fn expect(
    problems: &mut Vec<String>,
    command: &str,
    code: Option<&str>,
    expected: Option<&str>,
    printed: &Printed,
) {
    if code != expected {
        let Printed {
            message, stdout, ..
        } = printed;
        problems.push(format!(
            "{command}: {code:?} instead of {expected:?}: {message}{stdout}"
        ));
    }
}

/// The code and the fix of the first finding against a run. Where `check` ends with an error, that
/// one's.
fn first_finding(check: &Printed, report: Report) -> (Option<String>, String) {
    let Ok(reports) = serde_json::from_str::<Json>(&check.stdout) else {
        return (check.code.clone(), check.hint.clone());
    };
    let severity = if report == Report::Warns {
        "warning"
    } else {
        "error"
    };
    let findings = reports[0]["findings"].as_array();
    let mut against = findings
        .into_iter()
        .flatten()
        .filter(|finding| finding["severity"] == severity && finding["code"].is_string());
    let first = against.next().unwrap_or(&Json::Null);
    let text = |key: &str| first[key].as_str().map(str::to_owned);
    (text("code"), text("fix").unwrap_or_default())
}
