//! The worker's process: its clients, its files, its clock and its end.

use std::time::Duration;

use twinkey_testkit::locations::twinkey_program;

use super::super::row::{Expected, Row, SUCCEEDS, logged, run_fails};
use super::super::stage::Stage;
use crate::serving::health::locked_journal;
use crate::serving::worker::{libfaketime, signal, waits_in_set};

fn reload(stage: &Stage) {
    signal(stage.serve.as_ref().unwrap(), "HUP");
}

/// Starts the worker with a clock that a file shifts.
async fn with_a_clock(stage: &mut Stage) {
    shift(stage, "+0");
    let mut command = stage.env.command(twinkey_program());
    command
        .arg("serve")
        .env("LD_PRELOAD", libfaketime())
        .env(
            "FAKETIME_TIMESTAMP_FILE",
            stage.env.folder.path().join("clock"),
        )
        .env("FAKETIME_NO_CACHE", "1")
        .env("DONT_FAKE_MONOTONIC", "1");
    stage.serve = Some(stage.env.start(command, &stage.address).await);
}

fn shift(stage: &Stage, by: &str) {
    std::fs::write(stage.env.folder.path().join("clock"), by).unwrap();
}

/// The columns of a worker without a run.
const NEW: Expected = ["new", "200", "journal 1, store 1, new", "", "", "", "new"];

pub fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "the client of a run goes away before the answer",
            |stage| {
                Box::pin(async {
                    let _lock = locked_journal(&stage.env).await;
                    let request = stage.post("rotate").timeout(Duration::from_millis(500));
                    assert!(request.send().await.unwrap_err().is_timeout());
                })
            },
            SUCCEEDS,
        ),
        Row::new(
            "two runs are asked for at once",
            |stage| {
                Box::pin(async {
                    stage.lock_users().await;
                    stage.rotate().await;
                    waits_in_set(&stage.env).await;
                    stage.rotate().await;
                })
            },
            [
                "running",
                "200",
                "journal 1, store 1, running",
                "running",
                "rotate refused already_running",
                "",
                "running",
            ],
        )
        .lift(|stage| {
            Box::pin(async {
                stage.kept.clear();
            })
        }),
        Row::new(
            "the worker is killed in a run and started again",
            |stage| {
                Box::pin(async {
                    stage.lock_users().await;
                    stage.rotate().await;
                    waits_in_set(&stage.env).await;
                    stage.serve.take().unwrap().kill().await.unwrap();
                    stage.kept.clear();
                    stage.serve = Some(stage.env.serve(&stage.address).await);
                })
            },
            logged(run_fails!("internal"), "WARN internal"),
        )
        .lift(|_| Box::pin(async {})),
        Row::new(
            "the config is reloaded with an error",
            |stage| {
                Box::pin(async {
                    let config = std::fs::read_to_string(stage.env.config()).unwrap();
                    std::fs::write(stage.env.folder.path().join("kept.toml"), &config).unwrap();
                    std::fs::write(stage.env.config(), format!("{config}\nnonsense = 1\n"))
                        .unwrap();
                    reload(stage);
                })
            },
            [
                "config_invalid",
                "200",
                "journal 1, store 1, new",
                "",
                "reload refused config_invalid",
                "ERROR config_invalid",
                "new",
            ],
        )
        .lift(|stage| {
            Box::pin(async {
                let config = stage.env.folder.path().join("kept.toml");
                std::fs::copy(config, stage.env.config()).unwrap();
                reload(stage);
            })
        }),
        Row::new(
            "the token file gets a token that is too short",
            |stage| {
                Box::pin(async {
                    std::fs::write(stage.env.folder.path().join("token"), "short").unwrap();
                })
            },
            logged(NEW, "ERROR new admin token refused"),
        )
        .lift(|stage| {
            Box::pin(async {
                std::fs::write(stage.env.folder.path().join("token"), crate::admin::TOKEN).unwrap();
            })
        }),
        Row::new(
            "the file of roots is removed",
            |stage| {
                Box::pin(async {
                    let file = |name: &str| stage.env.folder.path().join(name);
                    std::fs::rename(file("ca.pem"), file("kept.pem")).unwrap();
                })
            },
            [
                "new",
                "503 config_invalid",
                "journal 1, store 1, new",
                "",
                "",
                "ERROR config_invalid",
                "new",
            ],
        )
        .rotation("tls = { mode = \"disable\", ca_file = \"ca.pem\" }")
        .prepare(|stage| {
            Box::pin(async {
                let pki = twinkey_testkit::pki::Pki::new();
                std::fs::copy(&pki.ca_file, stage.env.folder.path().join("ca.pem")).unwrap();
            })
        })
        .lift(|stage| {
            Box::pin(async {
                let file = |name: &str| stage.env.folder.path().join(name);
                std::fs::rename(file("kept.pem"), file("ca.pem")).unwrap();
            })
        }),
        Row::new(
            "the clock goes forward by an hour",
            |stage| {
                Box::pin(async {
                    shift(stage, "+1h");
                    stage.rotate().await;
                })
            },
            SUCCEEDS,
        )
        .prepare(|stage| Box::pin(with_a_clock(stage))),
        Row::new(
            "the clock goes back by an hour",
            |stage| {
                Box::pin(async {
                    shift(stage, "-1h");
                    stage.rotate().await;
                })
            },
            logged(SUCCEEDS, "WARN clock set back"),
        )
        .prepare(|stage| Box::pin(with_a_clock(stage))),
        Row::new(
            "many wrong tokens are sent",
            |stage| {
                Box::pin(async {
                    for _ in 0..12 {
                        let request =
                            reqwest::Client::new().get(format!("{}/v1/rotations", stage.url()));
                        let _ = request
                            .bearer_auth("a-wrong-token-of-some-length")
                            .send()
                            .await;
                    }
                })
            },
            logged(NEW, "WARN wrong tokens slowed"),
        ),
        Row::new(
            "half-open requests fill the limit of connections",
            |stage| {
                Box::pin(async {
                    for _ in 0..600 {
                        let client = tokio::net::TcpStream::connect(&stage.address)
                            .await
                            .unwrap();
                        stage.kept.push(Box::new(client));
                    }
                    stage.rotate().await;
                })
            },
            SUCCEEDS,
        ),
    ]
}
