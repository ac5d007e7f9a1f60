//! The database server, its users and its certificate.

use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use twinkey_stores::stage;
use twinkey_testkit::environment::{FIRST, MASTER_SECRET, SECRET, run, until, value};

use super::super::gate::{Gate, Passage};
use super::super::row::{Act, Expected, RUNS, Row, SUCCEEDS, run_fails};
use super::super::stage::Stage;

/// Both secrets name a port that can be closed.
async fn behind_a_gate(stage: &mut Stage) {
    let gate = Gate::before(stage.env.server.port()).await;
    for (secret, user, password) in [
        (SECRET, "app", FIRST),
        (MASTER_SECRET, "rdsmaster", "Master-0123456789-abcdef-XYZ"),
    ] {
        let mut document = stage.env.document(user, password);
        document["port"] = gate.port().into();
        stage.env.put(secret, &document).await;
    }
    stage.gate = Some(gate);
}

async fn passes(stage: &mut Stage, passage: Passage) {
    stage.gate.as_ref().unwrap().set(passage);
    stage.rotate().await;
}

/// Executes statements as the superuser, and asks for a run.
async fn executes(stage: &mut Stage, statements: &str) {
    run(&mut stage.env.root("shop").await, statements).await;
    stage.rotate().await;
}

/// A certificate of `localhost` with its key, as PEM.
fn certificate(issuer: &CertifiedIssuer<'_, KeyPair>, is_expired: bool) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    if is_expired {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    }
    let leaf = params.signed_by(&key, issuer).unwrap();
    (leaf.pem(), key.serialize_pem())
}

/// Makes the server use a certificate.
async fn install(stage: &Stage, (chain, key): &(String, String)) {
    let mut root = stage.env.root("postgres").await;
    let folder: String = value(&mut root, "SHOW data_directory").await;
    for (setting, pem) in [("ssl_cert_file", chain), ("ssl_key_file", key)] {
        let file: String = value(&mut root, &format!("SHOW {setting}")).await;
        std::fs::write(std::path::Path::new(&folder).join(file), pem).unwrap();
    }
    run(&mut root, "SELECT pg_reload_conf()").await;
}

fn issuer() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, "root of a test");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn expired_certificate() -> Row {
    let mut row = Row::new(
        "the certificate of the server expired",
        |stage| {
            Box::pin(async {
                let expired = stage.kept.pop().unwrap();
                install(stage, expired.downcast_ref().unwrap()).await;
                stage.rotate().await;
            })
        },
        run_fails!("tls_failed"),
    )
    .rotation("tls = { mode = \"verify-ca\", ca_file = \"ca.pem\" }");
    row.prepare = Some(|stage| {
        Box::pin(async {
            let issuer = issuer();
            install(stage, &certificate(&issuer, false)).await;
            std::fs::write(stage.env.folder.path().join("ca.pem"), issuer.pem()).unwrap();
            stage.kept.push(Box::new(certificate(&issuer, true)));
            // New sessions begin with the former certificate until the server has read this one.
            until("AWSCURRENT signs in", async || {
                stage.env.twinkey(&["check", "shop"]).await.status.success()
            })
            .await;
        })
    });
    row.setup.tls = Some(certificate(&issuer(), false));
    row
}

/// The columns after a heartbeat that AWSCURRENT failed.
const LOCKED_OUT: Expected = [
    "locked_out current_signin_failed",
    "200",
    "journal 1, store 1, locked_out",
    "",
    "",
    "ERROR current_signin_failed",
    "locked_out current_signin_failed",
];

