//! Every command of the command line, each with everything logged, as text and as JSON.

use std::process::{Output, Stdio};

use clap::{Command, CommandFactory};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::process::Child;
use twinkey::cli::Cli;

use super::note;
use super::place::Place;
use crate::failures::with;
use twinkey_testkit::leak_scan::Scan;

pub const LOGGED: [&[&str]; 2] = [&["-vv"], &["-vv", "--log-format", "json"]];

/// One way to call a command.
struct Way {
    args: Vec<&'static str>,
    /// What it reads, if it does.
    input: Option<String>,
    /// Whether it can be done in this place.
    good: bool,
}

/// Every command of the program, as `secret put`.
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

/// How a command is called here. A new one has to be added, or the scan fails.
async fn ways<P: Place>(command: &str, place: &P) -> Vec<Way> {
    let local = place.is_local();
    let way = |args: &[&'static str]| Way {
        args: args.to_vec(),
        input: None,
        good: true,
    };
    let in_store = |args: &[&'static str]| Way {
        good: local,
        ..way(args)
    };
    match command {
        // By themselves: `serving.rs`, `demo.rs`.
        // And by itself where the store is served, in `served.rs`: its secret is printed, once.
        "serve" | "demo" | "keys add" => vec![],
        "keys list" => vec![in_store(&["keys", "list"])],
        "keys remove" => vec![Way {
            good: false,
            ..way(&["keys", "remove", "TWKYNOBODYHASTHISKEY"])
        }],
        // Nobody listens there.
        "healthz" => vec![Way {
            good: false,
            ..way(&["healthz", "--url", "http://127.0.0.1:1/healthz"])
        }],
        "check" => vec![way(&["check"]), way(&["check", "--offline"])],
        "plan" => vec![way(&["plan", P::ROTATION])],
        "rotate" => vec![
            way(&["rotate", P::ROTATION]),
            way(&["rotate", P::ROTATION, "--force", "--reason", "the scan"]),
        ],
        "rollback" => vec![way(&["rollback", P::ROTATION, "--reason", "the scan"])],
        "repair" => vec![
            way(&["repair", P::ROTATION]),
            way(&["repair", P::ROTATION, "--apply"]),
        ],
        "status" => vec![way(&["status"]), way(&["status", P::ROTATION])],
        "history" => vec![way(&["history"]), way(&["history", P::ROTATION])],
        "pause" => vec![way(&["pause", P::ROTATION])],
        "resume" => vec![way(&["resume", P::ROTATION])],
        "schedule" => vec![way(&["schedule", "cron(0 7 * * ? *)", "--window", "1h"])],
        "secret put" => {
            let current = place.documents().await.remove(0);
            let broken = format!("{current} {current}");
            let put = |input, good| Way {
                args: vec!["secret", "put", P::SECRET],
                input: Some(input),
                good,
            };
            vec![put(current.to_string(), local), put(broken, false)]
        }
        // Without `--field` it prints the document, which is what it is for: see `the_scan_finds`.
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
        "iam-policy" => {
            let place = [
                "iam-policy",
                "--account",
                "111122223333",
                "--region",
                "eu-west-1",
            ];
            vec![way(&place), way(&[&place[..], &["--ask"]].concat())]
        }
        "grants-for-master" => vec![way(&["grants-for-master", "postgres"])],
        "import" => {
            let nobody = [
                "--region",
                "eu-west-1",
                "--endpoint-url",
                "http://127.0.0.1:9",
            ];
            vec![Way {
                good: false,
                ..way(&[&["import", "--from-aws"][..], &nobody].concat())
            }]
        }
        "completions" => vec![way(&["completions", "bash"])],
        "man" => vec![way(&["man"])],
        other => panic!("there is a new command, {other}: say here how the scan calls it"),
    }
}

/// Runs everything that can be run, and keeps all that it says.
pub async fn run_every_command<P: Place>(place: &P, scan: &mut Scan) {
    for (name, command) in every_command() {
        let json = command.get_arguments().any(|arg| arg.get_id() == "json");
        for way in ways(&name, place).await {
            for logged in LOGGED {
                let mut args = logged.to_vec();
                args.extend(&way.args);
                if json && logged.contains(&"json") {
                    args.push("--json");
                }
                let output = run(place, scan, &args, way.input.as_deref()).await;
                let said = String::from_utf8_lossy(&output.stderr);
                assert_eq!(output.status.success(), way.good, "{args:?}: {said}");
                assert!(name != "rotate" || said.lines().count() > 5, "{said}");
                note(place, scan).await;
            }
        }
    }
}

/// Secrets that are wrong, each with its password in it: what is said of them must not quote it.
pub async fn run_in_distress<P: Place>(place: &P, scan: &mut Scan) {
    let wrong = "Wrong-9876543210-zyxwvu-ABC";
    scan.knows(wrong);
    let current = place.documents().await.remove(0);
    let master = place.master();
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
        place.put_text(name, &text).await;
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
            let output = run(place, scan, &all, None).await;
            refused += u32::from(!output.status.success());
        }
        place.put_text(P::SECRET, &current.to_string()).await;
        place.put_text(P::MASTER_SECRET, &master.to_string()).await;
    }
    assert!(refused > 10, "{refused} commands had something to say");
}

/// Runs the binary to its end, and keeps what it says, how it was called, and what it was given.
pub async fn run<P: Place>(
    place: &P,
    scan: &mut Scan,
    args: &[&str],
    input: Option<&str>,
) -> Output {
    let output = speak(place, scan, args, input).await;
    for (way, bytes) in [("output", &output.stdout), ("errors", &output.stderr)] {
        scan.keep(format!("the {way} of {args:?}"), bytes.clone());
    }
    output
}

async fn speak<P: Place>(place: &P, scan: &mut Scan, args: &[&str], input: Option<&str>) -> Output {
    let mut child: Child = place
        .command()
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    scan.keep_process(child.id().unwrap(), &format!("{args:?}"));
    let mut stdin = child.stdin.take().unwrap();
    // A command that reads nothing may have ended by now.
    let _ = stdin.write_all(input.unwrap_or_default().as_bytes()).await;
    drop(stdin);
    child.wait_with_output().await.unwrap()
}

/// The one command that prints passwords, because it is asked to: the scan finds them in what it prints,
/// and nowhere in what it logs.
pub async fn the_scan_finds<P: Place>(place: &P, scan: &mut Scan) {
    let args = ["-vv", "secret", "get", P::SECRET];
    let output = speak(place, scan, &args, None).await;
    assert!(scan.finds(&output.stdout).is_some(), "it was not found");
    scan.keep("the log of `secret get`", output.stderr);
    let field = ["-vv", "secret", "get", P::SECRET, "--field", "password"];
    let output = speak(place, scan, &field, None).await;
    assert_eq!(scan.finds(&output.stdout), Some(0));
}
