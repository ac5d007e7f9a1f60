//! Two database hosts, one of which does not answer: only its own rotations wait.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use tokio::net::TcpListener;
use twinkey::journal::{Journal, RunQuery, RunState, SqliteJournal};
use twinkey_stores::stage;

use crate::serving::worker::open_now;
use twinkey_testkit::aws::StandIn;
use twinkey_testkit::environment::many_pairs::{ManyPairs, name, secret};
use twinkey_testkit::environment::{Backend, FIRST, free_address, until};

/// Rotations of the silent host. One more rotation is of the other host.
const SILENT: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_host_does_not_block_rotations_of_another_host() {
    let fixture = ManyPairs::open(SILENT + 1, Backend::StandIn(StandIn::start().await)).await;
    let silent = TcpListener::bind("127.0.0.2:0").await.unwrap();
    for pair in 0..SILENT {
        let mut document = fixture.env.document(&name(pair), FIRST);
        document["host"] = "127.0.0.2".into();
        document["port"] = silent.local_addr().unwrap().port().into();
        fixture.env.put(&secret(pair), &document).await;
    }
    let (schedule, opens) = open_now();
    let head = format!(
        "[server]\nlisten = \"{}\"\n[limits]\nconcurrency = 3\nper_host = 2\n[secrets]\nbackend = \"aws\"\nregion = \"eu-west-1\"\nendpoint_url = \"{}\"\n[journal]\nurl = \"sqlite://journal.db\"",
        free_address(),
        fixture.env.stand_in().url()
    );
    let each = format!("{schedule}\nmissed = \"run\"");
    std::fs::write(fixture.env.config(), fixture.config(&head, &each)).unwrap();
    let journal = SqliteJournal::open(&fixture.env.folder.path().join("journal.db")).await;
    let journal = journal.unwrap();
    let names: Vec<String> = (0..=SILENT).map(name).collect();
    journal
        .first_seen(&names, opens - TimeDelta::days(1))
        .await
        .unwrap();

    let mut serve = fixture
        .env
        .command(env!("CARGO_BIN_EXE_twinkey"))
        .arg("serve")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let runs = async |rotation: Option<String>| {
        let query = RunQuery {
            rotation,
            limit: 1000,
            ..RunQuery::default()
        };
        journal.runs(&query).await.unwrap()
    };
    until("the rotation of the other host has run", async || {
        let runs = runs(Some(name(SILENT))).await;
        runs.iter().any(|run| run.state == RunState::Succeeded)
    })
    .await;
    // Two connections at a time fail after 5 s each. All of the silent host's take 100 s.
    let runs_of_silent = runs(None).await;
    let failed: BTreeSet<_> = runs_of_silent
        .iter()
        .filter(|run| run.error.is_some())
        .map(|run| &run.rotation)
        .collect();
    assert!(failed.len() < SILENT, "the other host's rotation ran last");
    fixture
        .check(fixture.env.stand_in().store(), SILENT)
        .await
        .unwrap();
    let stuck = runs(None).await;
    let stuck: Vec<_> = stuck
        .iter()
        .filter(|r| r.rotation != name(SILENT))
        .collect();
    assert!(!stuck.is_empty());
    for run in stuck {
        let why = run.error.as_ref().map(|e| e.code.as_str());
        assert!(why.is_none_or(|code| code == "db_unreachable"), "{run:?}");
    }
    for pair in 0..SILENT {
        let store = fixture.env.stand_in().store();
        assert_eq!(fixture.read(store, pair, stage::PENDING).await, None);
    }
    serve.kill().await.unwrap();
}
