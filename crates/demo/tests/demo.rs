//! The demo program: its dashboard, and a search for passwords in everything that it writes.

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

/// Notes every password in the demo's store, as far as it is there.
async fn note(folder: &Path, scan: &mut LeakScan) {
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
    let place = tempfile::tempdir().unwrap();
    let mut scan = LeakScan::default();
    for logged in ["text", "json"] {
        let before = scan.passwords();
        let mut demo = Command::new(env!("CARGO_BIN_EXE_twinkey-demo"))
            .args(["-vv", "--log-format", logged, "--rotations", "1"])
            .env("TMPDIR", place.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        scan.add_process(demo.id().unwrap(), "the demo");
        // What it says is more than a pipe holds.
        let said = tokio::spawn(all_of(demo.stdout.take().unwrap()));
        let logs = tokio::spawn(all_of(demo.stderr.take().unwrap()));
        let mut files = 0;
        until("the demo is over", async || {
            for entry in std::fs::read_dir(place.path()).unwrap() {
                let folder = entry.unwrap().path();
                if folder.to_string_lossy().contains("twinkey-demo-") {
                    note(&folder, &mut scan).await;
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
        let (said, logs) = (said.await.unwrap(), logs.await.unwrap());
        let shown = String::from_utf8_lossy(&said).into_owned();
        assert!(shown.contains("Every connection was accepted."), "{shown}");
        // Two masters, two applications, and a rotation of each.
        assert!(scan.passwords() >= before + 6, "its passwords are known");
        assert!(files > 0, "its journal was looked at");
        scan.add_nonempty("what the demo says", said);
        scan.add_text("what the demo logs", logs);
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
    assert!(demo.wait().await.unwrap().success());
}
