//! Workers as processes with separate journals: concurrent `twinkey rotate`, and several `twinkey
//! serve` in one window.

use std::sync::Arc;

use chrono::TimeDelta;
use twinkey::journal::{Journal, RunQuery, RunState, SqliteJournal};
use twinkey::rotation::run::version_id;
use twinkey_stores::{SecretStore, VersionId, stage};

use super::{LOSER_CODES, SignInChecker};
use crate::serving::worker::{open_now, signal};
use twinkey_testkit::aws::StandIn;
use twinkey_testkit::environment::many_pairs::{ManyPairs, name, secret};
use twinkey_testkit::environment::{Backend, free_address, until};

const PAIRS: usize = 10;

async fn fixture(each: &str) -> Arc<ManyPairs> {
    let fixture = ManyPairs::open(PAIRS, Backend::StandIn(StandIn::start().await)).await;
    let head = format!(
        "[secrets]\nbackend = \"aws\"\nregion = \"eu-west-1\"\nendpoint_url = \"{}\"",
        fixture.env.stand_in().url()
    );
    let each = format!("min_interval = \"0s\"\nin_use = \"ignore\"\n{each}");
    std::fs::write(fixture.env.config(), fixture.config(&head, &each)).unwrap();
    Arc::new(fixture)
}

async fn labelled(fixture: &ManyPairs, pair: usize, label: &str) -> Option<VersionId> {
    let store = fixture.env.stand_in().store();
    let description = store.describe(&secret(pair)).await.unwrap();
    description.labelled(label).cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_commands_rotate_or_report_a_lost_race() {
    let fixture = fixture("").await;
    let checker = SignInChecker::start(Arc::clone(&fixture), 0..PAIRS);
    let (mut won, mut lost) = (0, 0);
    for pair in 0..PAIRS {
        for racers in [2, 5] {
            let before = labelled(&fixture, pair, stage::CURRENT).await;
            let processes: Vec<_> = (0..racers)
                .map(|n| {
                    fixture
                        .env
                        .command(env!("CARGO_BIN_EXE_twinkey"))
                        .env("TWINKEY__JOURNAL__URL", format!("sqlite://racer-{n}.db"))
                        .args(["rotate", &name(pair)])
                        .stdout(std::process::Stdio::null())
                        .stderr(std::process::Stdio::piped())
                        .spawn()
                        .unwrap()
                })
                .collect();
            let mut winners = 0;
            for process in processes {
                let output = process.wait_with_output().await.unwrap();
                let message = String::from_utf8_lossy(&output.stderr);
                let lost_well = LOSER_CODES
                    .iter()
                    .any(|code| message.contains(&format!("error[{code}]")));
                assert!(output.status.success() || lost_well, "{message}");
                winners += usize::from(output.status.success());
            }
            assert!(winners > 0, "no command rotated {}", name(pair));
            assert_ne!(labelled(&fixture, pair, stage::CURRENT).await, before);
            won += winners;
            lost += racers - winners;
        }
    }
    let sign_ins = checker.end().await;
    println!(
        "{} races of commands, {won} runs won, {lost} lost: 0 violations, AWSCURRENT signed in {sign_ins} times out of {sign_ins}",
        2 * PAIRS
    );
}

/// Several workers in the window of every pair.
async fn workers_race(workers: usize) {
    let (schedule, opens) = open_now();
    let fixture = fixture(&format!("{schedule}\nmissed = \"run\"")).await;
    let folder = fixture.env.folder.path();
    let names: Vec<String> = (0..PAIRS).map(name).collect();
    let mut before = Vec::new();
    for pair in 0..PAIRS {
        before.push(labelled(&fixture, pair, stage::CURRENT).await.unwrap());
    }
    let journal = |n: usize| folder.join(format!("worker-{n}.db"));
    for n in 0..workers {
        let journal = SqliteJournal::open(&journal(n)).await.unwrap();
        journal
            .first_seen(&names, opens - TimeDelta::days(1))
            .await
            .unwrap();
    }
    let checker = SignInChecker::start(Arc::clone(&fixture), 0..PAIRS);
    let mut processes: Vec<_> = (0..workers)
        .map(|n| {
            fixture
                .env
                .command(env!("CARGO_BIN_EXE_twinkey"))
                .env("TWINKEY__JOURNAL__URL", format!("sqlite://worker-{n}.db"))
                .env("TWINKEY__SERVER__LISTEN", free_address())
                .arg("serve")
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for n in 0..workers {
        let journal = SqliteJournal::open(&journal(n)).await.unwrap();
        let everything = RunQuery {
            limit: 1000,
            ..RunQuery::default()
        };
        until("all runs of the worker have finished", async || {
            let runs = journal.runs(&everything).await.unwrap();
            for run in &runs {
                let code = run.error.as_ref().map(|e| e.code.as_str());
                assert!(code.is_none_or(|c| LOSER_CODES.contains(&c)), "{run:?}");
            }
            runs.len() == PAIRS && runs.iter().all(|r| r.state == RunState::Succeeded)
        })
        .await;
    }
    for process in &mut processes {
        signal(process, "TERM");
        assert!(process.wait().await.unwrap().success());
    }
    for (pair, before) in before.iter().enumerate() {
        let description = fixture.env.stand_in().store().describe(&secret(pair)).await;
        let id = version_id::scheduled(&description.unwrap().arn, opens);
        assert_eq!(labelled(&fixture, pair, stage::CURRENT).await, Some(id));
        assert_eq!(
            labelled(&fixture, pair, stage::PREVIOUS).await.as_ref(),
            Some(before),
            "one flip"
        );
    }
    let sign_ins = checker.end().await;
    println!(
        "{PAIRS} windows of {workers} workers, one flip each: 0 violations, AWSCURRENT signed in {sign_ins} times out of {sign_ins}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_on_the_same_windows_flip_each_secret_once() {
    workers_race(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_workers_on_the_same_windows_flip_each_secret_once() {
    workers_race(5).await;
}
