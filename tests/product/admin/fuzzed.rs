//! What a schema-based fuzzer makes of the endpoint: nothing that its document does not describe, and no 5xx.
//!
//! The stream of events has no end, which the fuzzer cannot read; `events.rs` tests it.

use std::path::PathBuf;

use tokio::process::Command;

use super::{Endpoint, TOKEN};
use twinkey_testkit::environment::Setup;

/// How many requests the fuzzer makes up for each operation.
const EXAMPLES: &str = "100";

fn fuzzer() -> PathBuf {
    let cache = std::env::var_os("TWINKEY_CACHE").unwrap_or_else(|| ".cache".into());
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.join(cache).join("venv-api/bin/schemathesis")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes its time: make test-api"]
async fn a_fuzzer_finds_no_5xx_and_no_undocumented_response() {
    let endpoint = Endpoint::open(Setup {
        rotation: "in_use = \"ignore\"".into(),
        ..Setup::default()
    })
    .await;
    // So that there is something to roll back to.
    endpoint.env.run_ok(&["rotate", "shop"]).await;
    let config = endpoint.env.folder.path().join("schemathesis.toml");
    // Most of what is asked for is there.
    let text = format!(
        "headers = {{ Authorization = \"Bearer {TOKEN}\" }}\n[dictionaries.names]\nvalues = [\"shop\"]\n[parameters]\n\"path.name\" = {{ dictionary = \"names\", probability = 0.7 }}\n"
    );
    std::fs::write(&config, text).unwrap();
    let output = Command::new(fuzzer())
        .arg("--config-file")
        .arg(&config)
        .args(["run", "--no-color"])
        .args(["--checks", "all", "--max-examples", EXAMPLES, "--seed", "1"])
        .args(["--exclude-path", "/v1/events", "--continue-on-failure"])
        .args(["--request-timeout", "60"])
        .arg(format!("{}/openapi.json", endpoint.url))
        .current_dir(endpoint.env.folder.path())
        .output()
        .await
        .expect("schemathesis is installed by make test-api");
    let message = String::from_utf8_lossy(&output.stdout);
    println!("{message}");
    assert!(output.status.success(), "{message}");
    // It has reached what is behind the document, too.
    let runs = endpoint
        .json("/v1/runs?rotation=shop&state=succeeded")
        .await;
    assert!(runs.as_array().unwrap().len() > 1, "it has rotated: {runs}");
    let log = endpoint.log();
    for asked in ["rollback", "pause", "resume"] {
        assert!(log.contains(asked), "{asked}");
    }
    assert!(!log.contains(TOKEN));
}
