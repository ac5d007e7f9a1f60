//! Every command with full logging, as text and as JSON.

use std::process::{Output, Stdio};

use clap::{Command, CommandFactory};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::process::Child;
use twinkey::cli::Cli;

use super::fixture::LeakFixture;
use super::record_passwords;
use crate::faults::failures::with;
use twinkey_testkit::leak_scan::LeakScan;

pub const LOGGED: [&[&str]; 2] = [&["-vv"], &["-vv", "--log-format", "json"]];

/// One invocation of a command.
struct Invocation {
    args: Vec<&'static str>,
    /// The standard input.
    input: Option<String>,
    /// Whether it must succeed in this environment.
    good: bool,
}

/// Every command with its subcommands, for example `secret put`.
pub fn every_command() -> Vec<(String, Command)> {
    fn leaves(path: &str, command: &Command, all: &mut Vec<(String, Command)>) {
        for command in command.get_subcommands() {
            let path = format!("{path} {}", command.get_name());
            if command.has_subcommands() {
                leaves(&path, command, all);
            } else {
                all.push((path.trim().to_owned(), command.clone()));
            }
        }
    }
    let mut all = Vec::new();
    leaves("", &Cli::command(), &mut all);
    all
}

/// The invocations of a command. A new command must be added here, or the scan fails.
async fn invocations<P: LeakFixture>(command: &str, fixture: &P) -> Vec<Invocation> {
    let local = fixture.is_local();
    let invocation = |args: &[&'static str]| Invocation {
        args: args.to_vec(),
        input: None,
        good: true,
    };
    let in_store = |args: &[&'static str]| Invocation {
        good: local,
        ..invocation(args)
    };
    match command {
        // `serving.rs` and the tests of the demo scan these. `served.rs` scans `keys add`, which
        // prints a secret once.
        "serve" | "demo" | "keys add" => vec![],
        "keys list" => vec![in_store(&["keys", "list"])],
        "keys remove" => vec![Invocation {
            good: false,
            ..invocation(&["keys", "remove", "TWKYTHISKEYDOESNOTEX"])
        }],
        // No process listens on this port.
        "healthz" => vec![Invocation {
            good: false,
            ..invocation(&["healthz", "--url", "http://127.0.0.1:1/healthz"])
        }],
        "check" => vec![invocation(&["check"]), invocation(&["check", "--offline"])],
        "plan" => vec![invocation(&["plan", P::ROTATION])],
        "rotate" => vec![
            invocation(&["rotate", P::ROTATION]),
            invocation(&["rotate", P::ROTATION, "--force", "--reason", "the scan"]),
        ],
        "rollback" => vec![invocation(&[
            "rollback",
            P::ROTATION,
            "--again",
            "--reason",
            "the scan",
        ])],
        "repair" => vec![
            invocation(&["repair", P::ROTATION]),
            invocation(&["repair", P::ROTATION, "--apply"]),
        ],
        "status" => vec![
            invocation(&["status"]),
            invocation(&["status", P::ROTATION]),
        ],
        "history" => vec![
            invocation(&["history"]),
            invocation(&["history", P::ROTATION]),
        ],
        "pause" => vec![invocation(&["pause", P::ROTATION])],
        "resume" => vec![invocation(&["resume", P::ROTATION])],
        // The config has no [[discover]].
        "discover" => vec![Invocation {
            good: false,
            ..invocation(&["discover", "--dry-run"])
        }],
        "schedule" => vec![invocation(&[
            "schedule",
            "cron(0 7 * * ? *)",
            "--window",
            "1h",
        ])],
        "secret put" => {
            let current = fixture.documents().await.remove(0);
            let broken = format!("{current} {current}");
            let put = |input, good| Invocation {
                args: vec!["secret", "put", P::SECRET],
                input: Some(input),
                good,
            };
            vec![put(current.to_string(), local), put(broken, false)]
        }
        // Without `--field` it prints the document: see `finds_printed_passwords`.
        "secret get" => vec![
            in_store(&["secret", "get", P::SECRET, "--field", "host"]),
            in_store(&[
                "secret",
                "get",
                P::SECRET,
                "--stage",
                "AWSPREVIOUS",
                "--field",
                "username",
            ]),
        ],
        "secret list" => vec![in_store(&["secret", "list"])],
        "secret versions" => vec![in_store(&["secret", "versions", P::SECRET])],
        "secret tag" => vec![in_store(&["secret", "tag", P::SECRET, "team=scan"])],
        "secret rekey" => vec![in_store(&["secret", "rekey"])],
        "iam-policy" => {
            let fixture = [
                "iam-policy",
                "--account",
                "111122223333",
                "--region",
                "eu-west-1",
            ];
            vec![
                invocation(&fixture),
                invocation(&[&fixture[..], &["--ask"]].concat()),
            ]
        }
        "grants-for-master" => vec![invocation(&["grants-for-master", "postgres"])],
        "import" => {
            let unreachable = [
                "--region",
                "eu-west-1",
                "--endpoint-url",
                "http://127.0.0.1:9",
            ];
            vec![Invocation {
                good: false,
                ..invocation(&[&["import", "--from-aws"][..], &unreachable].concat())
            }]
        }
        "completions" => vec![invocation(&["completions", "bash"])],
        "man" => vec![invocation(&["man"])],
        other => panic!("add the command {other} here"),
    }
}

