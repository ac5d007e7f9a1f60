//! Writes down, where `TWINKEY_AWS_CALLS` names a file, which calls of AWS twinkeys make: one a line, as policies
//! write actions. The tests' own calls, which are no twinkey's, are left out.

use std::fs::OpenOptions;
use std::io::Write as _;

use axum::http::HeaderMap;

/// A request that the stand-in is about to answer.
pub(super) fn note(headers: &HeaderMap) {
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
    let target = headers["x-amz-target"].to_str().unwrap();
    let (service, action) = target.split_once('.').unwrap();
    let service = match service {
        "RedshiftData" => "redshift-data",
        other => other,
    };
    // One write a line, so that tests that run at once do not mix theirs.
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .unwrap();
    file.write_all(format!("{service}:{action}\n").as_bytes())
        .unwrap();
}
