//! `twinkey serve` with 100,000 armed rotations, a thousandth of them failed: its start, its reload, its
//! memory, and the lists that an operator opens first.

use std::process::Stdio;
use std::time::{Duration, Instant};

use twinkey::journal::{RunState, SqliteJournal};
use twinkey_stores::SecretStore;
use twinkey_stores::local::LocalStore;

use crate::Result;
use crate::idle::{armed, asked, remember, resident, text, ticks};
use twinkey_testkit::environment::free_address;

const SIZE: usize = 100_000;
/// One rotation of so many has failed.
const FAILED: usize = 1_000;
const REST: Duration = Duration::from_secs(60);
/// A request is measured so many times.
const TIMES: usize = 10;

pub async fn run() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let address = free_address();
    let config = folder.path().join("twinkey.toml");
    std::fs::write(&config, text(SIZE, &address)?)?;
    // `serve` refuses a store that does not exist.
    let file = |name: &str| folder.path().join(name);
    let store = LocalStore::open(&file("secrets.db"), &file("secrets.key")).await?;
    store.close().await;
    let journal = SqliteJournal::open(&file("journal.db")).await?;
    for n in 0..SIZE {
        let state = match n % FAILED {
            0 => RunState::Failed,
            _ => RunState::Succeeded,
        };
        remember(&journal, &format!("service-{n}"), state).await?;
    }
    let log = file("log");
    let begun = Instant::now();
    let mut serve = tokio::process::Command::new(env!("CARGO_BIN_EXE_twinkey"))
        .arg("--config")
        .arg(&config)
        .arg("serve")
        .env("TWINKEY__SERVER__METRICS", "problems")
        .stderr(std::fs::File::create(&log)?)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    armed(&log, 1).await?;
    println!("{SIZE} armed: start {:.2?}", begun.elapsed());
    let pid = serve.id().ok_or("it has ended")?;
    // The work of the start must not be measured as idle.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (memory, before) = (resident(pid)?, ticks(pid)?);
    tokio::time::sleep(REST).await;
    let busy = (ticks(pid)? - before) / REST.as_secs_f64() * 100.0;
    println!("idle: {memory:.1} MB, {busy:.3} % of a core over {REST:?}");

    let begun = Instant::now();
    let hangup = std::process::Command::new("kill")
        .args(["-HUP", &pid.to_string()])
        .status()?;
    assert!(hangup.success());
    armed(&log, 2).await?;
    let reload = begun.elapsed();
    println!("reload {reload:.2?}; then {:.1} MB", resident(pid)?);

    for (path, what) in [
        ("/v1/rotations?limit=100", "a page of rotations"),
        (
            "/v1/rotations?state=failed&limit=100",
            "a page of the failed ones",
        ),
        ("/v1/rotations?q=service-77&limit=100", "a page by text"),
        ("/", "the dashboard's first page"),
        ("/?state=failed", "its page of the failed ones"),
        ("/?q=service-77", "its page by text"),
        ("/metrics", "a scrape with metrics = \"problems\""),
    ] {
        let mut times = Vec::new();
        for _ in 0..TIMES {
            times.push(asked(&address, path).await?);
        }
        let first = times[0];
        times.sort();
        println!(
            "{what} (`{path}`): first {first:.1?}, median {:.1?}, longest {:.1?}",
            times[TIMES / 2],
            times[TIMES - 1]
        );
    }
    let server = format!("http://{address}");
    for arguments in [
        &["status", "--state", "failed", "--json"][..],
        &["status", "--state", "failed", "--json", "--server", &server],
    ] {
        let begun = Instant::now();
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_twinkey"))
            .arg("--config")
            .arg(&config)
            .args(arguments)
            .output()
            .await?;
        let took = begun.elapsed();
        let failed: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout)?;
        assert_eq!(failed.len(), SIZE / FAILED);
        println!("`twinkey {}`: {took:.2?}", arguments.join(" "));
    }
    println!("after all of that {:.1} MB", resident(pid)?);
    serve.kill().await?;
    Ok(())
}