/// Runs every command, and adds its output to the scan.
pub async fn run_every_command<P: LeakFixture>(fixture: &P, scan: &mut LeakScan) {
    for (name, command) in every_command() {
        let json = command.get_arguments().any(|arg| arg.get_id() == "json");
        for invocation in invocations(&name, fixture).await {
            for logged in LOGGED {
                let mut args = logged.to_vec();
                args.extend(&invocation.args);
                if json && logged.contains(&"json") {
                    args.push("--json");
                }
                let output = run(fixture, scan, &args, invocation.input.as_deref()).await;
                let message = String::from_utf8_lossy(&output.stderr);
                assert_eq!(
                    output.status.success(),
                    invocation.good,
                    "{args:?}: {message}"
                );
                assert!(name != "rotate" || message.lines().count() > 5, "{message}");
                record_passwords(fixture, scan).await;
            }
        }
    }
}

/// Runs commands on wrong secrets that contain a password. Errors must not quote it.
pub async fn run_with_broken_secrets<P: LeakFixture>(fixture: &P, scan: &mut LeakScan) {
    let wrong = "Wrong-9876543210-zyxwvu-ABC";
    scan.add_password(wrong);
    let current = fixture.documents().await.remove(0);
    let master = fixture.master();
    let mistaken = with(current.clone(), "password", json!(wrong));
    let cases = [
        (P::SECRET, mistaken.to_string()),
        (
            P::SECRET,
            with(current.clone(), "port", json!(wrong)).to_string(),
        ),
        (
            P::SECRET,
            with(current.clone(), "engine", json!("oracle")).to_string(),
        ),
        (P::SECRET, mistaken.to_string().replace("\",", "\"")),
        (P::SECRET, format!("the password is {wrong}")),
        (
            P::MASTER_SECRET,
            with(master.clone(), "password", json!(wrong)).to_string(),
        ),
        (P::MASTER_SECRET, format!("\"{wrong}\"")),
    ];
    let mut refused = 0;
    for (name, text) in cases {
        fixture.put_text(name, &text).await;
        for (n, args) in [
            &["check"][..],
            &["plan", P::ROTATION],
            &["rotate", P::ROTATION],
            &["repair", P::ROTATION, "--apply"],
        ]
        .into_iter()
        .enumerate()
        {
            let mut all = LOGGED[n % LOGGED.len()].to_vec();
            all.extend(args);
            let output = run(fixture, scan, &all, None).await;
            refused += u32::from(!output.status.success());
        }
        fixture.put_text(P::SECRET, &current.to_string()).await;
        fixture
            .put_text(P::MASTER_SECRET, &master.to_string())
            .await;
    }
    assert!(refused > 10, "{refused} commands had something to say");
}

/// Runs the program, and adds its output, arguments and environment to the scan.
pub async fn run<P: LeakFixture>(
    fixture: &P,
    scan: &mut LeakScan,
    args: &[&str],
    input: Option<&str>,
) -> Output {
    let output = execute(fixture, scan, args, input).await;
    for (invocation, bytes) in [("output", &output.stdout), ("errors", &output.stderr)] {
        scan.add_text(format!("the {invocation} of {args:?}"), bytes.clone());
    }
    output
}

async fn execute<P: LeakFixture>(
    fixture: &P,
    scan: &mut LeakScan,
    args: &[&str],
    input: Option<&str>,
) -> Output {
    let mut child: Child = fixture
        .command()
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    scan.add_process(child.id().unwrap(), &format!("{args:?}"));
    let mut stdin = child.stdin.take().unwrap();
    // A command that reads nothing may have exited.
    let _ = stdin.write_all(input.unwrap_or_default().as_bytes()).await;
    drop(stdin);
    child.wait_with_output().await.unwrap()
}

/// `secret get` prints passwords: the scan must find them in its output, and not in its log.
pub async fn finds_printed_passwords<P: LeakFixture>(fixture: &P, scan: &mut LeakScan) {
    let args = ["-vv", "secret", "get", P::SECRET];
    let output = execute(fixture, scan, &args, None).await;
    assert!(
        scan.find_in(&output.stdout).is_some(),
        "the scan missed a printed password"
    );
    scan.add_text("the log of `secret get`", output.stderr);
    let field = ["-vv", "secret", "get", P::SECRET, "--field", "password"];
    let output = execute(fixture, scan, &field, None).await;
    assert_eq!(scan.find_in(&output.stdout), Some(0));
}
