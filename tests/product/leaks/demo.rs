//! The demo, whose passwords are read from its own store while it runs.

use std::path::Path;
use std::process::Stdio;

use secrecy::ExposeSecret;
use serde_json::Value as Json;
use tokio::process::Command;
use twinkey::store::local::LocalStore;
use twinkey::store::{SecretStore, Selector, stage};

use super::commands::LOGGED;
use super::in_proc;
use super::scan::Scan;
use crate::support::shop::until;

/// Notes every password in the demo's store, as far as it is there.
async fn note(folder: &Path, scan: &mut Scan) {
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
            scan.knows(document["password"].as_str().unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_piece_of_a_password_leaves_the_demo() {
    let place = tempfile::tempdir().unwrap();
    let mut scan = Scan::default();
    for logged in LOGGED {
        let before = scan.passwords();
        let mut demo = Command::new(env!("CARGO_BIN_EXE_twinkey"))
            .args(logged)
            .args(["demo", "--rotations", "1"])
            .env("TMPDIR", place.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        in_proc(&mut scan, demo.id().unwrap(), "the demo");
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
                            scan.keep(format!("the demo's {file}"), bytes);
                        }
                    }
                }
            }
            demo.try_wait().unwrap().is_some()
        })
        .await;
        let (said, logs) = (said.await.unwrap(), logs.await.unwrap());
        let shown = String::from_utf8_lossy(&said).into_owned();
        assert!(shown.contains("Nobody was locked out."), "{shown}");
        // Two masters, two applications, and a rotation of each.
        assert!(scan.passwords() >= before + 6, "its passwords are known");
        assert!(files > 0, "its journal was looked at");
        scan.keep_some("what the demo says", said);
        scan.keep("what the demo logs", logs);
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
