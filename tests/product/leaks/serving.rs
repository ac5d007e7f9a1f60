//! The worker, and every route of its endpoint.

use std::process::Stdio;

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::Value as Json;

use super::fixture::LeakFixture;
use super::record_passwords;
use super::served::ask_the_served_store;
use crate::admin::dashboard::DashboardClient;
use twinkey_testkit::environment::until;
use twinkey_testkit::leak_scan::LeakScan;

pub const TOKEN: &str = "Token-0123456789-abcdef-XYZ-of-the-scan";

/// Serves with full logging, requests every route, and adds all responses, files and logs to the
/// scan.
pub async fn ask_every_route<P: LeakFixture>(
    fixture: &P,
    scan: &mut LeakScan,
    address: &str,
    logged: &[&str],
) {
    let log = fixture.folder().join(format!("serve{}.log", logged.len()));
    let file = || {
        std::fs::File::options()
            .create(true)
            .append(true)
            .open(&log)
    };
    let mut serve = fixture
        .command()
        .args(logged)
        .arg("serve")
        .stdout(Stdio::from(file().unwrap()))
        .stderr(Stdio::from(file().unwrap()))
        .spawn()
        .unwrap();
    let url = format!("http://{address}");
    until("the worker is ready", async || {
        assert_eq!(serve.try_wait().unwrap(), None, "serve exited");
        let ready = reqwest::get(format!("{url}/readyz")).await;
        ready.is_ok_and(|answer| answer.status().is_success())
    })
    .await;

    let client = Client::new();
    let pages = twinkey::admin::dashboard::all_routes();
    let session = DashboardClient::signed_in(&url, TOKEN).await;
    let csrf_token = session.get("/").await.field("csrf_token");
    for (method, path) in twinkey::admin::all_routes() {
        let id = last_run(fixture).await["id"].as_str().unwrap().to_owned();
        let there = path.replace("{name}", P::ROTATION).replace("{id}", &id);
        assert!(!there.contains('{'), "{path}: add a value for it here");
        let page = pages.contains(&(method, path));
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let ask = |path: &str| {
            let request = client.request(method.clone(), format!("{url}{path}"));
            // An id of another worker returns all stored events.
            request.header("Last-Event-ID", format!("{:032}-1", 0))
        };
        // Pages need a session, and forms its CSRF token; the API needs the token.
        let allowed = |request: RequestBuilder| match page {
            true => request.header("Cookie", &session.cookie),
            false => request.bearer_auth(TOKEN),
        };
        let asked = match (page, &method) {
            (true, &Method::POST) => {
                form(ask(&there), &csrf_token, &fingerprint(&session, path).await)
            }
            _ => body_of(ask(&there), path),
        };
        let answer = kept(scan, allowed(asked)).await;
        assert!(answer.is_success(), "{method} {path}: {answer}");
        wait_for_the_run(fixture).await;
        // Responses to unauthorized, unknown and invalid requests.
        kept(scan, ask(&there)).await;
        kept(scan, ask(&there).bearer_auth("Wrong")).await;
        let nowhere = path.replace("{name}", "shup").replace("{id}", "none");
        kept(scan, allowed(ask(&nowhere))).await;
        kept(scan, allowed(ask(&there)).body("no JSON")).await;
        let other = client.delete(format!("{url}{there}"));
        kept(scan, allowed(other)).await;
        record_passwords(fixture, scan).await;
    }
    ask_the_served_store(fixture, scan).await;
    scan.add_process(serve.id().unwrap(), "serve");
    let files = scan.add_files(fixture.folder());
    for name in ["journal.db", "journal.db-wal"] {
        assert!(files.contains(name), "{name} is not among {files:?}");
    }
    serve.kill().await.unwrap();
    scan.add_nonempty("the worker's log", std::fs::read(log).unwrap());
}

/// The body of a route that needs one. A new route must be added here, or the scan fails.
fn body_of(request: RequestBuilder, path: &str) -> RequestBuilder {
    match path {
        "/v1/rotations/{name}/rotate" => request.body(r#"{"force":true,"reason":"the scan"}"#),
        _ => request,
    }
}

/// What the form of an action on several rotations identifies them by; empty for other forms.
async fn fingerprint(session: &DashboardClient, path: &str) -> String {
    match path {
        "/pause" | "/resume" => session.get(path).await.field("fingerprint"),
        _ => String::new(),
    }
}

/// A form with the fields of all pages.
fn form(request: RequestBuilder, csrf_token: &str, fingerprint: &str) -> RequestBuilder {
    let kind = "application/x-www-form-urlencoded";
    let mut fields = format!("csrf_token={csrf_token}&token={TOKEN}&force=yes&reason=the+scan");
    if !fingerprint.is_empty() {
        fields += &format!("&fingerprint={fingerprint}");
    }
    request.header("Content-Type", kind).body(fields)
}

/// Sends a request and adds its response to the scan.
async fn kept(scan: &mut LeakScan, request: RequestBuilder) -> StatusCode {
    let mut answer = request.send().await.unwrap();
    let (url, status) = (answer.url().clone(), answer.status());
    scan.add_text(
        format!("the head from {url}"),
        format!("{:?}", answer.headers()),
    );
    let mut body = Vec::new();
    // The stream of events has no end.
    while !(url.path() == "/v1/events" && body.ends_with(b"\n\n") && body_tells_of_a_run(&body)) {
        match answer.chunk().await.unwrap() {
            Some(chunk) => body.extend_from_slice(&chunk),
            None => break,
        }
    }
    scan.add_text(format!("the body from {url}"), body);
    status
}

fn body_tells_of_a_run(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).contains("event: run_finished")
}

async fn last_run<P: LeakFixture>(fixture: &P) -> Json {
    let mut command = fixture.command();
    let history = command.args(["history", "--json"]).output().await.unwrap();
    let entries: Vec<Json> = serde_json::from_slice(&history.stdout).unwrap();
    let mut runs = entries
        .into_iter()
        .filter(|entry| entry.get("trigger").is_some());
    runs.next().unwrap()
}

/// Waits until the run has finished.
async fn wait_for_the_run<P: LeakFixture>(fixture: &P) {
    until("the run has finished", async || {
        let run = last_run(fixture).await;
        // The server may still list a closed session of the standby.
        run["state"] == "succeeded" || run["state"] == "failed"
    })
    .await;
}
