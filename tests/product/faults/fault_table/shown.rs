//! What a worker shows at one moment.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::Value as Json;

use super::row::Expected;
use super::stage::Stage;
use crate::admin::TOKEN;
use crate::admin::dashboard::DashboardClient;

/// The columns of the table.
pub const COLUMNS: [&str; 7] = [
    "`status`",
    "`/readyz`",
    "`/metrics`",
    "history",
    "record",
    "log",
    "dashboard",
];

/// The column that begins with an expected text: a code may follow, or be that of a time-out.
const READY: usize = 1;
/// The column that an expected text is a part of.
const LOG: usize = 5;

/// The texts of the columns.
pub struct Shown([String; COLUMNS.len()]);

impl Shown {
    /// Waits for each column until it is as expected, or for `patience`. Each is read for itself, so
    /// that a slow one does not delay the others.
    pub async fn wait(stage: &Stage, expected: &Expected, patience: Duration) -> Self {
        let columns = expected.iter().enumerate();
        let columns = columns.map(async |(column, expected)| {
            let begun = Instant::now();
            loop {
                let shown = read(stage, column).await;
                if is(column, &shown, expected) || begun.elapsed() > patience {
                    return shown;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        let columns = join_all(columns).await;
        Self(columns.try_into().unwrap())
    }

    pub fn differences(&self, expected: &Expected) -> Vec<String> {
        let columns = self.0.iter().zip(expected).enumerate();
        let differ = columns.filter(|(column, (shown, expected))| !is(*column, shown, expected));
        let name = |(column, (shown, expected)): (usize, (&String, &&str))| {
            format!("{}: {shown:?} instead of {expected:?}", COLUMNS[column])
        };
        differ.map(name).collect()
    }

    /// The columns as a line of a table, with the expected part of the log.
    pub fn line(&self, expected: &Expected) -> String {
        let mut columns: Vec<&str> = self.0.iter().map(String::as_str).collect();
        columns[LOG] = expected[LOG];
        columns.join(" | ")
    }
}

fn is(column: usize, shown: &str, expected: &str) -> bool {
    match column {
        READY => shown.starts_with(expected),
        LOG => shown.contains(expected),
        _ => shown == expected,
    }
}

/// The text of a column now.
async fn read(stage: &Stage, column: usize) -> String {
    match column {
        0 => stage.status().await,
        READY => stage.ready().await,
        2 => metrics(&stage.text("/metrics").await),
        3 => newest(stage, "/v1/runs?rotation=shop&limit=1", "state").await,
        4 => newest(stage, "/v1/audit?limit=1", "action").await,
        LOG => log(&stage.log()),
        _ => dashboard(stage).await,
    }
}

/// The health of the parts, and the state of the rotation.
fn metrics(text: &str) -> String {
    let value = |name: &str| {
        let mut lines = text.lines();
        let line = lines.find_map(|line| line.strip_prefix(name)?.split_once(' '));
        line.map_or("?", |(_, value)| value).to_owned()
    };
    let states = text.lines().filter_map(|line| {
        let labels = line.strip_prefix("twinkey_rotation_state{")?;
        let (_, state) = labels.strip_suffix("} 1")?.split_once("state=\"")?;
        Some(state.trim_end_matches('"').to_owned())
    });
    let mut all = vec![
        format!("journal {}", value("twinkey_journal_up")),
        format!("store {}", value("twinkey_store_up")),
    ];
    all.extend(states);
    all.join(", ")
}

/// A field of the newest entry of a list with its outcome and code.
async fn newest(stage: &Stage, path: &str, field: &str) -> String {
    let list: Json = serde_json::from_str(&stage.text(path).await).unwrap_or_default();
    let entry = list.get(0).unwrap_or(&list);
    let code = entry.get("code").filter(|code| code.is_string());
    let code = code.unwrap_or(&entry["error"]["code"]);
    let words = [&entry[field], &entry["outcome"], code];
    let words: Vec<&str> = words.iter().filter_map(|word| word.as_str()).collect();
    let steps = entry["steps"].as_array().into_iter().flatten();
    let detail = steps.last().and_then(|step| step["detail"].as_str());
    let waits = detail.is_some_and(|detail| detail.starts_with("waiting"));
    format!(
        "{}{}",
        words.join(" "),
        if waits { ", waiting" } else { "" }
    )
}

/// The levels and codes of the warnings and errors in a log.
fn log(text: &str) -> String {
    let lines = text.lines().filter_map(|line| {
        let level = ["WARN", "ERROR"]
            .into_iter()
            .find(|level| line.contains(&format!(" {level} ")))?;
        let code = line.split_once(" code=").map(|(_, rest)| rest);
        let code = code.and_then(|rest| rest.split(' ').next());
        let what = code.unwrap_or_else(|| line.split_once(": ").map_or(line, |(_, rest)| rest));
        Some(format!("{level} {what}"))
    });
    let all: BTreeSet<String> = lines.collect();
    all.into_iter().collect::<Vec<_>>().join(", ")
}

/// The state and the code of the rotation's first notice.
async fn dashboard(stage: &Stage) -> String {
    let client = DashboardClient::signed_in(&stage.url(), TOKEN).await;
    let page = client.get("/rotations/shop").await.html;
    let after = |mark: &str| {
        let (_, rest) = page.split_once(mark)?;
        rest.split('<').next()
    };
    let notice = page.split_once("data-tone=\"").map_or("", |(_, rest)| rest);
    let code = notice.split_once("<p><code>").map(|(_, rest)| rest);
    let code = code.and_then(|rest| rest.split('<').next());
    let words = [after("<span class=\"word\">"), code];
    words.into_iter().flatten().collect::<Vec<_>>().join(" ")
}
