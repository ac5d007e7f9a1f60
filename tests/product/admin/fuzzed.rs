//! A schema-based fuzzer on the endpoint.
//!
//! It does not call the stream of events, which has no end. `events.rs` tests the stream.

use std::path::PathBuf;

use tokio::process::Command;

use super::{Endpoint, TOKEN};
use twinkey_testkit::environment::Setup;

/// Generated requests for each operation.
const EXAMPLES: &str = "100";

fn fuzzer() -> PathBuf {
    let cache = std::env::var_os("TWINKEY_CACHE").unwrap_or_else(|| ".cache".into());
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.join(cache).join("venv-api/bin/schemathesis")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs schemathesis: make test-api"]
async fn a_fuzzer_finds_no_5xx_and_no_undocumented_response() {
    let endpoint = Endpoint::open(Setup {
        rotation: "in_use = \"ignore\"".into(),
        ..Setup::default()
    })
    .await;
    // A rollback needs a previous version.
    endpoint.env.run_ok(&["rotate", "shop"]).await;
    let config = endpoint.env.folder.path().join("schemathesis.toml");
    // Most requests use the existing rotation.
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
    // Some requests must have rotated.
    let runs = endpoint
        .json("/v1/runs?rotation=shop&state=succeeded")
        .await;
    assert!(runs.as_array().unwrap().len() > 1, "it has rotated: {runs}");
    let log = endpoint.log();
    for action in ["rollback", "pause", "resume"] {
        assert!(log.contains(action), "{action}");
    }
    assert!(!log.contains(TOKEN));
}
