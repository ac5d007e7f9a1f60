//! The journal, in a file and in PostgreSQL.

use std::process::Stdio;

use twinkey_testkit::environment::{run, until};
use twinkey_testkit::locations::twinkey_program;

use super::super::gate::{Gate, Passage};
use super::super::row::{Act, Expected, Row};
use super::super::stage::Stage;
use crate::serving::health::locked_journal;

/// The columns while the journal cannot be used.
const UNAVAILABLE: Expected = [
    "journal_unavailable",
    "503 journal_unavailable",
    "journal 0, store 1",
    "journal_unavailable",
    "journal_unavailable",
    "ERROR journal_unavailable",
    "journal_unavailable",
];

/// The columns while the journal can be read and not written.
const READ_ONLY: Expected = [
    "new",
    "503 journal_unavailable",
    "journal 0, store 1, new",
    "",
    "",
    "ERROR journal_unavailable",
    "new",
];

/// The same columns with another text of `status`.
const fn status(mut expected: Expected, text: &'static str) -> Expected {
    expected[0] = text;
    expected
}

/// Renames the file with the companions of SQLite.
fn rename(stage: &Stage, from: &str, to: &str) {
    for end in ["", "-wal", "-shm"] {
        let path = |name: &str| stage.env.folder.path().join(format!("{name}{end}"));
        let _ = std::fs::rename(path(from), path(to));
    }
}

/// A journal on the database server, behind a gate.
async fn in_postgresql(stage: &mut Stage) {
    let mut root = stage.env.root("postgres").await;
    run(
        &mut root,
        "CREATE ROLE journal LOGIN PASSWORD 'Journal-0123456789'",
    )
    .await;
    run(&mut root, "CREATE DATABASE journal OWNER journal").await;
    let gate = Gate::before(stage.env.server.port()).await;
    let config = std::fs::read_to_string(stage.env.config()).unwrap();
    let url = format!(
        "postgres://journal:Journal-0123456789@127.0.0.1:{}/journal?sslmode=disable",
        gate.port()
    );
    let config = config.replace("sqlite://journal.db", &url);
    std::fs::write(stage.env.config(), config).unwrap();
    stage.gate = Some(gate);
}

/// Starts the worker with a limit of the size of its files, which is as a full disk.
async fn with_a_full_disk(stage: &mut Stage) {
    stage.env.run_ok(&["pause", "shop"]).await;
    stage.env.run_ok(&["resume", "shop"]).await;
    let mut command = stage.env.command("sh");
    let script = "trap '' XFSZ; ulimit -f 200; exec \"$0\" serve";
    command.args(["-c", script]).arg(twinkey_program());
    // The log is not limited.
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut serve = command.spawn().unwrap();
    let log = tokio::fs::File::create(stage.env.folder.path().join("serve.log"));
    let (mut from, mut to) = (serve.stderr.take().unwrap(), log.await.unwrap());
    tokio::spawn(async move { tokio::io::copy(&mut from, &mut to).await });
    stage.serve = Some(serve);
    let url = format!("{}/readyz", stage.url());
    until("it is ready at first", async || {
        let answer = reqwest::get(&url).await;
        answer.is_ok_and(|answer| answer.status() == 200)
    })
    .await;
}

pub fn rows() -> Vec<Row> {
    let opens: Act = |stage| {
        Box::pin(async {
            stage.gate.as_ref().unwrap().set(Passage::Open);
        })
    };
    vec![
        Row::new(
            "the journal's file is deleted",
            |stage| {
                Box::pin(async {
                    rename(stage, "journal.db", "kept.db");
                    stage.rotate().await;
                })
            },
            // The command uses the config, which names a file that does not exist.
            status(UNAVAILABLE, "new, no journal"),
        )
        .lift(|stage| Box::pin(async { rename(stage, "kept.db", "journal.db") })),
        Row::new(
            "the journal's file is replaced by an empty one",
            |stage| {
                Box::pin(async {
                    rename(stage, "journal.db", "kept.db");
                    stage.env.run_ok(&["pause", "shop"]).await;
                    stage.rotate().await;
                })
            },
            // The command uses the other file.
            status(UNAVAILABLE, "paused"),
        )
        .lift(|stage| {
            Box::pin(async {
                rename(stage, "journal.db", "other.db");
                rename(stage, "kept.db", "journal.db");
            })
        }),
        Row::new(
            "the journal's disk is full",
            |stage| {
                Box::pin(async {
                    until("the disk is full", async || {
                        stage.post("resume").send().await.unwrap().status() == 503
                    })
                    .await;
                })
            },
            [
                "new",
                "503 journal_unavailable",
                "journal 0, store 1, new",
                "",
                "resume done",
                "ERROR journal_unavailable",
                "new",
            ],
        )
        .prepare(|stage| Box::pin(with_a_full_disk(stage))),
        Row::new(
            "another process holds the journal's lock",
            |stage| {
                Box::pin(async {
                    let other = locked_journal(&stage.env).await;
                    stage.kept.push(Box::new(other));
                })
            },
            READ_ONLY,
        )
        .lift(|stage| {
            Box::pin(async {
                stage.kept.clear();
            })
        }),
        Row::new(
            "the journal's PostgreSQL resets every connection",
            |stage| {
                Box::pin(async {
                    stage.gate.as_ref().unwrap().set(Passage::Closed);
                    stage.rotate().await;
                })
            },
            UNAVAILABLE,
        )
        .prepare(|stage| Box::pin(in_postgresql(stage)))
        .lift(opens),
        Row::new(
            "the journal's PostgreSQL does not answer",
            |stage| {
                Box::pin(async {
                    stage.gate.as_ref().unwrap().set(Passage::Silent);
                })
            },
            UNAVAILABLE,
        )
        .prepare(|stage| Box::pin(in_postgresql(stage)))
        .lift(|stage| {
            Box::pin(async {
                // Connections that wait end first.
                stage.gate.as_ref().unwrap().set(Passage::Closed);
                stage.gate.as_ref().unwrap().set(Passage::Open);
            })
        }),
        Row::new(
            "the journal's PostgreSQL is read-only",
            |stage| {
                Box::pin(async {
                    let mut root = stage.env.root("postgres").await;
                    for statement in [
                        "ALTER DATABASE journal SET default_transaction_read_only = on",
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'journal'",
                    ] {
                        run(&mut root, statement).await;
                    }
                    stage.rotate().await;
                })
            },
            status(READ_ONLY, "journal_unavailable"),
        )
        .prepare(|stage| Box::pin(in_postgresql(stage)))
        .lift(|stage| {
            Box::pin(async {
                let mut root = stage.env.root("postgres").await;
                for statement in [
                    "ALTER DATABASE journal RESET default_transaction_read_only",
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'journal'",
                ] {
                    run(&mut root, statement).await;
                }
            })
        }),
    ]
}
