//! `scripts/prove-on-aws` from the outside, on stand-ins.

use std::collections::BTreeSet;
use std::process::{Output, Stdio};

use secrecy::ExposeSecret;
use serde_json::Value as Json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use twinkey_stores::{SecretStore, Selector};
use twinkey_testkit::environment::{Database, mariadb, value};
use twinkey_testkit::locations::{twinkey_program, workspace};
use twinkey_testkit::stand_ins::{DATABASE, MASTER_PASSWORD, StandIns};

const PREFIX: &str = "twinkey_prove";

fn script() -> Command {
    let mut command = Command::new(workspace().join("scripts/prove-on-aws"));
    command
        .arg("--twinkey")
        .arg(twinkey_program())
        .env("TWINKEY_STAND_INS", env!("CARGO_BIN_EXE_twinkey-stand-ins"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// The script as for a service of AWS, on a stand-in of this process.
fn script_on(stand_ins: &StandIns, engine: &str) -> Command {
    let described = stand_ins.describe();
    let text = |value: &Json| value.as_str().unwrap().to_owned();
    let proofs = described["proofs"].as_array().unwrap();
    let proof = proofs.iter().find(|one| one["engine"] == engine).unwrap();
    let mut command = script();
    command
        .args(["--yes", "--engine", engine, "--region", "eu-west-1"])
        .env("AWS_ENDPOINT_URL", text(&described["endpoint_url"]))
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test");
    for (name, option) in [
        ("master", "--master"),
        ("database", "--database"),
        ("ca_file", "--ca-file"),
        ("cluster", "--cluster"),
    ] {
        if !proof[name].is_null() {
            command.args([option, &text(&proof[name])]);
        }
    }
    command
}

fn all_of(output: &Output) -> String {
    let texts = [&output.stderr, &output.stdout].map(|text| String::from_utf8_lossy(text));
    texts.concat()
}

/// The ids of the rows in docs/proven.md.
fn ids() -> BTreeSet<String> {
    let page = std::fs::read_to_string(workspace().join("docs/proven.md")).unwrap();
    let first = |line: &str| {
        line.strip_prefix("| ")?
            .split_once(" | ")
            .map(|(id, _)| id.to_owned())
    };
    let is_id = |cell: &String| {
        cell.rsplit_once('-')
            .is_some_and(|(_, number)| number.parse::<u32>().is_ok())
    };
    page.lines().filter_map(first).filter(is_id).collect()
}

/// The outcomes in a report by id.
fn outcomes(report: &str) -> Vec<(String, String)> {
    let rows = report.lines().filter_map(|line| {
        let line = line.strip_prefix("| ")?.strip_suffix(" |")?;
        let (id, _) = line.split_once(" | ")?;
        let (_, outcome) = line.rsplit_once(" | ")?;
        Some((id.to_owned(), outcome.to_owned()))
    });
    rows.filter(|(id, _)| ids().contains(id)).collect()
}

/// The users and objects of a proof on the servers, and its secrets.
async fn left_behind(stand_ins: &StandIns) -> Vec<String> {
    let mut left = stand_ins.aws.store().names().await.unwrap();
    left.retain(|name| name.contains("twinkey-prove") || name.contains("twinkey/probe"));
    let root = Database::superuser(&stand_ins.postgres);
    let connecting = stand_ins
        .postgres
        .connect(&root.username, &root.password, DATABASE);
    let names = format!(
        "SELECT coalesce(string_agg(name, ' '), '') FROM (SELECT rolname::text AS name FROM pg_roles \
         UNION ALL SELECT nspname FROM pg_namespace) all_names WHERE starts_with(name, '{PREFIX}')"
    );
    left.push(value(&mut connecting.await.unwrap(), &names).await);
    let redshift = stand_ins.aws.redshift().server();
    let root = Database::superuser(redshift);
    let connecting = redshift.connect(&root.username, &root.password, DATABASE);
    left.push(value(&mut connecting.await.unwrap(), &names).await);
    let root = Database::superuser(&stand_ins.mariadb);
    let connecting = stand_ins
        .mariadb
        .connect(&root.username, &root.password, "mysql");
    let users = format!("SELECT User, Host FROM mysql.user WHERE User LIKE '{PREFIX}%'");
    let tables = format!(
        "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{DATABASE}'"
    );
    let mut root = connecting.await.unwrap();
    for sql in [users, tables] {
        left.extend(
            mariadb::pairs(&mut root, &sql)
                .await
                .into_iter()
                .map(|pair| pair.0),
        );
    }
    left.extend(
        stand_ins
            .mongo_names()
            .await
            .into_iter()
            .filter(|name| name.starts_with(PREFIX)),
    );
    left.retain(|name| !name.is_empty());
    left
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_has_each_row_of_the_page() {
    let output = script().arg("--stand-in").output().await.unwrap();
    let all = all_of(&output);
    assert!(output.status.success(), "{all}");
    let report = String::from_utf8(output.stdout).unwrap();
    let found = outcomes(&report);
    let named: BTreeSet<String> = found.iter().map(|(id, _)| id.clone()).collect();
    assert_eq!(named, ids());
    assert_eq!(found.len(), named.len(), "{report}");
    for (id, outcome) in &found {
        let is_known = ["as assumed", "otherwise", "not tried because "]
            .iter()
            .any(|known| outcome.starts_with(known));
        assert!(
            is_known && !outcome.contains("the procedure failed"),
            "{id}: {outcome}"
        );
    }
    assert!(!all.contains("left behind"), "{all}");
    assert!(!all.contains(MASTER_PASSWORD), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_leaves_nothing_behind() {
    let stand_ins = StandIns::start().await;
    for engine in ["postgres", "mysql", "documentdb", "redshift"] {
        let output = script_on(&stand_ins, engine).output().await.unwrap();
        assert!(output.status.success(), "{}", all_of(&output));
        assert_eq!(
            left_behind(&stand_ins).await,
            Vec::<String>::new(),
            "{engine}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_proof_leaves_nothing_behind() {
    let stand_ins = StandIns::start().await;
    let mut child = script_on(&stand_ins, "postgres")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if line.contains("the clone signs in") {
            break;
        }
    }
    assert!(!left_behind(&stand_ins).await.is_empty());
    let pid = child.id().unwrap().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().await;
    assert!(sent.unwrap().success());
    while let Some(line) = lines.next_line().await.unwrap() {
        println!("{line}");
    }
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(left_behind(&stand_ins).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn output_has_no_password_and_a_second_proof_is_refused() {
    let stand_ins = StandIns::start().await;
    let kept = script_on(&stand_ins, "postgres")
        .arg("--keep")
        .output()
        .await
        .unwrap();
    assert!(kept.status.success(), "{}", all_of(&kept));
    let again = script_on(&stand_ins, "postgres").output().await.unwrap();
    assert_eq!(again.status.code(), Some(2), "{}", all_of(&again));
    let before = left_behind(&stand_ins).await;
    assert!(!before.is_empty());

    let output = all_of(&kept) + &all_of(&again);
    let store = stand_ins.aws.store();
    let mut passwords = 0;
    for name in store.names().await.unwrap() {
        for (id, _) in store.describe(&name).await.unwrap().versions {
            let version = store.get(&name, Selector::Version(&id)).await.unwrap();
            let document: Json = serde_json::from_str(version.value.expose_secret()).unwrap();
            if let Some(password) = document["password"].as_str() {
                passwords += 1;
                assert!(!output.contains(password), "{name}: {output}");
            }
        }
    }
    // The first one, a wrong one, two of rotations, and those of masters.
    assert!(passwords > 4, "{passwords}");
}
