//! A file with the actions of all AWS calls that twinkey makes, one a line, as in policies.
//! `TWINKEY_AWS_CALLS` is its path. Calls of the tests themselves are not recorded.

use std::fs::OpenOptions;
use std::io::Write as _;

use axum::http::HeaderMap;

/// Records a request of the stand-in.
pub(super) fn note(headers: &HeaderMap, service: &str, action: &str) {
    let Some(file) = std::env::var_os("TWINKEY_AWS_CALLS") else {
        return;
    };
    let agents = ["user-agent", "x-amz-user-agent"].map(|name| headers.get(name));
    let mut agents = agents
        .into_iter()
        .flatten()
        .filter_map(|agent| agent.to_str().ok());
    if !agents.any(|agent| agent.contains("app/twinkey")) {
        return;
    }
    let service = match service {
        "RedshiftData" => "redshift-data",
        other => other,
    };
    // One write a line: concurrent tests append to the same file.
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .unwrap();
    file.write_all(format!("{service}:{action}\n").as_bytes())
        .unwrap();
}
