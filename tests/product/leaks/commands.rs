//! Every command of the command line, each with everything logged, as text and as JSON.

use std::process::{Output, Stdio};

use clap::{Command, CommandFactory};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::process::Child;
use twinkey::cli::Cli;
use twinkey::store::stage;

use super::scan::Scan;
use super::{in_proc, note};
use crate::failures::with;
use crate::support::shop::{Backend, Database, MASTER_SECRET, SECRET, Shop};

pub const LOGGED: [&[&str]; 2] = [&["-vv"], &["-vv", "--log-format", "json"]];

/// One way to call a command.
struct Way {
    args: Vec<&'static str>,
    /// What it reads, if it does.
    input: Option<String>,
    /// Whether it can be done in this shop.
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
async fn ways<D: Database>(command: &str, shop: &Shop<D>) -> Vec<Way> {
    let local = matches!(shop.backend, Backend::Local);
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
        "serve" | "demo" => vec![],
        "check" => vec![way(&["check"]), way(&["check", "--offline"])],
        "plan" => vec![way(&["plan", "shop"])],
        "rotate" => vec![
            way(&["rotate", "shop"]),
            way(&["rotate", "shop", "--force", "--reason", "the scan"]),
        ],
        "rollback" => vec![way(&["rollback", "shop", "--reason", "the scan"])],
        "repair" => vec![
            way(&["repair", "shop"]),
            way(&["repair", "shop", "--apply"]),
        ],
        "status" => vec![way(&["status"]), way(&["status", "shop"])],
        "history" => vec![way(&["history"]), way(&["history", "shop"])],
        "pause" => vec![way(&["pause", "shop"])],
        "resume" => vec![way(&["resume", "shop"])],
        "schedule" => vec![way(&["schedule", "cron(0 7 * * ? *)", "--window", "1h"])],
        "secret put" => {
            let (current, _) = shop.read(stage::CURRENT).await;
            let broken = format!("{current} {current}");
            let put = |input, good| Way {
                args: vec!["secret", "put", SECRET],
                input: Some(input),
                good,
            };
            vec![put(current.to_string(), local), put(broken, false)]
        }
        // Without `--field` it prints the document, which is what it is for: see `the_scan_finds`.
        "secret get" => vec![
            in_store(&["secret", "get", SECRET, "--field", "host"]),
            in_store(&[
                "secret",
                "get",
                SECRET,
                "--stage",
                "AWSPREVIOUS",
                "--field",
                "username",
            ]),
        ],
        "secret list" => vec![in_store(&["secret", "list"])],
        "secret versions" => vec![in_store(&["secret", "versions", SECRET])],
        other => panic!("there is a new command, {other}: say here how the scan calls it"),
    }
}

/// Runs everything that can be run, and keeps all that it says.
pub async fn run_every_command<D: Database>(shop: &Shop<D>, scan: &mut Scan) {
    for (name, command) in every_command() {
        let json = command.get_arguments().any(|arg| arg.get_id() == "json");
        for way in ways(&name, shop).await {
            for logged in LOGGED {
                let mut args = logged.to_vec();
                args.extend(&way.args);
                if json && logged.contains(&"json") {
                    args.push("--json");
                }
                let output = run(shop, scan, &args, way.input.as_deref()).await;
                let said = String::from_utf8_lossy(&output.stderr);
                assert_eq!(output.status.success(), way.good, "{args:?}: {said}");
                assert!(name != "rotate" || said.lines().count() > 5, "{said}");
                note(shop, scan).await;
            }
        }
    }
}

/// Secrets that are wrong, each with its password in it: what is said of them must not quote it.
pub async fn run_in_distress<D: Database>(shop: &Shop<D>, scan: &mut Scan) {
    let wrong = "Wrong-9876543210-zyxwvu-ABC";
    scan.knows(wrong);
    let (current, _) = shop.read(stage::CURRENT).await;
    let master = shop.document("rdsmaster", shop.master.expose_secret());
    let mistaken = with(current.clone(), "password", json!(wrong));
    let cases = [
        (SECRET, mistaken.to_string()),
        (
            SECRET,
            with(current.clone(), "port", json!(wrong)).to_string(),
        ),
        (
            SECRET,
            with(current.clone(), "engine", json!("oracle")).to_string(),
        ),
        (SECRET, mistaken.to_string().replace("\",", "\"")),
        (SECRET, format!("the password is {wrong}")),
        (
            MASTER_SECRET,
            with(master.clone(), "password", json!(wrong)).to_string(),
        ),
        (MASTER_SECRET, format!("\"{wrong}\"")),
    ];
    for (name, text) in cases {
        shop.put_text(name, &text).await;
        for (n, args) in [
            &["check"][..],
            &["plan", "shop"],
            &["rotate", "shop"],
            &["repair", "shop", "--apply"],
        ]
        .into_iter()
        .enumerate()
        {
            let mut all = LOGGED[n % LOGGED.len()].to_vec();
            all.extend(args);
            let output = run(shop, scan, &all, None).await;
            // Where no label is in the way, there is nothing to repair.
            let refused = !output.status.success() || args[0] == "repair";
            assert!(refused, "{name}: {all:?}");
        }
        shop.put(SECRET, &current).await;
        shop.put(MASTER_SECRET, &master).await;
    }
}

/// Runs the binary to its end, and keeps what it says, how it was called, and what it was given.
pub async fn run<D: Database>(
    shop: &Shop<D>,
    scan: &mut Scan,
    args: &[&str],
    input: Option<&str>,
) -> Output {
    let output = speak(shop, scan, args, input).await;
    for (way, bytes) in [("output", &output.stdout), ("errors", &output.stderr)] {
        scan.keep(format!("the {way} of {args:?}"), bytes.clone());
    }
    output
}

async fn speak<D: Database>(
    shop: &Shop<D>,
    scan: &mut Scan,
    args: &[&str],
    input: Option<&str>,
) -> Output {
    let mut child: Child = shop
        .command(env!("CARGO_BIN_EXE_twinkey"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    in_proc(scan, child.id().unwrap(), &format!("{args:?}"));
    let mut stdin = child.stdin.take().unwrap();
    // A command that reads nothing may have ended by now.
    let _ = stdin.write_all(input.unwrap_or_default().as_bytes()).await;
    drop(stdin);
    child.wait_with_output().await.unwrap()
}

/// The one command that prints passwords, because it is asked to: the scan finds them in what it prints,
/// and nowhere in what it logs.
pub async fn the_scan_finds<D: Database>(shop: &Shop<D>, scan: &mut Scan) {
    let args = ["-vv", "secret", "get", SECRET];
    let output = speak(shop, scan, &args, None).await;
    assert!(scan.finds(&output.stdout).is_some(), "it was not found");
    scan.keep("the log of `secret get`", output.stderr);
    let field = ["-vv", "secret", "get", SECRET, "--field", "password"];
    let output = speak(shop, scan, &field, None).await;
    let said = SecretString::from(String::from_utf8(output.stdout).unwrap());
    assert_eq!(scan.finds(said.expose_secret().as_bytes()), Some(0));
}
