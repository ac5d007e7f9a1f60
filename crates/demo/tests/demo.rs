//! The demo program: its dashboard, and a search for passwords in all its output.

use std::path::Path;
use std::process::Stdio;

use secrecy::ExposeSecret;
use serde_json::Value as Json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use twinkey_stores::local::LocalStore;
use twinkey_stores::{SecretStore, Selector, stage};

use twinkey_testkit::environment::until;
use twinkey_testkit::leak_scan::LeakScan;

/// Adds the passwords of the demo's store to the scan.
async fn record_passwords(folder: &Path, scan: &mut LeakScan) {
    let (path, key) = (folder.join("secrets.db"), folder.join("secrets.key"));
    if !path.exists() || !key.exists() {
        return;
    }
    let Ok(store) = LocalStore::open(&path, &key).await else {
        return;
    };
    for name in store.names().await.unwrap_or_default() {
        for label in [stage::CURRENT, stage::PENDING, stage::PREVIOUS] {
            let Ok(version) = store.get(&name, Selector::Stage(label)).await else {
                continue;
            };
            let document: Json = serde_json::from_str(version.value.expose_secret()).unwrap();
            scan.add_password(document["password"].as_str().unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_piece_of_a_password_is_written() {
    let temp = tempfile::tempdir().unwrap();
    let mut scan = LeakScan::default();
    for logged in ["text", "json"] {
        let before = scan.passwords();
        let mut demo = Command::new(env!("CARGO_BIN_EXE_twinkey-demo"))
            .args(["-vv", "--log-format", logged, "--rotations", "1"])
            .env("TMPDIR", temp.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        scan.add_process(demo.id().unwrap(), "the demo");
        // The output is larger than the buffer of a pipe.
        let output = tokio::spawn(all_of(demo.stdout.take().unwrap()));
        let logs = tokio::spawn(all_of(demo.stderr.take().unwrap()));
        let mut files = 0;
        until("the demo has exited", async || {
            for entry in std::fs::read_dir(temp.path()).unwrap() {
                let folder = entry.unwrap().path();
                if folder.to_string_lossy().contains("twinkey-demo-") {
                    record_passwords(&folder, &mut scan).await;
                    for file in ["journal.db", "journal.db-wal", "secrets.db-wal"] {
                        if let Ok(bytes) = std::fs::read(folder.join(file)) {
                            files += 1;
                            scan.add_text(format!("the demo's {file}"), bytes);
                        }
                    }
                }
            }
            demo.try_wait().unwrap().is_some()
        })
        .await;
        let (output, logs) = (output.await.unwrap(), logs.await.unwrap());
        let shown = String::from_utf8_lossy(&output).into_owned();
        // A busy machine may miss windows, which the demo reports.
        assert_eq!(shown.matches(", 0 failed").count(), 2, "{shown}");
        // Two masters, two applications, and a rotation of each.
        assert!(scan.passwords() >= before + 6, "the scan has its passwords");
        assert!(files > 0, "the scan has its journal");
        scan.add_nonempty("the output of the demo", output);
        scan.add_text("the log of the demo", logs);
    }
    scan.assert_clean();
}

async fn all_of(mut pipe: impl tokio::io::AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut pipe, &mut bytes)
        .await
        .unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_address_shows_the_dashboard() {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_twinkey-demo"))
        .args(["--rotations", "1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let url = loop {
        let line = lines
            .next_line()
            .await
            .unwrap()
            .expect("it prints the address");
        if let Some((_, rest)) = line.split_once("http://") {
            break format!("http://{}", rest.trim_end_matches('/'));
        }
    };
    let page = reqwest::get(&url).await.unwrap();
    assert_eq!(page.status().as_u16(), 200);
    let page = page.text().await.unwrap();
    for name in ["shop-postgres", "shop-mariadb"] {
        assert!(
            page.contains(&format!("href=\"/rotations/{name}\"")),
            "{page}"
        );
    }
    while lines.next_line().await.unwrap().is_some() {}
    assert!(demo.wait().await.unwrap().code().is_some());
}