pub fn rows() -> Vec<Row> {
    let opens: Act = |stage| {
        Box::pin(async {
            stage.gate.as_ref().unwrap().set(Passage::Open);
        })
    };
    let heartbeat = "heartbeat = \"10s\"";
    let mut full = Row::new(
        "the server has no connection left",
        |stage| {
            Box::pin(async {
                // The rest is kept for superusers.
                loop {
                    let current = stage.env.read(stage::CURRENT).await.0;
                    let password = current["password"].as_str().unwrap().into();
                    match stage.env.connect("app", &password, "shop").await {
                        Ok(session) => stage.kept.push(Box::new(session)),
                        Err(_) => break,
                    }
                }
                stage.rotate().await;
            })
        },
        run_fails!("db_unreachable"),
    )
    .lift(|stage| {
        Box::pin(async {
            stage.kept.clear();
        })
    });
    full.setup.settings = vec!["max_connections=10".into()];
    vec![
        Row::new(
            "the server resets every connection",
            |stage| Box::pin(passes(stage, Passage::Closed)),
            run_fails!("db_unreachable"),
        )
        .prepare(|stage| Box::pin(behind_a_gate(stage)))
        .lift(opens),
        Row::new(
            "the server accepts connections and does not answer",
            |stage| Box::pin(passes(stage, Passage::Silent)),
            run_fails!("db_unreachable"),
        )
        .prepare(|stage| Box::pin(behind_a_gate(stage)))
        .lift(opens),
        full,
        Row::new(
            "the server waits for a lock",
            |stage| {
                Box::pin(async {
                    stage.lock_users().await;
                    stage.rotate().await;
                })
            },
            RUNS,
        )
        .lift(|stage| {
            Box::pin(async {
                stage.kept.clear();
            })
        }),
        expired_certificate(),
        Row::new(
            "the active user's password is changed in the database",
            |stage| {
                Box::pin(async {
                    let mut root = stage.env.root("shop").await;
                    run(&mut root, "ALTER ROLE app PASSWORD 'Changed-0123456789'").await;
                })
            },
            LOCKED_OUT,
        )
        .rotation(heartbeat),
        Row::new(
            "the active user is dropped",
            |stage| {
                Box::pin(async {
                    let mut root = stage.env.root("shop").await;
                    run(&mut root, "ALTER ROLE app RENAME TO app_dropped").await;
                })
            },
            LOCKED_OUT,
        )
        .rotation(heartbeat),
        Row::new(
            "the active user may not sign in any more, and a run is asked for",
            |stage| Box::pin(executes(stage, "ALTER ROLE app NOLOGIN")),
            run_fails!("current_signin_failed"),
        )
        .lift(|stage| Box::pin(executes(stage, "ALTER ROLE app LOGIN"))),
        Row::new(
            "the master lacks a privilege",
            |stage| Box::pin(executes(stage, "ALTER ROLE rdsmaster NOCREATEROLE")),
            run_fails!("privileges_missing"),
        )
        .lift(|stage| Box::pin(executes(stage, "ALTER ROLE rdsmaster CREATEROLE"))),
        Row::new(
            "pg_hba.conf refuses the master",
            |stage| {
                Box::pin(async {
                    let mut root = stage.env.root("postgres").await;
                    let hba: String = value(&mut root, "SHOW hba_file").await;
                    let lines = std::fs::read_to_string(&hba).unwrap();
                    let rejected = format!("host all rdsmaster 127.0.0.1/32 reject\n{lines}");
                    std::fs::write(&hba, rejected).unwrap();
                    run(&mut root, "SELECT pg_reload_conf()").await;
                    // New sessions may still begin with the former rules.
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    stage.rotate().await;
                })
            },
            run_fails!("db_refused"),
        ),
        Row::new(
            "the standby is a user that another party created",
            |stage| {
                Box::pin(executes(
                    stage,
                    "CREATE ROLE app_clone LOGIN PASSWORD 'Theirs-0123456789'",
                ))
            },
            run_fails!("standby_foreign"),
        )
        .lift(|stage| Box::pin(executes(stage, "DROP ROLE app_clone"))),
        Row::new(
            "the standby has a session",
            |stage| {
                Box::pin(async {
                    let session = stage.env.signed_in(stage::PREVIOUS).await;
                    stage.kept.push(Box::new(session));
                    stage.rotate().await;
                })
            },
            run_fails!("standby_in_use"),
        )
        .prepare(|stage| {
            Box::pin(async {
                stage.env.run_ok(&["rotate", "shop"]).await;
            })
        })
        .lift(|stage| {
            Box::pin(async {
                stage.kept.clear();
            })
        }),
        Row::new(
            "the pair differs, and `grants = \"verify\"` forbids a change",
            |stage| Box::pin(executes(stage, "ALTER ROLE app CONNECTION LIMIT 50")),
            run_fails!("privileges_differ"),
        )
        .rotation("grants = \"verify\"")
        .prepare(|stage| {
            Box::pin(async {
                stage.env.run_ok(&["rotate", "shop"]).await;
                stage.env.run_ok(&["rotate", "shop"]).await;
            })
        })
        .lift(|stage| Box::pin(executes(stage, "ALTER ROLE app CONNECTION LIMIT -1"))),
        Row::new(
            "the server is read-only by default",
            |stage| {
                Box::pin(executes(
                    stage,
                    "ALTER DATABASE shop SET default_transaction_read_only = on",
                ))
            },
            SUCCEEDS,
        ),
    ]
}
